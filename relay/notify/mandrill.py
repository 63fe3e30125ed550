"""Events in Mandrill's form, for receivers written for it. Pure.

One of our events is one or several of Mandrill's: `delivered` is what Mandrill calls `send`, and `delivered` too.
What Mandrill would tell of opened letters and clicked links does not exist here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from relay.event import EventKind
from relay.event.feed import FeedEvent
from relay.ids import delivery_id

NAMES: Final[dict[EventKind, tuple[str, ...]]] = {
    EventKind.DELIVERED: ("send", "delivered"),
    EventKind.DEFERRED: ("deferral",),
    EventKind.BOUNCED: ("hard_bounce",),
    EventKind.RETURNED: ("hard_bounce",),
    EventKind.EXPIRED: ("soft_bounce",),
    EventKind.COMPLAINED: ("spam",),
    EventKind.OPTED_OUT: ("unsub",),
    EventKind.SUPPRESSED: ("reject",),
}
"""Kinds that Mandrill has no name for are not told."""

_STATES: Final = {
    "send": "sent",
    "delivered": "sent",
    "deferral": "deferred",
    "hard_bounce": "bounced",
    "soft_bounce": "soft-bounced",
    "spam": "sent",
    "unsub": "sent",
    "reject": "rejected",
}


def mandrill_events(events: Sequence[FeedEvent]) -> str:
    """The value of the field `mandrill_events`; "[]" when none of them has a name there."""
    told = [_event(name, event) for event in events for name in NAMES.get(event.kind, ())]
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _event(name: str, event: FeedEvent) -> dict[str, Any]:
    ts = int(event.at.timestamp())
    number = None if event.n is None else delivery_id(event.message, event.n)
    reply = str(event.detail.get("reply", ""))
    message: dict[str, Any] = {
        "ts": ts,
        "_id": number,
        "_version": event.id,
        "state": _STATES[name],
        "email": event.address,
        "sender": event.sender,
        "tags": list(event.tags),
        "metadata": dict(event.metadata),
        "opens": [],
        "clicks": [],
        "smtp_events": [],
        "resends": [],
        "subject": None,
        "template": None,
        "subaccount": None,
    }
    if name in {"hard_bounce", "soft_bounce", "deferral"}:
        message["diag"] = f"smtp;{reply}" if reply else ""
        message["bounce_description"] = _description(event)
    return {"event": name, "_id": number, "ts": ts, "msg": message}


def _description(event: FeedEvent) -> str:
    """Mandrill's word for the cause, as far as the enhanced code tells it (RFC 3463 §3)."""
    status = str(event.detail.get("status", ""))
    match status.split("."):
        case [_, "1", "1" | "6" | "10"]:
            return "bad_mailbox"
        case [_, "1", "2"]:
            return "invalid_domain"
        case [_, "2", "2"]:
            return "mailbox_full"
        case [_, "7", _]:
            return "spam" if event.kind is EventKind.COMPLAINED else "policy_related"
        case _:
            return "general"
