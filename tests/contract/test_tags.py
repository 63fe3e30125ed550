"""What came of mail by its tags, on every database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.event import EventKind
from relay.policy.outcome import Result
from relay.policy.state import State
from relay.spool.accepting import write_event
from relay.spool.tags import TagHour
from relay.spool.work import Receipt, Settlement
from tests.contract.test_spool import START, Bench, attempt, bench

__all__ = ["bench"]

HOUR = timedelta(hours=1)


async def send(bench: Bench, *tags: str, ends: State = State.DELIVERED, tenant: int = 1) -> Receipt:
    """A letter that ended so."""
    receipt = await bench.accept("a@b.example", lease_to=bench.me, tags=tags, tenant=tenant)
    kind = EventKind.DELIVERED if ends is State.DELIVERED else EventKind.BOUNCED
    tried = attempt(Result.DELIVERED if ends is State.DELIVERED else Result.PERMANENT)
    assert await bench.spool.settle(bench.me, [Settlement(receipt.seq, 0, ends, event=kind, attempt=tried)]) == 1
    return receipt


async def test_counts_by_tag_and_hour(bench: Bench) -> None:
    first = await send(bench, "news", "spring")
    await send(bench, "news", ends=State.BOUNCED)
    await send(bench, "other", tenant=2)
    await send(bench)
    bench.clock.forward(hours=1)
    await send(bench, "news")
    now = int(bench.clock.now().timestamp() * 1000)
    await bench.database.write(lambda c: write_event(c, now, first.seq, 0, EventKind.COMPLAINED, None))
    assert await bench.spool.tags(1) == ["news", "spring"]
    assert [await bench.spool.has_tag(tenant, "other") for tenant in (1, 2)] == [False, True]
    assert await bench.spool.tag_hours(1, ["news", "spring"], START) == [
        TagHour("news", START, {"delivered": 1, "bounced": 1}),
        TagHour("news", START + HOUR, {"delivered": 1, "complained": 1}),
        TagHour("spring", START, {"delivered": 1}),
        TagHour("spring", START + HOUR, {"complained": 1}),
    ]
    assert [one.hour for one in await bench.spool.tag_hours(1, ["news"], START + HOUR)] == [START + HOUR]
    assert await bench.spool.tag_hours(2, ["news"], START) == []


async def test_the_newest_are_looked_at_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.spool.tags.LOOKED_AT", 4)
    monkeypatch.setattr("relay.spool.tags.MOST_TAGS", 2)
    for ends in (State.BOUNCED, State.BOUNCED, State.DELIVERED, State.DELIVERED):
        await send(bench, "a", "b", "c", ends=ends)
    assert await bench.spool.tags(1) == ["a", "b"]
    assert await bench.spool.tag_hours(1, ["a", "b"], START) == [
        TagHour("a", START, {"delivered": 2}),
        TagHour("b", START, {"delivered": 2}),
    ]
