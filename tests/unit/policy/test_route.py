from __future__ import annotations

import random
from collections import Counter

import pytest

from relay.policy import route
from relay.policy.addresses import is_public
from relay.policy.outcome import Outcome, Result
from relay.policy.route import Exchanger, ResolvedHost, RouteRules


def zero() -> float:
    return 0.0


def test_parse_mx_leaves_nonsense_out() -> None:
    assert route.parse_mx(["10 A.Example.", "x y", "", "5", "20 b.example", "0 ."]) == (
        Exchanger(10, "a.example"),
        Exchanger(20, "b.example"),
        Exchanger(0, "."),
    )


def test_equals_are_shuffled_fairly() -> None:  # B01
    generator = random.Random(7)
    exchangers = [Exchanger(10, "a.example"), Exchanger(10, "b.example"), Exchanger(20, "c.example")]
    firsts = Counter(route.order(exchangers, generator.random)[0].name for _ in range(1000))
    assert 400 <= firsts["a.example"] <= 600
    assert firsts["c.example"] == 0


def test_a_name_given_twice_counts_once_at_its_best() -> None:
    exchangers = [Exchanger(20, "a.example"), Exchanger(10, "a.example"), Exchanger(15, "b.example")]
    assert route.order(exchangers, zero) == (Exchanger(10, "a.example"), Exchanger(15, "b.example"))


@pytest.mark.parametrize(
    "name", ["192.0.2.1", ".", "", "a b.example", "-a.example", "a..example", "x" * 64 + ".example"]
)
def test_names_that_are_no_host(name: str) -> None:  # B08
    assert not Exchanger(10, name).usable


def test_null_mx_stands_alone() -> None:  # B10
    assert route.is_null_mx(route.parse_mx(["0 ."]))
    assert not route.is_null_mx(route.parse_mx(["0 .", "10 a.example"]))
    assert not route.is_null_mx(())


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.5",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.168.1.1",
        "192.0.2.1",
        "198.19.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "nonsense",
        "",
    ],
)
def test_addresses_no_public_domain_can_have(address: str) -> None:  # B19
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2a00:1450:4001::1a", "2606:4700::1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


def test_the_site_is_shared_by_domains_with_the_same_exchangers() -> None:
    best = [Exchanger(1, "mx2.example"), Exchanger(1, "mx1.example"), Exchanger(5, "backup.example")]
    assert route.site_name("a.example", best) == "mx1.example+mx2.example"
    assert route.site_name("b.example", best[::-1]) == "mx1.example+mx2.example"
    assert route.site_name("a.example", best[2:]) == "backup.example"
    assert route.site_name("a.example", ()) == "a.example"


def test_a_long_site_name_is_condensed_and_stays_distinct() -> None:
    many = [Exchanger(1, f"mx{n}.a-rather-long-name.example") for n in range(8)]
    name = route.site_name("a.example", many)
    assert name.startswith("mx0.a-rather-long-name.example+7~")
    assert len(name) < 64
    assert name != route.site_name("a.example", [*many[:-1], Exchanger(1, "other.example")])


def test_a_family_never_fills_the_cap() -> None:  # B07
    host = ResolvedHost(
        Exchanger(1, "a.example"),
        tuple(f"8.8.8.{n}" for n in range(9)),
        tuple(f"2a00:1450::{n}" for n in range(1, 10)),
    )
    chosen = route.choose([host], RouteRules(), random.Random(1).random)
    assert not isinstance(chosen, Outcome)
    assert [":" in candidate.address for candidate in chosen.candidates] == [True, False, True, False, True]


def test_an_own_host_ends_the_list_by_name_and_by_address() -> None:  # B06
    rules = RouteRules(own_names=frozenset({"me.example"}), own_addresses=frozenset({"8.8.8.8"}))
    better = ResolvedHost(Exchanger(5, "a.example"), ("8.8.4.4",))
    for own in (ResolvedHost(Exchanger(10, "me.example")), ResolvedHost(Exchanger(10, "x.example"), ("8.8.8.8",))):
        equal = ResolvedHost(Exchanger(10, "b.example"), ("8.8.4.5",))
        assert route.before_own([better, own, equal], rules) == (better,)
        looped = route.choose([own, equal], rules, zero)
        assert isinstance(looped, Outcome)
        assert (looped.result, looped.reply.status) == (Result.PERMANENT, "5.4.6")
