"""MTA-STS as text: the TXT record, the policy and the names it allows (RFC 8461 §3, §4.1). Pure.

Stands under the fetcher, which brings both texts, and the plan, which asks whether an exchanger is listed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_AGE: Final = 31_557_600
"""Seconds a policy may be kept at most (RFC 8461 §3.2)."""
MAX_MX: Final = 1000
"""Patterns of one policy that are kept."""

_RECORD: Final = re.compile(r"v=STSv1[ \t]*;")
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_FIELD: Final = re.compile(r"[ \t]*([A-Za-z0-9][A-Za-z0-9_\-.]{0,31})[ \t]*=[ \t]*([!-:<>-~]*)[ \t]*")
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,31}")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_PATTERN: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


class StsMode(StrEnum):
    """What the policy asks for."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """One policy; `mx` are lower-case patterns, `max_age` is in seconds."""

    mode: StsMode
    mx: tuple[str, ...]
    max_age: int

    def allows(self, exchanger: str) -> bool:
        """Whether an exchanger (A-labels) is listed: equal, or one left-most label under `*.` (I04)."""
        name = exchanger.lower().removesuffix(".")
        parent = name.partition(".")[2]
        return any(name == p or (p.startswith("*.") and parent == p[2:]) for p in self.mx)


class StsSyntaxError(ValueError):
    """The policy's text is not one; the message says why."""


def record_id(texts: Iterable[str]) -> str:
    """The id in the TXT records of `_mta-sts.DOMAIN`; empty unless exactly one is a valid STSv1 record (I01)."""
    records = [text for text in texts if _RECORD.match(text)]
    if len(records) != 1:
        return ""
    rest = records[0].split(";")[1:]
    fields: dict[str, str] = {}
    for n, part in enumerate(rest):
        match = _FIELD.fullmatch(part)
        if match is None:
            if n == len(rest) - 1 and not part.strip(" \t"):
                continue
            return ""
        fields.setdefault(match[1], match[2])
    found = fields.get("id", "")
    return found if _ID.fullmatch(found) else ""


def parse_policy(text: str) -> StsPolicy:
    """The policy in the body of a policy file (I02). Raises StsSyntaxError."""
    fields: dict[str, str] = {}
    patterns: dict[str, None] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        key, colon, value = line.partition(":")
        key, value = key.strip(" \t"), value.strip(" \t")
        if not key and not colon:
            continue
        if not colon or not _KEY.fullmatch(key) or "\r" in line:
            raise StsSyntaxError("a line is no key with a value")
        if key == "mx":
            if not _PATTERN.fullmatch(value):
                raise StsSyntaxError("an mx is no host name")
            patterns[value.lower()] = None
        else:
            fields.setdefault(key, value)
    if fields.get("version") != "STSv1":
        raise StsSyntaxError("the version is not STSv1")
    if fields.get("mode") not in set(StsMode):
        raise StsSyntaxError("the mode is none of enforce, testing and none")
    mode = StsMode(fields["mode"])
    age = fields.get("max_age", "")
    if not (age.isascii() and age.isdecimal() and len(age) <= 10 and int(age) <= MAX_AGE):
        raise StsSyntaxError("max_age is no number of seconds up to a year")
    if not patterns and mode is not StsMode.NONE:
        raise StsSyntaxError("no mx is listed")
    return StsPolicy(mode, tuple(patterns)[:MAX_MX], int(age))


def policy_text(policy: StsPolicy) -> str:
    """A policy as it is served (RFC 8461 §3.2)."""
    lines = ["version: STSv1", f"mode: {policy.mode.value}", *(f"mx: {one}" for one in policy.mx)]
    return "".join(f"{line}\r\n" for line in [*lines, f"max_age: {policy.max_age}"])


def policy_id(policy: StsPolicy) -> str:
    """The id for the TXT record: another policy has another one."""
    return hashlib.sha256(policy_text(policy).encode()).hexdigest()[:20]
