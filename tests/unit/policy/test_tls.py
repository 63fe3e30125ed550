from __future__ import annotations

import pytest

from relay.policy.tls import TlsDemand, shortfall


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
