from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.ids import SeededEntropy
from relay.policy.outcome import Outcome, Phase, Result, Scope
from relay.policy.route import Candidate, Plan, RouteRules
from relay.resolver.resolver import DnsResolver
from relay.resolver.routing import EVERY_DOMAIN, Router, StaticRoute
from tests.support.dns_server import DnsServer, Fault, Zone, patience

HOSTS: Zone = {
    "mx1.test": {"A": ["127.0.0.2"]},
    "mx2.test": {"A": ["127.0.0.3", "127.0.0.4"], "AAAA": ["::1"]},
    "dual.test": {"A": ["127.0.0.5"], "AAAA": ["::1"]},
    "six.test": {"AAAA": ["::1"]},
    "private.test": {"A": ["10.0.0.5"]},
    "public.test": {"A": ["8.8.4.4"]},
    "alias.test": {"CNAME": ["mx1.test"]},
    "me.test": {"A": ["127.0.0.99"]},
}


async def planned(
    domain: str,
    zone: Zone,
    faults: Mapping[tuple[str, str], Fault] | None = None,
    routes: Mapping[str, StaticRoute] | None = None,
    **changed: Any,
) -> Any:
    own: dict[str, Any] = {"own_names": frozenset({"me.test"}), "own_addresses": frozenset({"127.0.0.98"})}
    rules = RouteRules(**{"allow_private": True, **own, **changed})
    async with DnsServer(HOSTS | zone, faults=faults) as server:
        resolver = DnsResolver([server.address], timeout=patience(faults), trust_ad=False, clock=SystemClock())
        try:
            return await Router(resolver, rules, SeededEntropy(1), routes=routes).plan(domain)
        finally:
            await resolver.close()


def addresses(plan: object) -> list[str]:
    assert isinstance(plan, Plan), plan
    return [candidate.address for candidate in plan.candidates]


def status(outcome: object) -> tuple[Result, int, str]:
    assert isinstance(outcome, Outcome), outcome
    assert (outcome.scope, outcome.phase) == (Scope.SITE, Phase.ROUTE)
    return outcome.result, outcome.reply.code, outcome.reply.status


async def test_hosts_come_by_preference_with_all_their_addresses() -> None:  # B01 B05
    plan = await planned("d.test", {"d.test": {"MX": ["20 mx2.test", "10 mx1.test"]}}, families=frozenset({4}))
    assert addresses(plan)[0] == "127.0.0.2"
    assert sorted(addresses(plan)[1:]) == ["127.0.0.3", "127.0.0.4"]
    assert plan.site == "mx1.test"
    assert plan.candidates[0] == Candidate("mx1.test", "127.0.0.2", 25)


async def test_both_families_take_turns() -> None:  # B07
    assert addresses(await planned("dual.test", {})) == ["::1", "127.0.0.5"]


async def test_without_mx_the_domain_is_its_own_host() -> None:  # B02
    plan = await planned("mx1.test", {})
    assert (addresses(plan), plan.site) == (["127.0.0.2"], "mx1.test")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["10 gone.test"], (Result.PERMANENT, 550, "5.4.4")),
        (["10 127.0.0.2"], (Result.PERMANENT, 550, "5.4.4")),
        (["0 ."], (Result.PERMANENT, 556, "5.1.10")),
        (["10 ."], (Result.PERMANENT, 556, "5.1.10")),
        (["0 .", "10 gone.test"], (Result.PERMANENT, 550, "5.4.4")),
    ],
)
async def test_unusable_exchangers_never_lead_to_the_domains_own_address(  # B03 B08 B10
    records: list[str], expected: tuple[Result, int, str]
) -> None:
    outcome = await planned("d.test", {"d.test": {"MX": records, "A": ["127.0.0.7"]}})
    assert status(outcome) == expected


async def test_an_exchanger_that_is_an_alias_works() -> None:  # B08
    assert addresses(await planned("d.test", {"d.test": {"MX": ["10 alias.test"]}})) == ["127.0.0.2"]


async def test_a_domain_that_is_an_alias_is_followed() -> None:  # B04
    zone: Zone = {"d.test": {"CNAME": ["e.test"]}, "e.test": {"MX": ["10 mx1.test"]}}
    assert addresses(await planned("d.test", zone)) == ["127.0.0.2"]


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED, Fault.TIMEOUT])
async def test_dns_trouble_is_temporary_and_tries_no_address(fault: Fault) -> None:  # B04
    zone: Zone = {"d.test": {"MX": ["10 mx1.test"], "A": ["127.0.0.7"]}}
    assert status(await planned("d.test", zone, {("d.test", "MX"): fault})) == (Result.TEMPORARY, 451, "4.4.3")
    assert status(await planned("d.test", zone, {("mx1.test", "*"): fault})) == (Result.TEMPORARY, 451, "4.4.3")


async def test_one_dead_exchanger_does_not_stop_the_other() -> None:  # B05
    zone: Zone = {"d.test": {"MX": ["10 mx2.test", "20 mx1.test"]}}
    assert addresses(await planned("d.test", zone, {("mx2.test", "*"): Fault.SERVFAIL})) == ["127.0.0.2"]


async def test_no_such_domain_is_permanent() -> None:  # B04
    assert status(await planned("missing.example", {})) == (Result.PERMANENT, 550, "5.1.2")


@pytest.mark.parametrize("own", ["me.test", "mine.test"])
async def test_mail_never_loops_back(own: str) -> None:  # B06
    zone: Zone = {
        "mine.test": {"A": ["127.0.0.98"]},
        "best.test": {"MX": [f"10 {own}", "20 mx1.test"]},
        "second.test": {"MX": ["10 mx1.test", f"20 {own}", "20 mx2.test", "30 dual.test"]},
    }
    assert status(await planned("best.test", zone)) == (Result.PERMANENT, 554, "5.4.6")
    assert status(await planned(own, zone)) == (Result.PERMANENT, 554, "5.4.6")
    assert addresses(await planned("second.test", zone)) == ["127.0.0.2"]


async def test_private_addresses_are_not_for_public_domains() -> None:  # B19
    zone: Zone = {
        "d.test": {"MX": ["10 private.test", "20 mx1.test"]},
        "e.test": {"MX": ["1 mx1.test", "2 public.test"]},
    }
    assert status(await planned("d.test", zone, allow_private=False)) == (Result.TEMPORARY, 451, "4.4.4")
    assert addresses(await planned("e.test", zone, allow_private=False)) == ["8.8.4.4"]
    assert addresses(await planned("d.test", zone)) == ["10.0.0.5", "127.0.0.2"]


async def test_a_host_with_ipv6_only_waits_where_there_is_none() -> None:
    outcome = await planned("six.test", {}, families=frozenset({4}))
    assert status(outcome) == (Result.TEMPORARY, 451, "4.4.4")


async def test_literals_are_taken_as_they_are() -> None:  # B09
    assert addresses(await planned("[127.0.0.2]", {})) == ["127.0.0.2"]
    assert addresses(await planned("[IPv6:::1]", {})) == ["::1"]
    assert addresses(await planned("[8.8.4.4]", {}, allow_private=False)) == ["8.8.4.4"]
    assert status(await planned("[127.0.0.2]", {}, allow_private=False)) == (Result.PERMANENT, 550, "5.1.2")
    assert status(await planned("[127.0.0.98]", {})) == (Result.PERMANENT, 554, "5.4.6")
    assert status(await planned("[8.8.4.4]", {}, literals=False)) == (Result.PERMANENT, 550, "5.1.2")


async def test_a_smarthost_takes_everything() -> None:
    routes = {EVERY_DOMAIN: StaticRoute("mx1.test", 2525)}
    plan = await planned("missing.example", {}, routes=routes, allow_private=False)
    assert plan == Plan("mx1.test", (Candidate("mx1.test", "127.0.0.2", 2525),), for_all=True)
    plan = await planned("missing.example", {}, routes={EVERY_DOMAIN: StaticRoute("127.0.0.6", 2525)})
    assert plan == Plan("127.0.0.6", (Candidate("127.0.0.6", "127.0.0.6", 2525),), for_all=True)


async def test_the_work_of_one_domain_is_bounded() -> None:  # S33
    zone: Zone = {"d.test": {"MX": [f"{n} h{n}.test" for n in range(50)]}}
    zone |= {f"h{n}.test": {"A": [f"127.0.{n}.{m}" for m in range(1, 21)]} for n in range(50)}
    plan = await planned("d.test", zone)
    assert len(plan.candidates) == 20
    assert len({candidate.exchanger for candidate in plan.candidates}) == 4
