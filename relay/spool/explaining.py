"""Why a delivery waits, from what the spool shows of it: the facts for `relay.policy.explanation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from relay.policy.explanation import Explanation, Stop, WaitingFacts, explain_waiting
from relay.spool.inquiry import DeliveryView, MessageView
from relay.spool.orders import Suspension

NONE: Final[Mapping[int, str]] = MappingProxyType({})


def waiting(
    view: MessageView,
    delivery: DeliveryView,
    now: datetime,
    suspensions: Sequence[Suspension] = (),
    ceilings: Mapping[int, str] = NONE,
) -> Explanation:
    """Why a WAITING delivery has not left, and what happens next; `ceilings` tell of warm-ups, by their rows."""
    stops = [Stop(one.until, one.reason) for one in suspensions if one.stops(view.tenant, delivery)]
    words = last_words(view, delivery)
    due = delivery.due or now
    ceiling = None
    if delivery.warmth is not None and delivery.warmth.promised is not None:
        ceiling = Stop(due, ceilings.get(delivery.warmth.row, "its source's warm-up has no room before"))
    return explain_waiting(WaitingFacts(now, due, view.expires_at, delivery.attempts, words, tuple(stops), ceiling))


def ceilings_of(view: MessageView) -> set[int]:
    """The rows of the warm-ups that deliveries wait for."""
    warmths = (delivery.warmth for delivery in view.deliveries)
    return {warmth.row for warmth in warmths if warmth is not None and warmth.promised is not None}


def last_words(view: MessageView, delivery: DeliveryView) -> str:
    """The words of the last event that gave any, "" if none did."""
    for event in reversed(view.events):
        if event.n in {None, delivery.n}:
            text = event.detail.get("reason") or event.detail.get("reply")
            if text:
                return str(text)
    return ""
