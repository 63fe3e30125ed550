"""Complaints: feedback reports (RFC 5965) and the forms of providers that never adopted it (N01).

The complainer is often hidden on purpose; what stands here then is whatever the returned header and the report
still say, and matching is done by our own tokens in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from relay.report.mime import Part
from relay.report.result import Original
from relay.report.returned import addressees, returned_part
from relay.report.signs import Signs
from relay.report.words import find_addresses

_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*+:(.*)")
_MAX_LINES: Final = 500
_STANDING: Final = frozenset({"abuse", "fraud", "opt-out", "opt-out-list", "virus", "other", "miscategorized"})
_COMPLAINTS: Final = frozenset({"abuse", "fraud", "opt-out", "opt-out-list"})
_HIDDEN = re.compile(r"redacted|hidden|undisclosed|xxxx|\*{3}", re.IGNORECASE)
_LOOP_SENDERS: Final = ("staff@hotmail.com", "fbl@", "feedbackloop@", "feedback@arf.", "scomp@", "complaints@")
_LOOP_SUBJECTS: Final = ("complaint about message from", "abuse report", "email feedback report for ip", "spam report")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a feedback report says."""

    feedback_type: str
    """In lower case, `abuse` when none is given (RFC 5965 §3.1)."""
    recipients: tuple[str, ...]
    """Who complained, as far as it is told."""
    reported_domain: str
    source_ip: str
    envid: str
    original: Original

    @property
    def standing(self) -> bool:
        """Whether the recipient wants no more such mail (RFC 6650; N02)."""
        return self.feedback_type in _COMPLAINTS


def read_complaint(message: Part, signs: Signs) -> Complaint | None:
    """The complaint in `message`, or None; one that a delivery report returns is none."""
    if any(part.kind.endswith("delivery-status") for part in message.near()):
        return None
    for container in message.walk() if signs.weight < 1 else message.near():
        for part in container.children or (container,):
            if part.kind in ("message/feedback-report", "text/feedback-report"):
                return _read(container, part, part.text)
    if "feedback-report" in message.parameters.get("report-type", "").lower():
        for part in message.children:
            if "feedback-type" in part.shown(4000).lower():
                return _read(message, part, part.text)
    return _untyped(message) or _informal(message, signs)


def _untyped(message: Part) -> Complaint | None:
    """A feedback report whose parts lost their types: fields that only such a report begins with, and the mail."""
    if returned_part(message) is None:
        return None
    for part in message.children:
        if part.kind != "text/plain" and part.kind != "application/octet-stream":
            continue
        text = part.shown(4000).lstrip()
        fields = _fields(text) if _FIELD.match(text) else {}
        if "feedback-type" in fields and ("user-agent" in fields or "version" in fields):
            return _read(message, part, text)
    return None


def _read(container: Part, part: Part, text: str) -> Complaint:
    fields = _fields(text)
    if "feedback-type" not in fields and part.first("feedback-type"):
        fields = {**{name: [value] for name, value in part.fields}, **fields}
    original = returned_part(container, besides=part) or Original()
    named = [one for value in fields.get("original-rcpt-to", []) for one in find_addresses(value)]
    named += [one for value in fields.get("removal-recipient", []) for one in find_addresses(value)]
    recipients = _shown(named) or _shown(_from_original(original))
    return Complaint(
        feedback_type=_first(fields, "feedback-type").lower().split(" ")[0].strip(";,") or "abuse",
        recipients=recipients,
        reported_domain=_first(fields, "reported-domain").lower()[:255],
        source_ip=_first(fields, "source-ip").strip("[]")[:64],
        envid=_first(fields, "original-envelope-id"),
        original=original,
    )


def _fields(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    last: list[str] = []
    for line in text.split("\n")[:_MAX_LINES]:
        match = _FIELD.match(line)
        if match is not None:
            last = found.setdefault(match[1].lower(), [])
            last.append(match[2].strip()[:4000])
        elif line[:1] in (" ", "\t") and last and len(last[-1]) < 4000:
            last[-1] = f"{last[-1]} {line.strip()}"
    return found


def _first(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0].strip()


def _from_original(original: Original) -> list[str]:
    """Who the mail was for; Microsoft's loops name the complainer in a field of their own."""
    for name in ("x-hmxmroriginalrecipient", "x-original-to", "delivered-to", "x-apparently-to"):
        found = find_addresses(original.first(name)[:2000])
        if found:
            return found
    return addressees(original)


def _shown(addresses: list[str]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for address in addresses:
        if not _HIDDEN.search(address):
            seen.setdefault(address.lower(), address)
    return tuple(seen.values())[:50]


def _informal(message: Part, signs: Signs) -> Complaint | None:
    """A provider's loop without RFC 5965: the mail as an attachment, from an address known for it."""
    original = returned_part(message)
    if original is None or original.first("x-hmxmroriginalrecipient"):
        known = original is not None
    else:
        known = any(sender.startswith(_LOOP_SENDERS) for sender in signs.sender_addresses) and any(
            subject in signs.subject for subject in _LOOP_SUBJECTS
        )
    if original is None or not known:
        return None
    return Complaint("abuse", _shown(_from_original(original)), "", "", "", original)
