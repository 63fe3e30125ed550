"""What rules and replies do to a path, on the whole engine."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from relay.engine.alarms import Alarms
from relay.engine.shaper import MOST_PATHS, Shaper
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.pool import Member, Pool, Pools
from relay.policy.route import Candidate, Plan
from relay.policy.shaping import Limits, ShapingBook, Share
from relay.policy.shaping_file import parse_shaping
from relay.policy.state import State
from relay.policy.way import EgressPath, Source
from relay.smtp.reply import remote_reply
from tests.support.engine_bench import engine_bench
from tests.support.far_side import ACCEPTED

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = """
[[provider]]
name = "touchy"
domains = ["b.example"]
connections = 2
[[provider.reply]]
id = "go-away"
regex = 'GO_AWAY'
count = 2
action = "suspend"
for = "2h"
alarm = true
"""


async def test_a_reply_rule_suspends_the_path_in_the_spool_and_tells_a_person(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, shaping=parse_shaping(RULES)) as bench:
        host = bench.far.host("mx.b.example")
        host.reply_to = lambda _: remote_reply(451, ("4.7.1 GO_AWAY for a while",))
        await bench.send("a@b.example")
        async with asyncio.timeout(20):
            while not (suspended := await bench.spool.suspensions()):
                await asyncio.sleep(0.02)
        assert [(one.site, one.reason) for one in suspended] == [
            ("mx.b.example", "rule go-away: the provider asked for it")
        ]
        assert [(alarm.kind, alarm.subject) for alarm in await bench.spool.alarms()] == [
            ("provider", "go-away: mx.b.example from one")
        ]
        dials = host.dials
        host.reply_to = lambda _: ACCEPTED
        other = await bench.send("c@other.example")
        await bench.until(other, State.DELIVERED)
        waiting = await bench.send("d@b.example")
        await asyncio.sleep(0.3)
        view = await bench.spool.message(waiting)
        assert view is not None
        assert view.deliveries[0].state is State.WAITING
        assert host.dials == dials


def test_a_rule_by_domain_holds_for_the_whole_site_and_for_no_smarthost() -> None:
    shaper = Shaper(parse_shaping(RULES), Share(), cast("Alarms", None))
    candidate = Candidate("mx.both.example", "192.0.2.1", 25)
    site = EgressPath("mx.both.example", "one")
    own, all_mail = Plan(site.site, (candidate,)), Plan("smart.example", (candidate,), for_all=True)
    assert shaper.shaping(site, own, "a.example").limits.connections == 20
    assert shaper.shaping(site, own, "b.example").limits.connections == 2
    assert shaper.shaping(site, own, "a.example").limits.connections == 2, "they share sessions and limits"
    smart = EgressPath("smart.example", "one")
    assert shaper.shaping(smart, all_mail, "b.example").limits.connections == 20
    assert shaper.shaping(smart, all_mail, "a.example").provider == ""
    shaper.use(ShapingBook())
    assert shaper.shaping(site, own, "b.example").limits.connections == 20


def test_how_often_a_path_met_a_rule_is_bounded_and_goes_with_the_rules() -> None:
    shaper = Shaper(parse_shaping(RULES), Share(), cast("Alarms", None))
    plan = Plan("mx.b.example", (Candidate("mx.b.example", "192.0.2.1", 25),))
    said = Outcome(
        Result.TEMPORARY, Scope.SITE, Phase.MAIL, DecidedBy.REMOTE, remote_reply(451, ("4.7.1 GO_AWAY for a while",))
    )

    def asked(source: str) -> bool:
        path = EgressPath("mx.b.example", source)
        return bool(shaper.asked(path, shaper.shaping(path, plan, "b.example"), (said,), NOW))

    assert not asked("one")
    assert asked("one")
    assert not shaper._met, "what brought the rule into force is done with"
    for n in range(MOST_PATHS + 10):
        assert not asked(f"source{n}")
    assert len(shaper._met) == MOST_PATHS
    assert not asked("source0"), "the one met the longest ago is forgotten"
    assert asked(f"source{MOST_PATHS}")
    # A new count is counted from the beginning, by the new rule.
    shaper.use(parse_shaping(RULES.replace("count = 2", "count = 3")))
    assert [asked("source5") for _ in range(3)] == [False, False, True]


async def test_one_suspended_source_stops_no_other_until_an_operator_ends_it(tmp_path: Path) -> None:
    sources = [Source("ip1", "", "one.relay.example"), Source("ip2", "", "two.relay.example")]
    pools = Pools(default=Pool("default", tuple(map(Member, sources))))
    async with engine_bench(tmp_path, shaping=parse_shaping(RULES), pools=pools) as bench:
        host = bench.far.host("mx.b.example")
        host.reply_to = lambda _: remote_reply(451, ("4.7.1 GO_AWAY for a while",))
        letter = await bench.send("a@b.example")
        async with asyncio.timeout(20):
            while not (suspended := await bench.spool.suspensions()):
                await asyncio.sleep(0.02)
        (blocked,) = {one.source for one in suspended}
        host.reply_to = lambda _: ACCEPTED
        await bench.until(letter, State.DELIVERED)
        assert {source for _, _, source in bench.far.dialled[-1:]} == {"ip1", "ip2"} - {blocked}
    async with engine_bench(tmp_path, shaping=parse_shaping(RULES), pools=pools) as bench:
        await bench.engine.heed()
        for n in range(8):
            await bench.until(await bench.send(f"b{n}@b.example"), State.DELIVERED)
        assert {source for _, _, source in bench.far.dialled} == {"ip1", "ip2"} - {blocked}, (
            "the next life heeds it too"
        )
        await bench.spool.resume(suspended[0].id)
        await bench.engine.heed()
        for n in range(16):
            await bench.until(await bench.send(f"c{n}@b.example"), State.DELIVERED)
        assert {source for _, _, source in bench.far.dialled} == {"ip1", "ip2"}


async def test_an_operator_ends_a_rest_that_travels_as_a_note(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        host = bench.far.host("mx.b.example")
        host.reachable = False
        await bench.send("a@b.example")
        async with asyncio.timeout(20):
            while not await bench.notes.end_rests("mx.b.example", "one"):
                await bench.engine.exchange_notes()
        host.reachable = True
        await bench.engine.exchange_notes()
        await bench.until(await bench.send("b@b.example"), State.DELIVERED, seconds=20)
        assert await bench.notes.all() == []


async def test_the_rules_connections_are_never_exceeded(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, shaping=parse_shaping(RULES)) as bench:
        sent = [await bench.send(f"a{n}@b.example") for n in range(40)]
        for message in sent:
            await bench.until(message, State.DELIVERED)
        assert bench.far.host("mx.b.example").peak <= 2


async def test_a_worker_without_a_share_leaves_the_mail_to_others(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, shaping=ShapingBook(everybody=Limits(1)), start=False) as bench:
        dispatcher = bench.engine._dispatcher
        nobody = next(n for n in range(2) if not Share(n, 2).of_connections(1, "mx.b.example from one"))
        dispatcher.share(Share(nobody, 2))
        bench.engine._watch_living = asyncio.Event().wait  # type: ignore[method-assign,assignment]
        await bench.engine.start()
        message = await bench.send("a@b.example")
        await asyncio.sleep(0.5)
        assert bench.far.host("mx.b.example").dials == 0
        dispatcher.share(Share(0, 1))
        await bench.until(message, State.DELIVERED)
