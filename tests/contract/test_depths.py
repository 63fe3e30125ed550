"""The queue's history on every database: one row in five minutes whoever counts, an hour's most, and an end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from relay.figures.book import FigureBook
from relay.figures.depths import KEPT_BY_SPAN, Depth, Span
from tests.contract.test_learning import Bench, bench

__all__ = ["bench"]

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def deep(minutes: float, waiting: int, held: int = 0, oldest: int = 0) -> Depth:
    return Depth(NOON + timedelta(minutes=minutes), waiting, 1, held, timedelta(seconds=oldest))


async def test_five_minutes_are_counted_once_and_an_hour_keeps_its_peak(bench: Bench) -> None:
    nodes = [FigureBook(bench.database, bench.clock) for _ in range(3)]
    await asyncio.gather(*(book.note_depth(deep(1 + n, 10)) for n, book in enumerate(nodes)))
    await nodes[1].note_depth(deep(4, 99, held=7))  # the same five minutes: whoever came first was believed
    await nodes[0].note_depth(deep(7, 30, oldest=90))
    await nodes[2].note_depth(deep(12, 20, held=5))
    await nodes[0].note_depth(deep(61, 3))
    short = await nodes[0].depths(Span.SHORT, NOON)
    assert [(one.at.minute, one.waiting, one.held) for one in short] == [(0, 10, 0), (5, 30, 0), (10, 20, 5), (0, 3, 0)]
    first, second = await nodes[0].depths(Span.HOUR, NOON)
    assert first == Depth(NOON, 30, 1, 5, timedelta(seconds=90))
    assert (second.at, second.waiting, second.unfinished) == (NOON + timedelta(hours=1), 3, 4)
    assert await nodes[0].depths(Span.HOUR, NOON + timedelta(hours=2)) == []


async def test_the_history_has_an_end(bench: Bench) -> None:
    book, now = FigureBook(bench.database, bench.clock), bench.clock.now()
    for back in (timedelta(minutes=1), timedelta(days=3), timedelta(days=91)):
        await book.note_depth(Depth(now - back, 1, 0, 0, timedelta()))
    await book.forget()
    for span, kept in KEPT_BY_SPAN.items():
        found = await book.depths(span, now - timedelta(days=400))
        assert len(found) == (1 if span is Span.SHORT else 2)
        assert found[0].at >= now - kept - span.length
