"""The history of the seeds in every database: kept, read in order, forgotten with the figures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from relay.database.contract import Database
from relay.figures.book import KEPT, FigureBook
from relay.figures.seeds import Landing, SeedLetter
from tests.support.either_database import BOTH, open_database
from tests.support.hand_clock import HandClock


@pytest.fixture(params=BOTH)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(request, tmp_path)
    yield opened
    await opened.close()


async def test_kept_and_forgotten(database: Database) -> None:
    clock = HandClock()
    book = FigureBook(database, clock)
    await book.migrate()
    first = SeedLetter("b", clock.now(), Landing.INBOX, "INBOX", "pass", "pass", "pass", "TLS 1.3", 1.5)
    second = SeedLetter("a", clock.now() + timedelta(minutes=1), Landing.MISSING)
    await book.add_seed_letters([first, second])
    await book.add_seed_letters([first])
    assert await book.seed_letters(clock.now() - timedelta(days=1)) == [second, first]
    assert await book.seed_letters(clock.now() + timedelta(seconds=1)) == [second]
    clock.move(KEPT.total_seconds() + 1)
    await book.forget()
    assert await book.seed_letters(clock.now() - timedelta(days=1000)) == [second]
