"""The body hash of DKIM taken in slices: for a body that is never in memory whole (RFC 6376 §3.4.4).

Stands beside `canonical`, whose result it gives for every lawful body, however it is cut: white space and empty lines
at the end of a slice wait, as a count, until it is known what follows them. Lines must end in CRLF, which intake has
made sure of.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from relay.mail.body_hash import BodyHash
from relay.signing.canonical import single_spaces

_CRLF: Final = b"\r\n"
_LINES_AT_ONCE: Final = 4096


class SlicedBodyHash:
    """Feed it the body in slices of any size; `value` is what bh= says."""

    __slots__ = ("_any", "_digest", "_ends", "_half", "_space")

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._ends = 0
        """Line ends that are hashed once text follows them: empty lines at the end of a body do not count."""
        self._space = False
        """White space after them that counts if text follows in its line."""
        self._half = b""
        """A CR whose LF is in the next slice."""
        self._any = False

    def update(self, piece: bytes) -> None:
        """The next octets."""
        text = self._half + piece if self._half else piece
        self._half = b"\r" if text.endswith(b"\r") else b""
        if self._half:
            text = text[:-1]
        if b"\t" in text or b"  " in text or b" \r\n" in text or text.endswith(b" ") or self._space:
            text = single_spaces(b" " + text if self._space else text).replace(b" \r\n", _CRLF)
        self._space = text.endswith(b" ")
        if self._space:
            text = text[:-1]
        body = text.rstrip(_CRLF)
        if body:
            self._hash_ends()
            self._digest.update(body)
            self._any = True
        self._ends += (len(text) - len(body)) // 2

    @property
    def value(self) -> BodyHash:
        """The hash of what was fed, in base64; a last line without its end gets one."""
        digest = self._digest.copy()
        if self._any:
            digest.update(_CRLF)
        return BodyHash(base64.b64encode(digest.digest()).decode())

    def _hash_ends(self) -> None:
        while self._ends:
            lines = min(self._ends, _LINES_AT_ONCE)
            self._digest.update(_CRLF * lines)
            self._ends -= lines
