"""Bounces and complaints as JSON in a mail: what Amazon SES tells through a subscription by mail.

Asked before the other readers, since nothing else begins so. Pure; bounded by the text that a part gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from relay.report.feedback import Complaint
from relay.report.mime import Part
from relay.report.result import Original, Recipient, Said
from relay.report.words import find_addresses, find_code, find_enhanced, one_line

_MAX_RECIPIENTS: Final = 500
_STATUS: Final = {"permanent": "5.0.0", "transient": "4.0.0"}
"""For a recipient of whom nothing more is told."""


def read_notification(message: Part) -> tuple[Recipient, ...] | Complaint | None:
    """The recipients of a bounce, yet without their reasons, or a complaint; None if `message` is neither."""
    document = _document(message)
    match str(document.get("notificationType") or document.get("eventType") or ""):
        case "Bounce":
            return tuple(_failed(document.get("bounce"))) or None
        case "Complaint":
            return _complaint(document.get("complaint"))
        case _:
            return None


def _document(message: Part) -> Mapping[str, Any]:
    if message.kind not in ("text/plain", "application/json"):
        return {}
    text = message.text.lstrip()
    if not text.startswith("{") or "Type" not in text:
        return {}
    try:
        document, _ = json.JSONDecoder().raw_decode(text)  # how to unsubscribe stands below it
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _failed(bounce: object) -> Iterator[Recipient]:
    if not isinstance(bounce, dict):
        return
    spare = _STATUS.get(str(bounce.get("bounceType", "")).lower(), "")
    for one, address in _people(bounce.get("bouncedRecipients")):
        words = one_line(str(one.get("diagnosticCode") or "").partition(";")[2])
        status = find_enhanced(str(one.get("status") or "")) or spare
        yield Recipient(address, Said.FAILED, status, diagnostic=words, code=find_code(words))


def _complaint(complaint: object) -> Complaint | None:
    if not isinstance(complaint, dict):
        return None
    people = tuple(address for _, address in _people(complaint.get("complainedRecipients")))
    kind = str(complaint.get("complaintFeedbackType") or "abuse").lower()[:40]
    return Complaint(kind, people, "", "", "", Original())


def _people(entries: object) -> Iterator[tuple[Mapping[str, Any], str]]:
    for entry in entries[:_MAX_RECIPIENTS] if isinstance(entries, list) else ():
        found = find_addresses(str(entry.get("emailAddress") or "")[:1000]) if isinstance(entry, dict) else []
        if found:
            yield entry, found[0]
