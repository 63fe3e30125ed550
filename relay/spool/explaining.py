"""Why a delivery waits, from what the spool shows of it: the facts for `relay.policy.explanation`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from relay.policy.explanation import Explanation, Stop, WaitingFacts, explain_waiting
from relay.spool.inquiry import DeliveryView, MessageView
from relay.spool.orders import Suspension


def waiting(
    view: MessageView, delivery: DeliveryView, now: datetime, suspensions: Sequence[Suspension] = ()
) -> Explanation:
    """Why a WAITING delivery has not left, and what happens next."""
    stops = [Stop(one.until, one.reason) for one in suspensions if one.stops(view.tenant, delivery)]
    words = last_words(view, delivery)
    return explain_waiting(
        WaitingFacts(now, delivery.due or now, view.expires_at, delivery.attempts, words, tuple(stops))
    )


def last_words(view: MessageView, delivery: DeliveryView) -> str:
    """The words of the last event that gave any, "" if none did."""
    for event in reversed(view.events):
        if event.n in {None, delivery.n}:
            text = event.detail.get("reason") or event.detail.get("reply")
            if text:
                return str(text)
    return ""
