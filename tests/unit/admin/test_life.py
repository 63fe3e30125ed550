"""What comes next for a delivery in each state, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from relay.admin.life import describe, what_next
from relay.event import EventKind
from relay.ids import SpoolId
from relay.policy.state import State
from relay.spool.inquiry import AttemptView, DeliveryView, EventView, MessageView
from relay.spool.work import Door

_ID = SpoolId("0" * 26)
_NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def _view(delivery: DeliveryView, *events: EventView, attempts: tuple[AttemptView, ...] = ()) -> MessageView:
    return MessageView(
        id=_ID,
        tenant="acme",
        tenant_id=1,
        door=Door.NOTICE,
        stream="letters",
        reverse_path="",
        size=1400,
        accepted_at=_NOW - timedelta(hours=2),
        expires_at=_NOW + timedelta(days=5),
        tags=(),
        metadata={},
        deliveries=(delivery,),
        attempts=attempts,
        events=events,
    )


def _delivery(state: State, attempts: int = 0, due: datetime | None = None) -> DeliveryView:
    return DeliveryView(_ID, 0, None, "b.example", state, attempts, due, State.WAITING)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_words(state: State) -> None:
    delivery = _delivery(state)
    assert what_next(_view(delivery), delivery, _NOW)


@pytest.mark.parametrize(
    ("attempts", "due", "expected"),
    [
        (
            0,
            _NOW - timedelta(seconds=5),
            "the first attempt now, as soon as a worker is free and its path's pace has room",
        ),
        (0, _NOW + timedelta(minutes=5), "the first attempt in 5m, at 2026-11-21 12:05:00 UTC"),
        (2, _NOW + timedelta(minutes=5), "attempt 3 in 5m, at 2026-11-21 12:05:00 UTC; given up in 5d"),
    ],
)
def test_waiting(attempts: int, due: datetime, expected: str) -> None:
    delivery = _delivery(State.WAITING, attempts, due)
    assert what_next(_view(delivery), delivery, _NOW) == expected


def test_an_attempt_without_a_host_and_a_late_result() -> None:
    detail = {
        "attempt": 1,
        "result": "temporary",
        "scope": "site",
        "phase": "route",
        "decided_by": "dns",
        "reply": "451 4.4.3 no MX",
        "late": True,
    }
    attempt = AttemptView(0, 1, _NOW, detail, ())
    event = EventView(2, _NOW, _ID, 0, EventKind.ATTEMPTED, detail)
    told = EventView(3, _NOW, _ID, 0, EventKind.HELD, {"reason": "no key"})
    delivery = _delivery(State.HELD, 1)
    text = "\n".join(describe(_view(delivery, event, told, attempts=(attempt,)), _NOW))
    assert "the relay itself: a report about another message, tenant acme, stream letters" in text
    assert "<> (nobody: reports about it go nowhere), 1.4 kB, 1 recipient\n" in text
    assert "to (erased)@b.example: held" in text
    assert "plan       no host\n" in text
    assert "decided by the DNS at route, about the site: 451 4.4.3 no MX" in text
    assert "attempted, too late to change anything" in text
    assert "held: no key" in text
