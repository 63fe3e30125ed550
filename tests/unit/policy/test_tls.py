from __future__ import annotations

import pytest

from relay.policy.tls import (
    OPPORTUNISTIC,
    Fault,
    HostDemand,
    PolicyType,
    TlsDemand,
    TlsResult,
    operator_demand,
    over_floor,
    overridden,
    shortfall,
)

STS = HostDemand(TlsDemand.STS, policy=PolicyType.STS, domain="example.org")
TESTING = HostDemand(policy=PolicyType.STS, domain="example.org", testing=True)
UNUSABLE = HostDemand(TlsDemand.ENCRYPT, policy=PolicyType.TLSA, known=Fault("x", TlsResult.TLSA_INVALID))


@pytest.mark.parametrize(
    ("demand", "clear", "unverified", "verified"),
    [
        (TlsDemand.NONE, True, True, True),
        (TlsDemand.MAY, True, True, True),
        (TlsDemand.ENCRYPT, False, True, True),
        (TlsDemand.VERIFY, False, False, True),
        (TlsDemand.DANE, False, False, True),
        (TlsDemand.STS, False, False, True),
    ],
)
def test_what_each_demand_lets_go(demand: TlsDemand, clear: bool, unverified: bool, verified: bool) -> None:  # E06
    assert (not shortfall(demand, encrypted=False, verified=False)) is clear
    assert (not shortfall(demand, encrypted=True, verified=False)) is unverified
    assert (not shortfall(demand, encrypted=True, verified=True)) is verified


def test_only_none_leaves_an_offer_unused() -> None:  # E01
    assert [demand for demand in TlsDemand if not demand.wants] == [TlsDemand.NONE]


@pytest.mark.parametrize(
    ("demand", "floor", "enforced"),
    [
        (OPPORTUNISTIC, TlsDemand.ENCRYPT, TlsDemand.ENCRYPT),
        (OPPORTUNISTIC, TlsDemand.VERIFY, TlsDemand.VERIFY),
        (OPPORTUNISTIC, TlsDemand.MAY, TlsDemand.MAY),
        (operator_demand(TlsDemand.NONE), TlsDemand.ENCRYPT, TlsDemand.ENCRYPT),
        (STS, TlsDemand.VERIFY, TlsDemand.STS),
        (STS, TlsDemand.ENCRYPT, TlsDemand.STS),
        (TESTING, TlsDemand.VERIFY, TlsDemand.VERIFY),
        (UNUSABLE, TlsDemand.VERIFY, TlsDemand.VERIFY),
        (UNUSABLE, TlsDemand.ENCRYPT, TlsDemand.ENCRYPT),
        (HostDemand(TlsDemand.DANE, policy=PolicyType.TLSA), TlsDemand.VERIFY, TlsDemand.DANE),
    ],
)
def test_the_operators_floor_and_the_domains_policy_add_up(
    demand: HostDemand, floor: TlsDemand, enforced: TlsDemand
) -> None:  # E06
    both = over_floor(demand, floor)
    assert both.level is enforced
    assert both.policy is demand.policy
    assert both.relaxed().level is (both.floor if both.policy is not PolicyType.NONE else enforced)


def test_only_none_and_may_replace_what_a_domain_publishes() -> None:  # E06
    assert [word for word in (None, *TlsDemand) if overridden(word)] == [TlsDemand.NONE, TlsDemand.MAY]


def test_testing_is_shown_and_never_stops_mail() -> None:  # I06
    assert (TESTING.shown, TESTING.level.requires) == ("sts", False)
    assert over_floor(TESTING, TlsDemand.ENCRYPT).shown == "encrypt"


def test_a_waiver_leaves_the_operators_word() -> None:  # K02
    assert STS.relaxed() == OPPORTUNISTIC
    assert over_floor(STS, TlsDemand.ENCRYPT).relaxed() == operator_demand(TlsDemand.ENCRYPT)
    assert operator_demand(TlsDemand.VERIFY).relaxed() == operator_demand(TlsDemand.VERIFY)
