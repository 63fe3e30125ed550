"""Why a delivery waits, from what the spool shows of it: the facts for `relay.policy.explanation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from relay.policy.explanation import Explanation, Stop, WaitingFacts, explain_waiting
from relay.policy.outcome import Phase
from relay.policy.tls import TlsDemand
from relay.spool.inquiry import DeliveryView, MessageView
from relay.spool.orders import Suspension


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What stands in the way of mail: suspensions, rests by site; in words ceilings by warm-up's row, paces by site."""

    suspensions: Sequence[Suspension] = ()
    ceilings: Mapping[int, str] = field(default_factory=dict)
    paces: Mapping[str, str] = field(default_factory=dict)
    rests: Mapping[str, Stop] = field(default_factory=dict)


NO_OBSTACLES: Final = Obstacles()

_HANDSHAKE: Final = frozenset({Phase.EHLO, Phase.STARTTLS, Phase.TLS})
_WHOSE: Final = {"sts": "the MTA-STS policy of {}", "tlsa": "the TLSA records of {}"}


def waiting(
    view: MessageView, delivery: DeliveryView, now: datetime, obstacles: Obstacles = NO_OBSTACLES
) -> Explanation:
    """Why a WAITING delivery has not left, and what happens next."""
    stops = [
        Stop(one.until, one.reason)
        for one in obstacles.suspensions
        if one.stops(view.tenant, delivery.domain, delivery.site)
    ]
    words = last_words(view, delivery)
    due = delivery.due or now
    ceiling = None
    if delivery.warmth is not None and delivery.warmth.promised is not None:
        ceiling = Stop(due, obstacles.ceilings.get(delivery.warmth.row, "its source's warm-up has no room before"))
    rests = [Stop(one.until, one.reason) for one in obstacles.suspensions if one.source and one.site == delivery.site]
    rests += [obstacles.rests[delivery.site]] if delivery.site in obstacles.rests else []
    pace = obstacles.paces.get(delivery.site, "")
    return explain_waiting(
        WaitingFacts(
            now,
            due,
            view.expires_at,
            delivery.attempts,
            words,
            tuple(stops),
            ceiling,
            _unmet(view, delivery),
            min(rests, key=lambda one: one.until, default=None),
            pace,
        )
    )


def _unmet(view: MessageView, delivery: DeliveryView) -> str:
    """The TLS demand that the last attempt could not meet, in words; "" if there was none."""
    last = next((one.detail for one in reversed(view.attempts) if one.n == delivery.n), {})
    tls = last.get("tls")
    if not isinstance(tls, Mapping) or tls.get("testing") or last.get("phase") not in _HANDSHAKE:
        return ""
    demand = TlsDemand(tls["demand"])
    met = tls["verified"] or (demand is TlsDemand.ENCRYPT and tls["protocol"])
    if not demand.requires or met:
        return ""
    whose = _WHOSE.get(str(tls.get("policy")), "the settings").format(tls.get("domain", ""))
    missing = tls.get("error") or tls.get("failure") or "it was not to be had"
    return f"TLS demand `{demand}` of {whose} is not met: {missing}"


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
