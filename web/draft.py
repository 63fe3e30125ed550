"""From what was typed to a letter that may be previewed: pure, the address' check comes in as a value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

from relay.client.contract import AddressCheck
from web.mailbox import is_roundabout, mailbox_of
from web.plain_text import MOST_COMPOSED, clean_line, clean_message, shows_something, without_controls
from web.pseudonym import screen_pseudonym
from web.schools import is_school
from web.signature import Signature

MAX_LOCAL: Final = 64
MAX_PATH: Final = 254
"""Octets of a local part and of an address (RFC 5321 §4.5.3.1); the relay has the last word on both."""

MAX_MESSAGE: Final = 2000
_LONGEST_ADDRESS: Final = 320
_LONGEST_SIGNATURE: Final = 40
_LONGEST_PSEUDONYM: Final = 200
_LONGEST_TYPED: Final = MAX_MESSAGE * MOST_COMPOSED
_BETWEEN_ADDRESSES: Final = re.compile(r"[\s,;]+")
_NAMED_ADDRESS: Final = re.compile(r"[^<>@]*<([^<>@\s]+@[^<>@\s]+)>|mailto:([^<>@?\s]+@[^<>@?\s]+)", re.IGNORECASE)
"""As mail programs and pages hand an address to whoever copies it."""
_SIGNATURES: Final = frozenset(signature.value for signature in Signature)
_OFFICES_FILE: Final = Path(__file__).parent / "words" / "roles.txt"
_REASONS: Final = frozenset({"syntax", "no-domain", "null-mx", "no-host"})


class Field(StrEnum):
    """A field of the compose form, by the name it posts."""

    TO = "to"
    SIGNATURE = "signature"
    PSEUDONYM = "pseudonym"
    MESSAGE = "message"
    RULES = "rules"


@dataclass(frozen=True, slots=True)
class Form:
    """What somebody typed, cleaned but not judged; also what the form shows again."""

    to: str = ""
    signature: str = ""
    pseudonym: str = ""
    message: str = ""
    rules: bool = False
    wall: bool = False
    """Whether the letter is offered for the wall."""
    morning: bool = False
    """Whether it is to leave tomorrow morning, not now."""

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Form:
        """The form in posted `fields`; missing fields are empty, unknown ones ignored."""
        return cls(
            to=clean_address(fields.get("to", "")),
            signature=fields.get("signature", "")[:_LONGEST_SIGNATURE],
            pseudonym=clean_line(fields.get("pseudonym", ""), _LONGEST_PSEUDONYM),
            message=_read_message(fields.get("message", "")),
            rules=fields.get("rules") == "on",
            wall=fields.get("wall") == "on",
            morning=fields.get("leaves") == "morning",
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter that may be sent. Built by `judge` or from a token that this program signed."""

    recipient: str
    signature: Signature
    pseudonym: str
    message: str
    wall: bool = False
    morning: bool = False
    """Whether it leaves tomorrow morning."""

    def form(self) -> Form:
        """The form that makes this draft, to be edited again."""
        typed = Form(self.recipient, self.signature.value, self.pseudonym, self.message, rules=True)
        return replace(typed, wall=self.wall, morning=self.morning)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to correct; `reason` names the text `problem.<reason>` of the catalogue."""

    field: Field
    reason: str
    suggestion: str = ""
    """A whole address that may have been meant."""
    excess: int = 0
    """Characters that are too many."""


def _read_message(typed: str) -> str:
    """A letter as it was typed, cleaned. One that is far too long is never sent: it costs no time, and stays whole."""
    if len(typed) > _LONGEST_TYPED:
        typed = without_controls(typed)
    return clean_message(typed) if len(typed) <= _LONGEST_TYPED else typed


def clean_address(typed: str) -> str:
    """An address that was typed or pasted; of `Ann <ann@example.org>` and `mailto:ann@example.org` what is meant.

    Wide letters and other ways to write the same ones are those: nobody has a mailbox beside another by them.
    """
    line = unicodedata.normalize("NFKC", clean_line(typed, _LONGEST_ADDRESS + 1))[: _LONGEST_ADDRESS + 1]
    named = _NAMED_ADDRESS.fullmatch(line)
    return (named[1] or named[2]) if named else line


def _what_is_wrong(address: str) -> str:
    """What a person would say of an `address` that is none."""
    if len([part for part in _BETWEEN_ADDRESSES.split(address) if "@" in part]) > 1:
        return "several"
    local, at, _ = address.rpartition("@")
    if len(address) > MAX_PATH or (at and len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL):
        return "long"
    return "syntax"


def address_problem(typed: str, check: AddressCheck | None) -> Problem | None:
    """What keeps an address that was `typed` from taking mail; None if nothing is known. `check`: None for none."""
    if check is None:
        return Problem(Field.TO, "to-missing")
    if check.ok or check.unknown:
        return Problem(Field.TO, "to-syntax") if is_roundabout(check.address) else None
    reason = check.reason if check.reason in _REASONS else "syntax"
    return Problem(Field.TO, f"to-{_what_is_wrong(typed) if reason == 'syntax' else reason}", check.suggestion)


@cache
def _offices() -> frozenset[str]:
    """Local parts that are an office."""
    lines = _OFFICES_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def judge(form: Form, check: AddressCheck | None, *, schools: bool = True) -> Draft | tuple[Problem, ...]:
    """The draft, or all that is wrong in the order of the form. `check` is None if no address was typed.

    `schools`: whether letters to schools are taken.
    """
    wrong = address_problem(form.to, check)
    problems = [] if wrong is None else [wrong]
    if wrong is None and check is not None:
        if mailbox_of(check.address).rpartition("@")[0] in _offices():
            problems.append(Problem(Field.TO, "to-office"))
        elif not schools and is_school(check.address):
            problems.append(Problem(Field.TO, "to-school"))
    if (excess := len(form.message) - MAX_MESSAGE) > 0:
        problems.append(Problem(Field.MESSAGE, "message-over", excess=excess))
    elif not shows_something(form.message):
        problems.append(Problem(Field.MESSAGE, "message-missing"))
    if form.signature not in _SIGNATURES:
        problems.append(Problem(Field.SIGNATURE, "signature-missing"))
    if form.pseudonym:
        fault = screen_pseudonym(form.pseudonym, (check.address if check else form.to).rpartition("@")[2])
        if fault is not None:
            problems.append(Problem(Field.PSEUDONYM, f"pseudonym-{fault.value}"))
    if not form.rules:
        problems.append(Problem(Field.RULES, "rules-missing"))
    if problems or check is None:
        return tuple(problems)
    return Draft(check.address, Signature(form.signature), form.pseudonym, form.message, form.wall, form.morning)
