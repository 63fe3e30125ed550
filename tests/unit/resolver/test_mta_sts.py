"""The policy cache over time: a hand-moved clock, real DNS packets, a counting source of policies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from relay.policy.mta_sts import StsMode, StsPolicy
from relay.policy.tls import Fault, TlsResult
from relay.resolver import mta_sts
from relay.resolver.mta_sts import FAILURE_TTL, NO_POLICY, REFRESH_AFTER, StsAnswer, StsPolicies
from relay.resolver.resolver import DnsResolver
from tests.support.dns_server import DnsServer
from tests.support.dns_server import Fault as DnsFault
from tests.support.hand_clock import HandClock

DAY = 86_400.0
WEEK = StsPolicy(StsMode.ENFORCE, ("mx1.test",), 7 * 86_400)
OTHER = StsPolicy(StsMode.ENFORCE, ("mx2.test",), 7 * 86_400)
BROKEN = Fault("the MTA-STS policy could not be fetched: HTTP status 500", TlsResult.STS_FETCH_ERROR)


@dataclass
class Source:
    """Gives `answer` and counts."""

    answer: StsPolicy | Fault = WEEK
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)

    async def fetch(self, domain: str) -> StsPolicy | Fault:
        self.asked.append(domain)
        await asyncio.sleep(self.delay)
        return self.answer


@dataclass
class World:
    clock: HandClock
    dns: DnsServer
    source: Source
    policies: StsPolicies

    def publish(self, *records: str) -> None:
        self.dns.zone["_mta-sts.d.test"] = {"TXT": list(records)} if records else {}

    async def of(self, domain: str = "d.test") -> StsAnswer:
        return await self.policies.of(domain)

    async def after(self, seconds: float) -> StsAnswer:
        """What holds when `seconds` passed, DNS cache and all."""
        self.clock.move(seconds)
        return await self.of()


@contextlib.asynccontextmanager
async def world(**source: object) -> AsyncIterator[World]:
    clock, provider = HandClock(), Source(**source)  # type: ignore[arg-type]
    async with DnsServer({"d.test": {}, "_mta-sts.d.test": {"TXT": ["v=STSv1; id=one"]}}, ttl=60) as dns:
        resolver = DnsResolver([dns.address], timeout=5, trust_ad=False, clock=clock)
        policies = StsPolicies(resolver, provider, clock)
        try:
            yield World(clock, dns, provider, policies)
        finally:
            await policies.close()
            await resolver.close()


async def test_a_policy_is_fetched_once_and_kept() -> None:  # I07
    async with world() as here:
        assert await here.of() == StsAnswer(WEEK)
        for _ in range(5):
            assert await here.after(3600) == StsAnswer(WEEK)
        assert here.source.asked == ["d.test"]


async def test_a_new_id_brings_a_new_policy() -> None:  # I07 I06
    async with world() as here:
        await here.of()
        here.publish("v=STSv1; id=two")
        here.source.answer = OTHER
        assert await here.of() == StsAnswer(WEEK), "the record's TTL has not ended"
        assert await here.after(61) == StsAnswer(OTHER)
        assert len(here.source.asked) == 2


async def test_a_failing_fetch_keeps_the_valid_policy() -> None:  # I07 I09
    async with world() as here:
        await here.of()
        here.publish("v=STSv1; id=two")
        here.source.answer = BROKEN
        for _ in range(20):
            assert (await here.after(61)).policy == WEEK
        assert 3 <= len(here.source.asked) <= 2 + 20 * 61 / FAILURE_TTL


@pytest.mark.parametrize("records", [(), ("v=spf1 -all",), ("v=STSv1; id=a", "v=STSv1; id=b")])
async def test_a_vanished_record_cancels_nothing(records: tuple[str, ...]) -> None:  # I07
    async with world() as here:
        await here.of()
        here.publish(*records)
        assert await here.after(DAY) == StsAnswer(WEEK)
        here.dns.faults["_mta-sts.d.test", "TXT"] = DnsFault.SERVFAIL
        assert await here.after(DAY) == StsAnswer(WEEK)


async def test_a_policy_ends_with_its_max_age() -> None:  # I07
    async with world() as here:
        await here.of()
        here.publish()
        assert await here.after(7 * DAY - 1) == StsAnswer(WEEK)
        assert await here.after(2) == NO_POLICY


async def test_no_record_no_fetch() -> None:  # I01 I08
    async with world() as here:
        assert await here.of("e.test") == NO_POLICY
        here.publish("v=STSv1; id=")
        assert await here.of() == NO_POLICY
        assert here.source.asked == []


async def test_a_dead_policy_host_is_asked_once_in_five_minutes() -> None:  # I08 I09
    async with world(answer=BROKEN) as here:
        for _ in range(1000):
            assert await here.of() == StsAnswer(None, BROKEN)
        assert len(here.source.asked) == 1
        assert await here.after(FAILURE_TTL + 1) == StsAnswer(None, BROKEN)
        assert len(here.source.asked) == 2
        here.source.answer = WEEK
        assert await here.after(FAILURE_TTL + 1) == StsAnswer(WEEK)


async def test_questions_at_once_are_one_fetch() -> None:  # I09
    async with world(delay=0.05) as here:
        answers = await asyncio.gather(*(here.of() for _ in range(100)))
        assert set(answers) == {StsAnswer(WEEK)}
        assert len(here.source.asked) == 1


async def test_one_who_gives_up_waiting_takes_the_policy_from_nobody() -> None:
    async with world(delay=0.1) as here:
        impatient, patient = asyncio.create_task(here.of()), asyncio.create_task(here.of())
        await asyncio.sleep(0.03)
        impatient.cancel()
        assert await patient == StsAnswer(WEEK)


async def test_a_slow_newer_policy_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:  # I07
    monkeypatch.setattr(mta_sts, "PATIENCE", 0.05)
    async with world() as here:
        await here.of()
        here.publish("v=STSv1; id=two")
        here.source.delay, here.source.answer = 0.2, OTHER
        assert await here.after(61) == StsAnswer(WEEK)
        await asyncio.sleep(0.3)
        assert await here.of() == StsAnswer(OTHER)


async def test_policies_are_refreshed_daily_ahead_of_their_end() -> None:  # I09
    async with world() as here:
        await here.of()
        here.clock.move(REFRESH_AFTER - 60)
        await here.policies.refresh_due()
        assert len(here.source.asked) == 1
        here.clock.move(120)
        here.publish()
        here.source.answer = OTHER
        await here.policies.refresh_due()
        assert len(here.source.asked) == 2
        assert await here.of() == StsAnswer(OTHER)
        here.source.answer = BROKEN
        here.clock.move(REFRESH_AFTER)
        await here.policies.refresh_due()
        assert await here.of() == StsAnswer(OTHER), "a failed refresh takes nothing away"
        here.clock.move(8 * DAY)
        await here.policies.refresh_due()
        assert await here.of() == NO_POLICY


async def test_the_refresher_runs_by_itself_and_survives() -> None:  # I09
    turns: asyncio.Queue[float] = asyncio.Queue(1)

    async def sleep(seconds: float) -> None:
        await turns.put(seconds)

    async with world() as here:
        policies = StsPolicies(here.policies._resolver, here.source, here.clock, sleep)
        policies.start()
        await policies.of("d.test")
        here.clock.move(REFRESH_AFTER + 1)
        for _ in range(3):
            async with asyncio.timeout(5):
                assert await turns.get() == mta_sts.REFRESH_PAUSE
        await policies.close()
        assert len(here.source.asked) == 2


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mta_sts, "MAX_CACHED", 10)
    async with world() as here:
        for n in range(30):
            here.dns.zone[f"_mta-sts.d{n}.test"] = {"TXT": ["v=STSv1; id=one"]}
            here.source.answer = BROKEN if n % 2 else WEEK
            await here.of(f"d{n}.test")
        assert len(here.policies._kept) == 10
        assert len(here.policies._failed) == 10
