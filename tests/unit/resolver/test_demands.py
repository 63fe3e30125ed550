"""TLS demands from real DNS packets; the server sets the AD bit as a validating resolver would."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.ids import SeededEntropy
from relay.policy.mta_sts import StsMode, StsPolicy
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result
from relay.policy.route import Candidate, Login, Plan, RouteRules
from relay.policy.tls import OPPORTUNISTIC, Fault, PolicyType, TlsDemand, TlsResult
from relay.resolver.demands import Demands
from relay.resolver.mta_sts import StsPolicies
from relay.resolver.resolver import DnsResolver
from relay.resolver.routing import Router, StaticRoute
from tests.support.dns_server import DnsServer, Zone, patience
from tests.support.dns_server import Fault as DnsFault

GOOD = "3 1 1 " + "ab" * 32
OTHER = "3 1 1 " + "cd" * 32
ZONE: Zone = {
    "d.test": {"MX": ["10 mx1.test", "20 mx2.test"], "A": ["127.0.0.9"]},
    "mx1.test": {"A": ["127.0.0.2"]},
    "mx2.test": {"A": ["127.0.0.3"]},
    "_25._tcp.mx1.test": {"TLSA": [GOOD]},
    "alias.test": {"MX": ["10 cname.test"]},
    "cname.test": {"CNAME": ["mx1.test"]},
    "stray.test": {"MX": ["10 leaves.test"]},
    "leaves.test": {"CNAME": ["unsigned.example"]},
    "unsigned.example": {"A": ["127.0.0.4"]},
    "_25._tcp.leaves.test": {"TLSA": [OTHER]},
    "direct.test": {"A": ["127.0.0.5"]},
    "_25._tcp.direct.test": {"TLSA": [GOOD]},
    "_mta-sts.d.test": {"TXT": ["v=STSv1; id=one"]},
    "sub.d.test": {"MX": ["10 mx1.test"]},
}


class Policies:
    """Policies that are simply there: what a policy host would send."""

    def __init__(self, policies: Mapping[str, StsPolicy | Fault]) -> None:
        self._policies = policies

    async def fetch(self, domain: str) -> StsPolicy | Fault:
        return self._policies[domain]


def enforce(*mx: str, mode: StsMode = StsMode.ENFORCE) -> StsPolicy:
    return StsPolicy(mode, mx, 86400)


async def planned(
    domain: str,
    *,
    faults: Mapping[tuple[str, str], DnsFault] | None = None,
    insecure: Collection[str] = (),
    zone: Zone | None = None,
    sts: Mapping[str, StsPolicy | Fault] | None = None,
    static: Mapping[str, TlsDemand] | None = None,
    trust: bool = True,
    routes: Mapping[str, StaticRoute] | None = None,
    **changed: Any,
) -> Plan | Outcome:
    clock = SystemClock()
    server = DnsServer(ZONE | (zone or {}), faults=faults, authentic=True, insecure={*insecure, "unsigned.example"})
    async with server:
        resolver = DnsResolver([server.address], timeout=patience(faults), trust_ad=trust, clock=clock)
        policies = StsPolicies(resolver, Policies(sts), clock) if sts is not None else None
        rules = RouteRules(**{"allow_private": True, "families": frozenset({4}), **changed})
        demands = Demands(resolver, sts=policies, dane_on=trust, static=static)
        try:
            plan = await Router(resolver, rules, SeededEntropy(1), demands, routes).plan(domain)
        finally:
            if policies is not None:
                await policies.close()
            await resolver.close()
        if not trust:
            assert not any(kind == "TLSA" for _, kind, _ in server.queries)
        return plan


def levels(plan: Plan | Outcome) -> dict[str, str]:
    assert isinstance(plan, Plan), plan
    return {candidate.exchanger: candidate.tls.level.value for candidate in plan.candidates}


def first(plan: Plan | Outcome) -> Candidate:
    assert isinstance(plan, Plan), plan
    return plan.candidates[0]


def refusal(plan: Plan | Outcome) -> Outcome:
    """The deferral of a plan that only a waiver could follow."""
    found = plan.refusal if isinstance(plan, Plan) else plan
    assert found is not None
    assert (found.result, found.phase) == (Result.TEMPORARY, Phase.ROUTE)
    return found


async def test_secure_records_of_a_secure_host_count() -> None:  # H01 H03 H05
    plan = await planned("d.test")
    assert levels(plan) == {"mx1.test": "dane", "mx2.test": "may"}
    demand = first(plan).tls
    assert (demand.policy, demand.domain) == (PolicyType.TLSA, "mx1.test")
    assert demand.names == ("mx1.test", "d.test")
    assert demand.tlsa[0].data == b"\xab" * 32


async def test_without_a_trusted_resolver_there_is_no_dane() -> None:  # H01
    assert levels(await planned("d.test", trust=False)) == {"mx1.test": "may", "mx2.test": "may"}


@pytest.mark.parametrize("insecure", ["d.test", "mx1.test", "_25._tcp.mx1.test"])
async def test_every_step_to_the_records_must_be_secure(insecure: str) -> None:  # H01 H03
    assert levels(await planned("d.test", insecure={insecure}))["mx1.test"] == "may"


@pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.TIMEOUT, DnsFault.REFUSED])
async def test_a_host_whose_records_cannot_be_looked_up_is_not_used(fault: DnsFault) -> None:  # H02
    plan = await planned("d.test", faults={("_25._tcp.mx1.test", "TLSA"): fault})
    assert levels(plan) == {"mx2.test": "may"}
    assert isinstance(plan, Plan)
    assert plan.notes == ("mx1.test: left out: its TLSA records could not be looked up",)


async def test_nothing_left_defers() -> None:  # H02 H12
    faults = {("_25._tcp.mx1.test", "TLSA"): DnsFault.SERVFAIL, ("_25._tcp.mx2.test", "TLSA"): DnsFault.SERVFAIL}
    outcome = refusal(await planned("d.test", faults=faults))
    assert (outcome.decided_by, outcome.reply.status) == (DecidedBy.DNS, "4.7.10")
    assert outcome.tls is not None
    assert (outcome.tls.demand, outcome.tls.failure, outcome.tls.policy) == ("dane", "dnssec-invalid", "tlsa")
    assert outcome.host is not None
    assert outcome.host.exchanger == "mx1.test"


async def test_a_bogus_mx_answer_defers() -> None:  # H03
    outcome = await planned("d.test", faults={("d.test", "MX"): DnsFault.SERVFAIL})
    assert isinstance(outcome, Outcome)
    assert (outcome.result, outcome.reply.status) == (Result.TEMPORARY, "4.4.3")


async def test_an_alias_is_asked_by_its_expanded_name_first() -> None:  # H04
    plan = await planned("alias.test")
    assert first(plan).tls.names == ("mx1.test", "cname.test", "alias.test")
    own = await planned("alias.test", zone={"_25._tcp.mx1.test": {}, "_25._tcp.cname.test": {"TLSA": [OTHER]}})
    assert (first(own).tls.level, first(own).tls.domain) == (TlsDemand.DANE, "cname.test")


async def test_a_secure_alias_that_leads_out_of_the_signed_space_speaks_for_itself() -> None:  # H04
    assert first(await planned("stray.test")).tls.domain == "leaves.test"
    assert first(await planned("stray.test", insecure={"leaves.test"})).tls == OPPORTUNISTIC


async def test_a_domain_without_mx_is_its_own_host() -> None:  # H03
    assert first(await planned("direct.test")).tls.level is TlsDemand.DANE


async def test_records_are_asked_at_the_port_connected_to() -> None:
    assert levels(await planned("d.test", port=2525)) == {"mx1.test": "may", "mx2.test": "may"}
    zone: Zone = {"_2525._tcp.mx2.test": {"TLSA": [GOOD]}}
    assert levels(await planned("d.test", port=2525, zone=zone)) == {"mx1.test": "may", "mx2.test": "dane"}


@pytest.mark.parametrize("records", [["0 0 1 " + "ab" * 32], ["1 1 1 " + "ab" * 32], ["3 1 1 abcd"], ["9 1 1 00"]])
async def test_unusable_records_make_tls_mandatory(records: list[str]) -> None:  # H05 H06 H09
    demand = first(await planned("d.test", zone={"_25._tcp.mx1.test": {"TLSA": records}})).tls
    assert (demand.level, demand.policy) == (TlsDemand.ENCRYPT, PolicyType.TLSA)
    assert demand.known is not None
    assert demand.known.result is TlsResult.TLSA_INVALID
    mixed = first(await planned("d.test", zone={"_25._tcp.mx1.test": {"TLSA": [*records, GOOD]}})).tls
    assert mixed.level is TlsDemand.DANE


async def test_dane_beats_mta_sts_host_by_host() -> None:  # H11
    plan = await planned("d.test", sts={"d.test": enforce("mx2.test")})
    assert levels(plan) == {"mx1.test": "dane", "mx2.test": "sts"}
    unlisted = await planned("d.test", sts={"d.test": enforce("other.test")})
    assert levels(unlisted) == {"mx1.test": "dane"}
    faults = {("_25._tcp.mx1.test", "TLSA"): DnsFault.SERVFAIL}
    failing = await planned("d.test", sts={"d.test": enforce("mx1.test")}, faults=faults)
    assert refusal(failing).tls is not None


async def test_enforce_leaves_out_hosts_that_are_not_listed() -> None:  # I06
    plan = await planned("d.test", sts={"d.test": enforce("mx2.test")}, trust=False)
    assert levels(plan) == {"mx2.test": "sts"}
    assert first(plan).tls.domain == "d.test"
    assert isinstance(plan, Plan)
    assert plan.notes == ("mx1.test: left out: it is not listed by the domain's MTA-STS policy",)


async def test_enforce_with_no_host_left_defers_and_never_bounces() -> None:  # I06
    outcome = refusal(await planned("d.test", sts={"d.test": enforce("other.test")}, trust=False))
    assert (outcome.decided_by, outcome.reply.status) == (DecidedBy.RELAY, "4.7.10")
    assert outcome.tls is not None
    assert (outcome.tls.demand, outcome.tls.domain, outcome.tls.failure) == ("sts", "d.test", "validation-failure")


async def test_testing_uses_every_host_and_notes_what_is_wrong() -> None:  # I06
    plan = await planned("d.test", sts={"d.test": enforce("mx2.test", mode=StsMode.TESTING)}, trust=False)
    assert isinstance(plan, Plan)
    wrong, right = plan.candidates
    assert (wrong.tls.level, wrong.tls.testing, right.tls.known) == (TlsDemand.MAY, True, None)
    assert wrong.tls.known is not None
    assert wrong.tls.known.result is TlsResult.VALIDATION_FAILURE


async def test_mode_none_is_no_policy() -> None:  # I06
    plan = await planned("d.test", sts={"d.test": enforce(mode=StsMode.NONE)}, trust=False)
    assert isinstance(plan, Plan)
    assert {candidate.tls for candidate in plan.candidates} == {OPPORTUNISTIC}


async def test_a_policy_that_was_never_had_stops_nothing() -> None:  # I08
    fault = Fault("the MTA-STS policy could not be fetched: HTTP status 500", TlsResult.STS_FETCH_ERROR)
    demand = first(await planned("d.test", sts={"d.test": fault}, trust=False)).tls
    assert (demand.level, demand.policy, demand.known) == (TlsDemand.MAY, PolicyType.STS, fault)


async def test_the_policy_is_the_recipients_domains() -> None:  # I10
    plan = await planned("sub.d.test", sts={"d.test": enforce("other.test")}, trust=False)
    assert first(plan).tls == OPPORTUNISTIC


@pytest.mark.parametrize("word", [TlsDemand.NONE, TlsDemand.MAY])
async def test_none_and_may_replace_what_is_published(word: TlsDemand) -> None:  # E06
    plan = await planned("d.test", static={"d.test": word}, sts={"d.test": enforce("other.test")})
    assert set(levels(plan).values()) == {word.value}
    assert isinstance(plan, Plan)
    assert plan.relaxed == ()


async def test_encrypt_and_verify_are_floors() -> None:  # E06
    assert levels(await planned("d.test", static={"d.test": TlsDemand.VERIFY})) == {
        "mx1.test": "dane",
        "mx2.test": "verify",
    }


async def test_a_message_may_waive_policies_but_not_the_operators_word() -> None:  # K02
    plan = await planned("d.test", sts={"d.test": enforce("other.test")}, static={"d.test": TlsDemand.ENCRYPT})
    assert isinstance(plan, Plan)
    assert {c.exchanger: c.tls.level.value for c in plan.relaxed} == {"mx1.test": "encrypt", "mx2.test": "encrypt"}
    refused = await planned("d.test", sts={"d.test": enforce("other.test")}, trust=False, waivers=False)
    assert isinstance(refused, Outcome)
    bare = await planned("direct.test", trust=False)
    assert isinstance(bare, Plan)
    assert bare.relaxed == ()


LOGIN = Login("me", "secret")


async def test_routes_go_by_domain_and_carry_demand_and_login() -> None:  # S05
    routes = {
        "d.test": StaticRoute("mx2.test", 587, TlsDemand.VERIFY, LOGIN),
        "far.test": StaticRoute("alias.test", None, None, None),
        "*": StaticRoute("127.0.0.77", 26, TlsDemand.ENCRYPT, LOGIN),
    }
    plan = await planned("d.test", routes=routes, sts={"d.test": enforce("other.test")}, allow_private=False)
    assert isinstance(plan, Plan)
    (candidate,) = plan.candidates
    assert (candidate.address, candidate.port, candidate.login) == ("127.0.0.3", 587, LOGIN)
    assert (candidate.tls.level, plan.site) == (TlsDemand.VERIFY, "mx2.test")
    by_mx = await planned("far.test", routes=routes)
    assert levels(by_mx) == {"cname.test": "dane"}
    rest = first(await planned("[127.0.0.1]", routes=routes))
    assert (rest.address, rest.port, rest.tls.level, rest.login) == ("127.0.0.77", 26, TlsDemand.ENCRYPT, LOGIN)


async def test_a_next_hops_own_tlsa_records_count() -> None:  # H03
    zone: Zone = {"_587._tcp.mx2.test": {"TLSA": [GOOD]}}
    plan = await planned("d.test", routes={"*": StaticRoute("mx2.test", 587)}, zone=zone)
    assert (first(plan).tls.level, first(plan).tls.names) == (TlsDemand.DANE, ("mx2.test",))


async def test_a_route_to_a_domain_that_takes_no_mail() -> None:
    outcome = await planned("d.test", routes={"d.test": StaticRoute("gone.test")})
    assert isinstance(outcome, Outcome)
    assert outcome.result is Result.PERMANENT


async def test_late_addresses_come_last() -> None:  # B07
    zone: Zone = {"mx1.test": {"A": ["127.0.0.2", "127.0.0.6", "127.0.0.7"]}}
    plan = await planned("d.test", zone=zone, late=lambda address: address != "127.0.0.7")
    assert isinstance(plan, Plan)
    assert plan.candidates[0].address == "127.0.0.7"
    assert len(plan.candidates) == 4
