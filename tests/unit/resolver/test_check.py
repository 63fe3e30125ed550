from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.clock import SystemClock
from relay.resolver.check import DomainCheck, check_domain, distance, suggest
from relay.resolver.resolver import DnsResolver
from relay.well_known import WELL_KNOWN
from tests.support.dns_server import DnsServer, Fault, Zone

ZONE: Zone = {
    "mx.test": {"MX": ["10 host.test"]},
    "host.test": {"A": ["127.0.0.2"]},
    "null.test": {"MX": ["0 ."]},
    "bare.test": {"TXT": ["nothing else"]},
    "dead.test": {"MX": ["10 gone.test"], "A": ["127.0.0.3"]},
    "sick.test": {"MX": ["10 sickhost.test"]},
    "sickhost.test": {"A": ["127.0.0.4"]},
}


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("mx.test", DomainCheck.OK),
        ("host.test", DomainCheck.OK),
        ("null.test", DomainCheck.NULL_MX),  # B10
        ("bare.test", DomainCheck.NO_HOST),
        ("dead.test", DomainCheck.NO_HOST),  # B03
        ("missing.example", DomainCheck.NO_DOMAIN),  # B04
        ("sick.test", DomainCheck.UNKNOWN),
        ("broken.test", DomainCheck.UNKNOWN),
    ],
)
async def test_what_the_dns_tells(domain: str, expected: DomainCheck) -> None:
    faults = {("broken.test", "MX"): Fault.SERVFAIL, ("sickhost.test", "*"): Fault.SERVFAIL}
    async with DnsServer(ZONE, faults=faults) as server:
        resolver = DnsResolver([server.address], timeout=5, trust_ad=False, clock=SystemClock())
        assert await check_domain(resolver, domain) is expected


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ann@gmial.com", "ann@gmail.com"),
        ("ann@gmail.con", "ann@gmail.com"),
        ("Ann.B@GMAL.com", "Ann.B@gmail.com"),
        ("ann@hotmial.fr", "ann@hotmail.fr"),
        ("ann@orage.fr", "ann@orange.fr"),
        ("ann@lapost.net", "ann@laposte.net"),
        ("ann@wanado.fr", "ann@wanadoo.fr"),
        ("ann@example.org", ""),
        ("ann@univ-paris.fr", ""),
        ("ann@", ""),
        ("nothing", ""),
        ("ann@" + "g" * 200 + ".com", ""),
    ],
)
def test_likely_typing_errors(written: str, meant: str) -> None:
    assert suggest(written) == meant


def test_a_well_known_domain_is_never_corrected() -> None:
    assert len(WELL_KNOWN) == len(set(WELL_KNOWN))
    assert all(suggest(f"ann@{domain}") == "" for domain in WELL_KNOWN)


@pytest.mark.parametrize(
    ("a", "b", "steps"),
    [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("abc", "acb", 1), ("gmial", "gmail", 1), ("kitten", "sitting", 3)],
)
def test_distance(a: str, b: str, steps: int) -> None:
    assert distance(a, b) == distance(b, a) == steps
    assert (distance(a, b, 2) <= 2) == (steps <= 2)


@given(st.sampled_from(WELL_KNOWN), st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abgmil.")), max_size=4))
def test_a_bound_changes_nothing_below_it(known: str, slips: list[tuple[int, str]]) -> None:
    written = known
    for at, letter in slips:
        written = written[:at] + letter + written[at + 1 :]
    for other in WELL_KNOWN:
        exact = distance(written, other)
        assert distance(written, other, 2) == exact or min(exact, distance(written, other, 2)) > 2
