"""DANE with nobody's word but real signatures: zones signed with dnspython, served by NSD, validated by unbound."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.ids import SeededEntropy
from relay.policy.outcome import Outcome, Phase, Result
from relay.policy.route import Plan, RouteRules
from relay.resolver.contract import DnsFailure
from relay.resolver.demands import Demands
from relay.resolver.resolver import DnsResolver
from relay.resolver.routing import Router
from relay.smtp.transcript import Transcript
from tests.support.certificates import make, server_context
from tests.support.egress import PATIENT, SOURCE, message
from tests.support.scripted_smtp import ScriptedSmtp
from tests.support.signed_dns import MISSING, Zones, signed_dns

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} is not installed")

CLOCK = SystemClock()
KEY = make("whoever.test")
STRANGER = make("whoever.test")


def zones(port: int) -> Zones:
    """Domains whose exchanger is 127.0.0.1, with records at `port`."""

    def pinned(record: str) -> list[str]:
        return ["@ MX 10 mx", "mx A 127.0.0.1", f"_{port}._tcp.mx TLSA {record}"]

    good = pinned(KEY.tlsa(3))
    return Zones(
        signed={
            "good.test": [*good, "alias MX 10 other", "other CNAME mx", "out MX 10 mx.plain.test."],
            "wrong.test": pinned(STRANGER.tlsa(3)),
            "bare.test": ["@ MX 10 mx", "mx A 127.0.0.1"],
            "pkix.test": pinned(KEY.tlsa(1)),
            # A malformed record that the signature covers: it is there, and it is passed over.
            "odd.test": [*good, f"_{port}._tcp.mx TLSA \\# 4 030101AB"],
            "nomx.test": ["@ A 127.0.0.1", f"_{port}._tcp TLSA {KEY.tlsa(3)}"],
        },
        unsigned={"plain.test": pinned(STRANGER.tlsa(3))},
        bogus={"bogus.test": good},
        bogus_tlsa={"forged.test": good},
    )


@contextlib.asynccontextmanager
async def resolving(folder: Path, port: int) -> AsyncIterator[DnsResolver]:
    async with signed_dns(folder, zones(port)) as address:
        resolver = DnsResolver([address], timeout=5.0, trust_ad=True, clock=CLOCK)
        try:
            yield resolver
        finally:
            await resolver.close()


async def test_the_ad_bit_of_every_kind_of_answer(tmp_path: Path) -> None:  # H01 S39
    async with resolving(tmp_path, 25) as resolver:
        for name, kind in (("good.test", "MX"), ("mx.good.test", "A"), ("_25._tcp.mx.good.test", "TLSA")):
            answer = await resolver.ask(name, kind)
            assert (bool(answer.records), answer.authentic) == (True, True), (name, answer)
        denial = await resolver.ask("_25._tcp.mx.bare.test", "TLSA")
        assert (denial.failure, denial.authentic) == (DnsFailure.NXDOMAIN, True)
        nothing = await resolver.ask("mx.good.test", "AAAA")
        assert (nothing.failure, nothing.authentic) == (DnsFailure.NODATA, True)
        plain = await resolver.ask("_25._tcp.mx.plain.test", "TLSA")
        assert (bool(plain.records), plain.authentic) == (True, False)
        assert (await resolver.ask("mx.bogus.test", "A")).failure is DnsFailure.SERVFAIL
        alias = await resolver.ask("other.good.test", "A")
        assert (alias.canonical, alias.authentic) == ("mx.good.test", True)


async def deliver(folder: Path, domain: str, *, tls: bool = True) -> tuple[Plan | Outcome, Outcome | None]:
    """The plan of a domain, and what the message came to at its host."""
    async with (
        ScriptedSmtp(tls=server_context(KEY) if tls else None) as far,
        resolving(folder, far.port) as resolver,
    ):
        rules = RouteRules(far.port, allow_private=True, families=frozenset({4}))
        router = Router(resolver, rules, SeededEntropy(1), Demands(resolver))
        plan = await router.plan(domain)
        if isinstance(plan, Outcome) or not plan.candidates:
            return plan, None
        anchors = TrustAnchors([])
        dialer = SmtpDialer(TlsMeans(client_context(), anchors), timeouts=PATIENT, clock=CLOCK)
        transcript = Transcript(CLOCK.monotonic(), [])
        session = await dialer.dial(plan.candidates[0], SOURCE, transcript)
        if isinstance(session, Outcome):
            assert far.messages == []
            return plan, session
        (outcome,) = await session.send(message(), transcript)
        session.abort()
        return plan, outcome


@pytest.mark.parametrize(
    ("domain", "demand", "verified"),
    [
        ("good.test", "dane", True),  # H05
        ("alias.good.test", "dane", True),  # H04
        ("nomx.test", "dane", True),  # H03
        ("odd.test", "dane", True),  # H09
        ("pkix.test", "encrypt", False),  # H05 H06
        ("bare.test", "may", False),  # H05: a secure denial
        ("plain.test", "may", False),  # H03: nobody signed it
        ("out.good.test", "may", False),  # H03: a signed domain with an unsigned exchanger
    ],
)
async def test_what_a_domain_demands_is_done(tmp_path: Path, domain: str, demand: str, verified: bool) -> None:
    _, outcome = await deliver(tmp_path, domain)
    assert outcome is not None
    assert outcome.result is Result.DELIVERED, outcome
    assert outcome.tls is not None
    assert (outcome.tls.demand, outcome.tls.verified) == (demand, verified)


async def test_a_wrong_key_defers(tmp_path: Path) -> None:  # H05 H12
    _, outcome = await deliver(tmp_path, "wrong.test")
    assert outcome is not None
    assert (outcome.result, outcome.phase, outcome.reply.status) == (Result.TEMPORARY, Phase.TLS, "4.7.10")


@pytest.mark.parametrize("domain", ["good.test", "pkix.test"])
async def test_a_stripped_starttls_defers(tmp_path: Path, domain: str) -> None:  # H05 S05
    _, outcome = await deliver(tmp_path, domain, tls=False)
    assert outcome is not None
    assert (outcome.result, outcome.phase) == (Result.TEMPORARY, Phase.STARTTLS)


async def test_bogus_answers_defer_and_are_never_taken_for_none(tmp_path: Path) -> None:  # H02 H03 B04
    plan, outcome = await deliver(tmp_path, "bogus.test")
    assert outcome is None
    assert isinstance(plan, Outcome)
    assert (plan.result, plan.reply.status) == (Result.TEMPORARY, "4.4.3")


async def test_forged_tlsa_records_leave_the_host_out(tmp_path: Path) -> None:  # H02 H12
    plan, outcome = await deliver(tmp_path, "forged.test")
    assert outcome is None
    assert isinstance(plan, Plan)
    assert plan.refusal is not None
    assert plan.refusal.tls is not None
    assert (plan.refusal.result, plan.refusal.tls.failure) == (Result.TEMPORARY, "dnssec-invalid")
