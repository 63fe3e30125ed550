"""A decision and its line are one: neither is there without the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.database.sqlite import SqliteDatabase
from relay.database.statements import rows_of
from relay.ids import SeededEntropy
from tests.support.hand_clock import HandClock
from web.decisions import Action, Decision, DecisionLog
from web.letter_table import DatabaseLetterStore

DECISION = Decision("letter-1", Action.UPHELD, "ann", "It insults.")
PAIR = ("INSERT INTO web_freeze (pair, at) VALUES (?, 1)", (b"p",))
THAW = ("DELETE FROM web_freeze WHERE pair = ?", (b"p",))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "front.db")
    await DatabaseLetterStore(opened).prepare()
    yield opened
    await opened.close()


async def lines(database: SqliteDatabase) -> list[tuple[object, ...]]:
    return await rows_of(database, "SELECT subject, action, actor, reason FROM web_decision")


async def test_what_changes_nothing_is_no_decision_and_has_no_effect(database: SqliteDatabase) -> None:
    log = DecisionLog(database, HandClock(), SeededEntropy(1))
    assert not await log.commit(DECISION, THAW, PAIR)
    assert await rows_of(database, "SELECT * FROM web_freeze") == []
    assert await lines(database) == []


async def test_change_effects_and_line_are_one_transaction(database: SqliteDatabase) -> None:
    log = DecisionLog(database, HandClock(), SeededEntropy(1))
    with pytest.raises(Exception, match="UNIQUE"):
        await log.commit(DECISION, PAIR, PAIR)
    assert await lines(database) == []
    assert await log.commit(DECISION, PAIR, ("UPDATE web_freeze SET at = 2", ()))
    assert await rows_of(database, "SELECT at FROM web_freeze") == [(2,)]
    assert await lines(database) == [("letter-1", "upheld", "ann", "It insults.")]
