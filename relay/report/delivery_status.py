"""The machine-readable part of a delivery report, RFC 3464, as the world's programs write it (G12, G13).

Between the MIME reader and `reading`. Knows no wording: it gives each recipient's fields. Lenient on purpose:
missing blank lines and superfluous ones, fields out of order, types left out, encoded bodies, the part sent as
plain text or as a whole message, and the UTF-8 forms of RFC 6533.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from relay.report.decoding import decode_words
from relay.report.mime import Part
from relay.report.result import Said
from relay.report.words import ADDRESS, find_code, find_enhanced

MAX_RECIPIENTS: Final = 500
MAX_DIAGNOSTIC: Final = 4000
_MAX_LINES: Final = 20_000
_CUT: Final = 2
"""Letters of an action that are enough where the report was cut off in the middle of it."""

_LINE = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*+:(.*)")
_TYPED = re.compile(r"\s*+([A-Za-z0-9][\w.+/-]{0,40})\s*+;(.*)", re.DOTALL)
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533 §3
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,4})")
_MESSAGE_FIELDS = frozenset(
    {"reporting-mta", "original-envelope-id", "dsn-gateway", "received-from-mta", "arrival-date", "x-postfix-queue-id"}
)
_WHO = ("original-recipient", "final-recipient")
_RECIPIENT_FIELDS = frozenset(
    {*_WHO, "action", "status", "diagnostic-code", "remote-mta"} | {"x-actual-recipient", "x-supplementary-info"}
)
_STATUS_KINDS = frozenset(
    {"message/delivery-status", "message/global-delivery-status", "text/delivery-status", "message/deliverystatus"}
)
_PLAIN_KINDS = frozenset({"text/plain", "message/rfc822", "application/octet-stream"})
_ACTIONS: Final = (
    ("fail", Said.FAILED),
    ("error", Said.FAILED),
    ("undeliver", Said.FAILED),
    ("reject", Said.FAILED),
    ("bounce", Said.FAILED),
    ("expired", Said.FAILED),
    ("delay", Said.DELAYED),
    ("defer", Said.DELAYED),
    ("deliverable", Said.DELIVERED),
    ("deliver", Said.DELIVERED),
    ("relay", Said.RELAYED),
    ("expan", Said.EXPANDED),
)


@dataclass(frozen=True, slots=True)
class Block:
    """What the report says of one recipient."""

    address: str
    action: Said
    status: str
    """The Status field, or what the diagnostic says where it is missing or tells no more than its class."""
    diagnostic: str
    remote_mta: str
    code: int | None
    final_address: str


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """A delivery-status part."""

    reporting_mta: str
    envid: str
    blocks: tuple[Block, ...]


@dataclass(slots=True)
class _Group:
    fields: dict[str, str] = field(default_factory=dict)


def find_status(message: Part, *, enclosed: bool = False, loosely: bool = False) -> DeliveryStatus | None:
    """The first delivery-status part of the message, or with `enclosed` of a message inside it; None without one.

    A part is one by its type, or by holding the fields where a multipart/report has its second part; with `loosely`,
    for mail that a daemon sent, in any part that begins with such fields.
    """
    parts = list(message.walk() if enclosed else message.near())
    for part in parts:
        if part.kind in _STATUS_KINDS and (status := read_status(_status_text(part))):
            return status
    strict = bool(message.children) and not any(_is_delivery_report(part) for part in parts)
    if strict and not loosely:
        return None
    plain = [part for part in parts if not part.children and part.kind in _PLAIN_KINDS]
    for part in plain[:6]:
        text = part.shown(20_000)
        if (
            "inal-recipient" in text.lower()
            and not (strict and _LINE.match(text.lstrip()) is None)
            and (status := read_status(text))
        ):
            return status
    return None


def _is_delivery_report(part: Part) -> bool:
    return part.kind == "multipart/report" or "delivery-status" in part.parameters.get("report-type", "").lower()


def _status_text(part: Part) -> str:
    """The body; or the part's own header, where a program left out the empty line before the fields."""
    text = part.text
    if text.strip() or not part.first("final-recipient"):
        return text
    return "\n".join(f"{name}: {value}" for name, value in part.fields)


def read_status(text: str) -> DeliveryStatus | None:
    """The fields in `text`, or None when they name no recipient and no action."""
    message: dict[str, str] = {}
    groups: list[_Group] = []
    for group in _groups(text):
        _place(group, message, groups)
    blocks = [block for group in groups[:MAX_RECIPIENTS] if (block := _block(group.fields)) is not None]
    if not blocks:
        return None
    return DeliveryStatus(
        _host(message.get("reporting-mta", "")), message.get("original-envelope-id", ""), tuple(blocks)
    )


def _groups(text: str) -> Iterator[list[tuple[str, str]]]:
    """The fields between empty lines; a line that is no field continues the one before."""
    group: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n")):
        if number > _MAX_LINES:
            break
        if not line.strip():
            if group:
                yield group
            group = []
            continue
        match = None if line[0] in " \t" and group else _LINE.match(line.strip())
        if match is not None:
            group.append((match[1].lower(), match[2].strip()))
        elif group and len(group[-1][1]) < MAX_DIAGNOSTIC:
            group[-1] = (group[-1][0], f"{group[-1][1]} {line.strip()}".strip())
    if group:
        yield group


def _place(group: list[tuple[str, str]], message: dict[str, str], groups: list[_Group]) -> None:
    """Put the fields of one group where they belong: the message, a new recipient, or the one before.

    An empty line begins a new recipient only if the group names one, since some programs put empty lines between
    all fields; a second name of the same kind begins one without an empty line.
    """
    fresh = True
    for name, value in group:
        if name in _MESSAGE_FIELDS:
            message.setdefault(name, value)
            continue
        if name not in _RECIPIENT_FIELDS:
            continue
        current = groups[-1].fields if groups else None
        if current is None or (name in _WHO and _complete(current, name, fresh=fresh)):
            groups.append(_Group({name: value}))
        else:
            current.setdefault(name, value)
        if name in _WHO:
            fresh = False


def _complete(current: dict[str, str], name: str, *, fresh: bool) -> bool:
    """Whether the recipient so far is whole, so that a field naming one begins another."""
    if name in current:
        return True
    named = any(who in current for who in _WHO)
    return named and fresh and ("action" in current or "status" in current)


def _block(fields: dict[str, str]) -> Block | None:
    original = read_typed_address(fields.get("original-recipient", ""))
    final = read_typed_address(fields.get("final-recipient", ""))
    actual = read_typed_address(fields.get("x-actual-recipient", ""))
    address = next((one for one in (original, final, actual) if "@" in one), "")
    address = address or next((one for one in (final, original, actual) if one), "")
    diagnostic = _diagnostic(fields.get("diagnostic-code", "") or fields.get("x-supplementary-info", ""))
    action = _action(fields.get("action", ""))
    given = _ENHANCED.search(fields.get("status", ""))
    status = given[0] if given else ""
    if action is None and not status and not diagnostic:
        return None
    code = find_code(diagnostic)
    status = _best_status(status, find_enhanced(diagnostic), code)
    if action is None:
        action = {"2": Said.DELIVERED, "4": Said.DELAYED}.get(status[:1], Said.FAILED)
    return Block(
        address=address,
        action=action,
        status=status,
        diagnostic=diagnostic,
        remote_mta=_host(fields.get("remote-mta", "")),
        code=code,
        final_address=final if final != address and "@" in final else "",
    )


def _best_status(status: str, said: str, code: int | None) -> str:
    """Status is the rule; what the far side said is finer when Status gives only a class (RFC 3464 §2.3.4)."""
    if not status:
        return said or (f"{code // 100}.0.0" if code and code >= 400 else "")
    if status.endswith(".0.0") and said[:1] == status[:1]:
        return said
    return status


def _action(value: str) -> Said | None:
    word = value.strip().lower()
    found = next((action for prefix, action in _ACTIONS if word.startswith(prefix)), None)
    if found is None and len(word) >= _CUT:
        found = next((action for prefix, action in _ACTIONS if prefix.startswith(word)), None)
    return found


def _diagnostic(value: str) -> str:
    value = decode_words(value)
    typed = _TYPED.match(value)
    return " ".join((typed[2] if typed else value).split())[:MAX_DIAGNOSTIC]


def _host(value: str) -> str:
    typed = _TYPED.match(value)
    words = (typed[2] if typed else value).split()
    return words[0].strip("()[]<>;,").lower()[:255] if words else ""


def read_typed_address(value: str) -> str:
    """The address in a field `type; address`, with or without type, brackets, comment; "" for none.

    Unicode embedded in ASCII (RFC 6533 §3) and xtext that was left encoded (RFC 3461 §4.2) are undone.
    """
    typed = _TYPED.match(value)
    kind, text = (typed[1].lower(), typed[2].strip()) if typed else ("", value.strip())
    if "\\x{" in text:
        text = _EMBEDDED.sub(_unembed, text)
    if "@" not in text and "+40" in text:
        text = _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)
    text = decode_words(text)
    if kind in ("x400", "x-400"):
        return text[:320]
    found = ADDRESS.search(text)
    if found:
        return found[0].strip("'")
    return text.strip("<>\"' \t").partition(" ")[0][:320]


def _unembed(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else match[0]
