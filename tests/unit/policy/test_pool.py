"""Which source a message leaves from, and whether a source works at all."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from relay.policy.health import FIRST_REST, LONGEST_REST, SILENT_SITES, SourceHealth
from relay.policy.pool import Member, Pool, Pools, only
from relay.policy.route import Candidate, Plan
from relay.policy.way import Source, way_from

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ONE, TWO, THREE = (Source(name, f"192.0.2.{n}", f"{name}.example") for n, name in enumerate(("one", "two", "three")))
SIX = Source("six", "2001:db8::1", "six.example")
BOTH = frozenset({4, 6})


def firsts(pool: Pool) -> Counter[str]:
    return Counter(pool.ranked(f"message-{n}")[0].name for n in range(4000))


def test_shares_follow_the_weights() -> None:
    found = firsts(Pool("p", (Member(ONE, 3.0), Member(TWO, 1.0))))
    assert 2850 <= found["one"] <= 3150
    even = firsts(Pool("p", (Member(ONE), Member(TWO))))
    assert 1850 <= even["one"] <= 2150


def test_a_message_keeps_its_order_and_a_new_source_takes_only_its_own_share() -> None:
    two, three = Pool("p", (Member(ONE), Member(TWO))), Pool("p", (Member(THREE), Member(TWO), Member(ONE)))
    moved = 0
    for n in range(1000):
        before, after = two.ranked(f"m{n}"), three.ranked(f"m{n}")
        assert two.ranked(f"m{n}") == before
        assert [source for source in after if source is not THREE] == list(before)
        moved += after[0] is THREE
    assert 250 <= moved <= 420


def test_a_route_comes_before_a_stream_and_that_before_a_tenant() -> None:
    route, stream, tenant, rest = (Pool(name, (Member(ONE),)) for name in ("route", "stream", "tenant", "rest"))
    pools = Pools(rest, {"far.example": route}, {"bulk": stream}, {7: tenant})
    assert pools.pool("far.example", "bulk", 7) is route
    assert pools.pool("else.example", "bulk", 7) is stream
    assert pools.pool("else.example", "", 7) is tenant
    assert pools.pool("else.example", "other", 8) is rest
    assert Pools(rest, {"*": route}).pool("else.example", "", 8) is route
    assert only(ONE).pool("x.example", "", 1).ranked("m") == (ONE,)


def test_a_way_has_the_addresses_its_source_can_reach() -> None:
    v4, v6 = Candidate("mx.example", "198.51.100.1", 25), Candidate("mx.example", "2001:db8::2", 25)
    plan = Plan("mx.example", (v6, v4))
    both = way_from(Source("any", "", "any.example"), plan, BOTH)
    assert both is not None
    assert both.candidates == (v6, v4)
    unfit = way_from(Source("any", "", "any.example"), plan, frozenset({4}))
    assert unfit is not None
    assert unfit.candidates == (v4,)
    six = way_from(SIX, plan, BOTH)
    assert six is not None
    assert (six.candidates, str(six.path)) == ((v6,), "mx.example from six")
    assert way_from(SIX, plan, frozenset({4})) is None
    assert way_from(ONE, Plan("mx.example", (v6,)), BOTH) is None
    refused = way_from(ONE, Plan("mx.example", (), (v4,)), BOTH)
    assert refused is not None
    assert refused.relaxed == (v4,)


def test_a_source_that_cannot_be_used_rests_longer_each_time_and_recovers() -> None:
    health = SourceHealth()
    now, spans = NOW, []
    for _ in range(7):
        spans.append(health.failed("one", now))
        assert health.resting("one", now)
        assert health.failed("one", now) is None
        now += LONGEST_REST
        assert not health.resting("one", now)
    assert spans[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert spans[-1] == LONGEST_REST
    health.reached("one")
    assert health.failed("one", now) == FIRST_REST


def test_silence_of_many_sites_speaks_against_a_source_only_if_another_reached_somebody() -> None:
    health = SourceHealth()
    for n in range(3 * SILENT_SITES):
        assert health.unreachable("one", f"site{n}", NOW) is None
    health.reached("two")
    assert health.unreachable("one", "last", NOW) == FIRST_REST
    assert health.resting("one", NOW + FIRST_REST / 2)
    assert not health.resting("two", NOW)


def test_one_dead_site_says_nothing_about_the_source() -> None:
    health = SourceHealth()
    for _ in range(100):
        assert health.unreachable("one", "dead", NOW) is None
        health.reached("two")
    assert not health.resting("one", NOW + timedelta(seconds=1))
