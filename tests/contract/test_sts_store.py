"""MTA-STS policies outlive the worker that fetched them, in every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.policy.mta_sts import StsMode, StsPolicy
from relay.policy.tls import Fault, TlsResult
from relay.resolver.contract import DnsAnswer
from relay.resolver.mta_sts import NO_POLICY, StoredPolicy, StsAnswer, StsPolicies
from relay.resolver.sts_store import StsStore
from tests.support.either_database import BOTH, open_database
from tests.support.hand_clock import HandClock

WEEK = StsPolicy(StsMode.ENFORCE, ("mx.d.test", "*.mx.d.test"), 7 * 86_400)
BLOCKED = Fault("connection refused", TlsResult.STS_FETCH_ERROR)


class Outside:
    """Resolver and policy host at once."""

    def __init__(self) -> None:
        self.record: tuple[str, ...] = ("v=STSv1; id=one",)
        self.answer: StsPolicy | Fault = WEEK
        self.fetches = 0

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        return DnsAnswer(self.record)

    async def fetch(self, domain: str) -> StsPolicy | Fault:
        self.fetches += 1
        return self.answer


@pytest.fixture(params=BOTH)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[StsStore, HandClock]]:
    clock = HandClock()
    database = await open_database(request, tmp_path)
    store = StsStore(database, clock)
    await store.migrate()
    yield store, clock
    await database.close()


async def test_a_policy_holds_after_a_restart_though_fetch_and_record_are_blocked(
    store: tuple[StsStore, HandClock],
) -> None:  # I07, S05
    book, clock = store
    outside = Outside()
    before = StsPolicies(outside, outside, clock, store=book)
    assert await before.of("d.test") == StsAnswer(WEEK)
    await before.close()

    outside.answer, outside.record = BLOCKED, ()
    after = StsPolicies(outside, outside, clock, store=book)
    await after.load()
    assert await after.of("d.test") == StsAnswer(WEEK)
    clock.move(6 * 86_400)
    again = StsPolicies(outside, outside, clock, store=book)
    await again.load()
    assert await again.of("d.test") == StsAnswer(WEEK)
    clock.move(86_401)
    assert await again.of("d.test") == NO_POLICY, "max_age counts from the fetch, not from the restart"
    assert await book.load() == []
    assert outside.fetches == 1


async def test_one_worker_fetches_for_all(store: tuple[StsStore, HandClock]) -> None:  # I07 I09
    book, clock = store
    outside = Outside()
    workers = [StsPolicies(outside, outside, clock, store=book) for _ in range(3)]
    for worker in workers:
        assert await worker.of("d.test") == StsAnswer(WEEK)
    assert outside.fetches == 1
    outside.record, outside.answer = ("v=STSv1; id=two",), replace(WEEK, mode=StsMode.TESTING)
    for worker in workers:
        assert await worker.of("d.test") == StsAnswer(outside.answer)
    assert outside.fetches == 2


async def test_an_older_policy_does_not_replace_a_newer_one(store: tuple[StsStore, HandClock]) -> None:
    book, clock = store
    newer = StoredPolicy("d.test", "two", WEEK, clock.now())
    await book.keep(newer)
    clock.move(-60)
    await book.keep(StoredPolicy("d.test", "one", replace(WEEK, mx=()), clock.now()))
    assert await book.find("d.test") == newer
    assert await book.find("e.test") is None
