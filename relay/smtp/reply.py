"""A reply of SMTP: code, enhanced code and lines; the same type for what we say and what we are told.

The class of an enhanced code always equals the first digit of the reply's code (RFC 2034 §3); it is
derived where it could contradict, never kept twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:[ \t]+|$)")
# Everything but a tab below space, C1 controls, bidi controls and line separators of Unicode (S13, S24).
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

EnhancedCode = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Reply:
    """`code` 200–599; `lines` without code and line end, at least one; enhanced code still in the text if remote."""

    code: int
    lines: tuple[str, ...]
    enhanced: EnhancedCode | None = None

    @property
    def positive(self) -> bool:
        """2xx: done; unknown codes act as x00 (RFC 5321 §4.2.1)."""
        return 200 <= self.code < 300

    @property
    def transient(self) -> bool:
        """4xx: not now."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5xx: not this, ever."""
        return 500 <= self.code < 600

    @property
    def status(self) -> str:
        """The enhanced code as text, or the one the code stands for (`5.0.0`; RFC 3463 §3.1)."""
        return ".".join(map(str, self.enhanced or (self.code // 100, 0, 0)))

    @property
    def text(self) -> str:
        """The lines joined by a space."""
        return " ".join(self.lines)

    def __str__(self) -> str:
        if self.enhanced is None or self.lines[0].startswith(self.status):
            return f"{self.code} {self.text}"
        return f"{self.code} {self.status} {self.text}"

    def wire(self) -> bytes:
        """The reply as sent, each line with its code, the enhanced code on every line (RFC 2034 §4)."""
        prefix = f"{self.status} " if self.enhanced else ""
        last = len(self.lines) - 1
        return b"".join(
            f"{self.code}{' ' if i == last else '-'}{prefix}{line}\r\n".encode() for i, line in enumerate(self.lines)
        )


def reply(code: int, status: str, *lines: str) -> Reply:
    """A reply of ours; `status` is the enhanced code as text ("2.1.0"), whose class must match `code`."""
    a, b, c = (int(part) for part in status.split("."))
    if a != code // 100:
        raise ValueError(f"enhanced code {status} does not fit reply code {code}")
    return Reply(code, lines, (a, b, c))


def remote_reply(code: int, lines: tuple[str, ...]) -> Reply:
    """A reply of the far side: control characters replaced, the enhanced code read from the first line.

    An enhanced code whose class contradicts the code is ignored (RFC 2034 §3).
    """
    clean = tuple(_UNPRINTABLE.sub("?", line) for line in lines) or ("",)
    match = _ENHANCED.match(clean[0])
    enhanced: EnhancedCode | None = None
    if match and int(match[1]) == code // 100:
        enhanced = (int(match[1]), int(match[2]), int(match[3]))
    return Reply(code, clean, enhanced)


def strip_enhanced(line: str) -> str:
    """A reply line without its leading enhanced code."""
    return _ENHANCED.sub("", line, count=1)


MAX_REPLY_LINES: Final = 100
MAX_REPLY_BYTES: Final = 4096
