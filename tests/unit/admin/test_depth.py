"""The queue over time as it is drawn: steps that stand on each other, gaps that are told, a table of the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from relay.admin.chart import areas
from relay.admin.depth import DAY, VIEWS, drawn, stretches
from relay.figures.depths import Depth
from tests.contract.test_learning import Bench, bench
from tests.support.operator import Operator
from tests.unit.admin.test_pages import ONE_DATABASE, ann

__all__ = ["ann", "bench"]

NOW = datetime(2026, 11, 21, 12, 7, tzinfo=UTC)


def deep(ago: timedelta, waiting: int, leased: int = 0, held: int = 0) -> Depth:
    return Depth(NOW - ago, waiting, leased, held, timedelta(minutes=3))


def test_areas_stand_on_each_other_and_gaps_stay_empty() -> None:
    chart = areas({"waiting": [5, 10, None, 0], "held": [5, 0, None, 10]})
    assert chart.top == 10
    # There along the upper edge in steps of 240, back along the lower one; the last place has nothing that waits.
    assert chart.outlines["waiting"] == "M0.0 240.0V120.0H240.0V0.0H480.0V240.0H240.0V240.0H0.0Z"
    first, last = chart.outlines["held"].split(" M")
    assert first == "M0.0 120.0V0.0H240.0V0.0H480.0V0.0H240.0V120.0H0.0Z"
    assert last == "720.0 240.0V0.0H960.0V240.0H720.0Z"
    assert chart.unknown == "M480.0 240.0V0.0H720.0V240.0H480.0Z"


def test_nothing_is_drawn_of_an_empty_queue() -> None:
    chart = areas({"waiting": [0, 0], "held": [0, 0]})
    assert (chart.outlines, chart.unknown, chart.top) == ({"waiting": "", "held": ""}, "", 1)


def test_a_stretch_tells_the_most_that_was_counted_in_it() -> None:
    rows = [deep(timedelta(minutes=50), 4, held=9), deep(timedelta(minutes=20), 7, leased=2), deep(timedelta(), 1)]
    *early, before, last = stretches(rows, NOW, timedelta(days=1), timedelta(hours=1))
    assert len(early) == 22
    assert all(one.depth is None for one in early)
    assert before.begins == datetime(2026, 11, 21, 11, tzinfo=UTC)
    assert before.depth is not None
    assert (before.depth.waiting, before.depth.leased, before.depth.held) == (7, 2, 9)
    assert last.depth is not None
    assert last.depth.waiting == 1


def test_every_view_has_whole_steps_up_to_now() -> None:
    for view in (DAY, *VIEWS):
        rows = [deep(timedelta(hours=h), h) for h in range(24 * view.reach.days)]
        shown = drawn(view, rows, NOW)
        assert shown.rows[0].begins <= NOW < shown.rows[0].begins + view.row
        assert shown.rows[0].depth is not None
        assert len(shown.rows) == view.reach // view.row
        assert (view.length % view.span.length, view.row % view.length) == (timedelta(), timedelta())
        assert shown.deepest == rows[-1]


def test_the_table_begins_with_the_first_that_was_counted() -> None:
    shown = drawn(VIEWS[0], [deep(timedelta(hours=5), 9), deep(timedelta(hours=2), 3)], NOW)
    counted = [None if one.depth is None else one.depth.waiting for one in shown.rows]
    assert counted == [None, None, 3, None, None, 9]


def test_a_young_node_is_drawn_from_its_first_count_on() -> None:
    young = drawn(DAY, [deep(timedelta(minutes=m), 3) for m in (22, 17, 12, 7, 2)], NOW)
    assert (young.begins, young.is_whole, young.is_flat) == (datetime(2026, 11, 21, 11, 45, tzinfo=UTC), False, False)
    assert young.chart.unknown == "", "before it there was nothing to be counted"
    assert young.chart.outlines["waiting"].startswith("M0.0 240.0V")
    gone = drawn(DAY, [deep(timedelta(minutes=m), 0) for m in (22, 2)], NOW)
    assert gone.chart.unknown.startswith("M192.0 "), "a gap since then is told"
    assert not gone.is_flat
    soon = drawn(DAY, [deep(timedelta(minutes=m), 3) for m in (22, 17, 12, 7)], NOW)
    assert soon.chart.unknown == "", "the count of the running five minutes may be about to come"
    away = drawn(DAY, [deep(timedelta(minutes=m), 3) for m in (22, 17, 12)], NOW)
    assert away.chart.unknown.startswith("M576.0 "), "a count that did not come is told"


def test_an_empty_queue_is_not_drawn() -> None:
    calm = drawn(DAY, [deep(timedelta(minutes=m), 0) for m in (7, 2)], NOW)
    assert (calm.is_flat, calm.is_whole) == (True, False)
    always = drawn(DAY, [deep(timedelta(minutes=5 * m), 0) for m in range(289)], NOW)
    assert (always.is_flat, always.is_whole) == (True, True)
    unknown = drawn(DAY, [], NOW)
    assert (unknown.rows, unknown.begins) == ((), NOW)


@ONE_DATABASE
async def test_the_pages_draw_the_queue_over_time(bench: Bench, ann: Operator) -> None:
    page = await ann.get("/admin")
    assert "The queue, 24 hours" in page.text
    assert "Nothing was counted yet." in page.text
    assert "No mail came and none left in this time." in page.text
    assert "<svg" not in page.document, "an empty frame says nothing"
    at = bench.clock.now()
    await bench.figures.note_depth(Depth(at - timedelta(hours=3), 0, 0, 0, timedelta()))
    await bench.figures.note_depth(Depth(at - timedelta(hours=3, minutes=-5), 0, 0, 0, timedelta()))
    bench.clock.move(60)
    assert "not counted" in (await ann.get("/admin")).text, "there is a gap since"
    await bench.figures.note_depth(Depth(at - timedelta(minutes=10), 1200, 30, 4, timedelta(hours=5)))
    bench.clock.move(60)
    page = await ann.get("/admin")
    assert "Deepest: 1,234 deliveries" in page.text
    assert page.document.count('<path class="waiting"') == 1
    assert "1,200 30 4 5h" in page.text
    for back, title, row in (("days", "2 days", "%d %H:00"), ("quarter", "90 days", "%Y-%m-%d")):
        page = await ann.get(f"/admin/queue?by=site&back={back}")
        assert f"Depth over {title}" in page.text
        assert f"{(at - timedelta(minutes=10)).strftime(row)} 1,200 30 4 5h" in page.text
        assert f'back={back}#depth" aria-current="true"' in page.document
    assert "Depth over 2 days" in (await ann.get("/admin/queue?back=%22nowhere")).text
