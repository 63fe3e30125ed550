from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dns.rdata
import pytest

from relay.resolver import resolver as module
from relay.resolver.contract import DnsAnswer, DnsFailure
from relay.resolver.records import record_text
from relay.resolver.resolver import DnsResolver
from tests.support.dns_rubbish import MAKERS, Maker
from tests.support.dns_server import DnsServer, Fault, Zone, patience

ZONE: Zone = {
    "example.org": {"MX": ["10 MX1.Example.ORG", "20 mx2.example.org"], "TXT": ["v=spf1 " + "x" * 250]},
    "mx1.example.org": {"A": ["127.0.0.2"], "AAAA": ["::1"]},
    "alias.example": {"CNAME": ["mx1.example.org"]},
    "nomail.example": {"MX": ["0 ."]},
    "_25._tcp.mx1.example.org": {"TLSA": ["3 1 1 " + "ab" * 32]},
    "2.0.0.127.in-addr.arpa": {"PTR": ["mx1.example.org"]},
}


class SteppedClock:
    """A clock the test moves by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 21, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


@contextlib.asynccontextmanager
async def serving(
    zone: Zone = ZONE,
    *,
    faults: Mapping[tuple[str, str], Fault | Maker] | None = None,
    trust_ad: bool = False,
    **options: Any,
) -> AsyncIterator[tuple[DnsServer, DnsResolver, SteppedClock]]:
    clock = SteppedClock()
    async with DnsServer(zone, faults=faults, **options) as server:
        resolver = DnsResolver([server.address], timeout=patience(faults), trust_ad=trust_ad, clock=clock)
        try:
            yield server, resolver, clock
        finally:
            await resolver.close()


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("example.org", "MX", DnsAnswer(("10 mx1.example.org", "20 mx2.example.org"))),
        ("Example.ORG.", "MX", DnsAnswer(("10 mx1.example.org", "20 mx2.example.org"))),
        ("example.org", "TXT", DnsAnswer(("v=spf1 " + "x" * 250,))),
        ("mx1.example.org", "A", DnsAnswer(("127.0.0.2",))),
        ("mx1.example.org", "AAAA", DnsAnswer(("::1",))),
        ("alias.example", "A", DnsAnswer(("127.0.0.2",))),
        ("alias.example", "CNAME", DnsAnswer(("mx1.example.org",))),
        ("nomail.example", "MX", DnsAnswer(("0 .",))),
        ("_25._tcp.mx1.example.org", "TLSA", DnsAnswer(("3 1 1 " + "ab" * 32,))),
        ("2.0.0.127.in-addr.arpa", "PTR", DnsAnswer(("mx1.example.org",))),
        ("example.org", "A", DnsAnswer((), DnsFailure.NODATA)),
        ("missing.example", "A", DnsAnswer((), DnsFailure.NXDOMAIN)),
        ("a..b.example", "A", DnsAnswer((), DnsFailure.NXDOMAIN)),
        ("x" * 64 + ".example", "A", DnsAnswer((), DnsFailure.NXDOMAIN)),
        ("bücher.example", "MX", DnsAnswer((), DnsFailure.NXDOMAIN)),
    ],
)
async def test_answers_are_text(name: str, kind: str, answer: DnsAnswer) -> None:
    async with serving() as (_, resolver, _):
        got = await resolver.ask(name, kind)
        assert set(got.records) == set(answer.records)
        assert got.failure == answer.failure


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Fault.SERVFAIL, DnsFailure.SERVFAIL),
        (Fault.REFUSED, DnsFailure.SERVFAIL),
        (Fault.TIMEOUT, DnsFailure.TIMEOUT),
        (Fault.GARBAGE, DnsFailure.TIMEOUT),
    ],
)
async def test_failures_are_values(fault: Fault, failure: DnsFailure) -> None:  # B04
    async with serving(faults={("example.org", "MX"): fault}) as (_, resolver, _):
        assert await resolver.ask("example.org", "MX") == DnsAnswer((), failure)


@pytest.mark.parametrize("rubbish", MAKERS, ids=lambda maker: maker.__name__)
async def test_rubbish_is_a_failure_for_now_and_nothing_else(rubbish: Maker) -> None:  # B04 S39
    async with serving(faults={("example.org", "MX"): rubbish}) as (_, resolver, _):
        answer = await resolver.ask("example.org", "MX")
        assert answer.records == ()
        assert answer.failure in (DnsFailure.SERVFAIL, DnsFailure.TIMEOUT)
        assert (await resolver.ask("mx1.example.org", "A")).records == ("127.0.0.2",)


@pytest.mark.parametrize("fault", [Fault.WRONG_ID, Fault.WRONG_QUESTION, Fault.TRUNCATE])
async def test_forged_and_cut_answers_are_not_believed(fault: Fault) -> None:  # S39
    async with serving(faults={("mx1.example.org", "A"): fault}) as (server, resolver, _):
        assert (await resolver.ask("mx1.example.org", "A")).records == ("127.0.0.2",)
        assert ("mx1.example.org", "A", "tcp") in server.queries or fault is not Fault.TRUNCATE


async def test_a_large_answer_comes_over_tcp() -> None:  # S39
    many = {"big.example": {"TXT": [f"{n}-" + "x" * 180 for n in range(30)]}}
    async with serving(many) as (_, resolver, _):
        assert len((await resolver.ask("big.example", "TXT")).records) == 30


async def test_the_next_server_is_asked() -> None:
    async with DnsServer(ZONE, faults={("*", "*"): Fault.TIMEOUT}) as silent, DnsServer(ZONE) as good:
        resolver = DnsResolver([silent.address, good.address], timeout=0.3, trust_ad=False, clock=SteppedClock())
        assert (await resolver.ask("mx1.example.org", "A")).records == ("127.0.0.2",)


async def test_answers_are_kept_for_their_ttl() -> None:  # B18
    async with serving(ttl=60) as (server, resolver, clock):
        for seconds in (0, 30, 59):
            clock.seconds = seconds
            await resolver.ask("mx1.example.org", "A")
            await resolver.ask("missing.example", "A")
        assert (server.count("mx1.example.org", "A"), server.count("missing.example", "A")) == (1, 1)
        clock.seconds = 61
        await resolver.ask("mx1.example.org", "A")
        await resolver.ask("missing.example", "A")
        assert (server.count("mx1.example.org", "A"), server.count("missing.example", "A")) == (2, 2)


async def test_ttl_has_a_floor_and_a_cap() -> None:  # B18
    async with serving(ttl=0) as (server, resolver, clock):
        for seconds in (0.0, module.MIN_TTL - 1, module.MIN_TTL + 1):
            clock.seconds = seconds
            await resolver.ask("mx1.example.org", "A")
        assert server.count("mx1.example.org", "A") == 2
    async with serving(ttl=10**6) as (server, resolver, clock):
        for seconds in (0.0, module.MAX_TTL + 1):
            clock.seconds = seconds
            await resolver.ask("mx1.example.org", "A")
        assert server.count("mx1.example.org", "A") == 2


async def test_failures_are_kept_for_seconds_only() -> None:
    async with serving(faults={("mx1.example.org", "A"): Fault.SERVFAIL}) as (server, resolver, clock):
        await resolver.ask("mx1.example.org", "A")
        await resolver.ask("mx1.example.org", "A")
        assert server.count("mx1.example.org", "A") == 1
        server.faults.clear()
        clock.seconds = module.FAILURE_TTL + 0.1
        assert (await resolver.ask("mx1.example.org", "A")).records


async def test_equal_questions_in_flight_are_asked_once() -> None:
    async with serving(delay=0.05) as (server, resolver, _):
        answers = await asyncio.gather(*(resolver.ask("mx1.example.org", "A") for _ in range(20)))
        assert {answer.records for answer in answers} == {("127.0.0.2",)}
        assert server.count("mx1.example.org", "A") == 1


async def test_a_waiter_that_leaves_takes_nothing_from_the_others() -> None:
    async with serving(delay=0.05) as (server, resolver, _):
        first = asyncio.create_task(resolver.ask("mx1.example.org", "A"))
        second = asyncio.create_task(resolver.ask("mx1.example.org", "A"))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).records == ("127.0.0.2",)
        assert first.cancelled()
        assert server.count("mx1.example.org", "A") == 1


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 2)
    async with serving() as (server, resolver, _):
        for kind in ("A", "AAAA", "A", "TXT", "A", "AAAA"):
            await resolver.ask("mx1.example.org", kind)
        assert server.count("mx1.example.org", "A") == 1, "used lately, so kept"
        assert server.count("mx1.example.org", "AAAA") == 2


@pytest.mark.parametrize("follow", [True, False])
async def test_cname_chains_are_followed_and_capped(follow: bool) -> None:  # B04 S33
    zone: Zone = {f"c{n}.example": {"CNAME": [f"c{n + 1}.example"]} for n in range(30)}
    zone["c30.example"] = {"A": ["127.0.0.9"]}
    zone["round.example"] = {"CNAME": ["round.example"]}
    async with serving(zone, follow=follow) as (_, resolver, _):
        assert (await resolver.ask("c20.example", "A")).records == ("127.0.0.9",)
        assert (await resolver.ask("c19.example", "A")).failure is DnsFailure.SERVFAIL
        assert (await resolver.ask("round.example", "A")).failure is DnsFailure.SERVFAIL
        assert (await resolver.ask("c25.example", "AAAA")).failure is DnsFailure.NODATA


@pytest.mark.parametrize(
    ("trust", "sent", "believed"), [(True, True, True), (False, True, False), (True, False, False)]
)
async def test_the_ad_bit_counts_only_where_it_is_trusted(trust: bool, sent: bool, believed: bool) -> None:  # H01
    async with serving(trust_ad=trust, authentic=sent) as (_, resolver, _):
        assert (await resolver.ask("mx1.example.org", "A")).authentic is believed
        assert (await resolver.ask("missing.example", "A")).authentic is believed


@pytest.mark.parametrize(("octets", "text"), [(b"\x03\x01\x01\xab", "3 1 1 ab"), (b"\x03\x01", "3 1 255 ")])
def test_a_malformed_tlsa_record_is_told_as_it_came(octets: bytes, text: str) -> None:  # H09
    record = dns.rdata.from_wire("IN", "TLSA", octets, 0, len(octets))
    assert record_text(record) == text
