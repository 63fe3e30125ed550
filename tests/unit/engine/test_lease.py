"""The lease: when it holds, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.database.contract import Connection
from relay.engine.lease import BEATS, HOLDS, Lease
from relay.spool.life import Ending, Pulse
from relay.spool.work import LEASE
from tests.support.engine_bench import spool_of
from tests.support.hand_clock import HandClock

HOLDS_SECONDS = LEASE.total_seconds() * HOLDS


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_holds_for_less_than_others_wait(tmp_path: Path) -> None:
    # R18: the margin is on the monotonic clock
    assert HOLDS < 1 - 1 / BEATS
    clock = HandClock()
    async with spool_of(tmp_path, clock) as (spool, _):
        lease = Lease(spool, clock, lambda _: None)
        assert not lease.holds()
        with pytest.raises(RuntimeError):
            _ = lease.incarnation
        await lease.start("node", 0)
        clock.move(HOLDS_SECONDS - 0.1)
        assert lease.holds()
        clock.move(0.2)
        assert not lease.holds()
        await lease.stop()
        assert not lease.holds()


async def test_a_heartbeat_makes_it_hold_again_and_none_while_the_spool_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.engine.lease.BEATS", 3000)
    clock = HandClock()
    async with spool_of(tmp_path, clock) as (spool, database):
        lease = Lease(spool, clock, lambda _: None)
        await lease.start("node", 0)
        database.away = True
        await asyncio.sleep(0.1)
        clock.move(HOLDS_SECONDS + 1)
        await asyncio.sleep(0.1)
        assert not lease.holds()
        database.away = False
        await until(lease.holds)
        await lease.stop()


async def test_a_heartbeat_outlives_a_surprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.engine.lease.BEATS", 3000)
    clock = HandClock()

    def rename(old: str, new: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

        return work

    async with spool_of(tmp_path, clock) as (spool, database):
        lease = Lease(spool, clock, lambda _: None)
        await lease.start("node", 0)
        await database.write(rename("incarnation", "elsewhere"))
        await asyncio.sleep(0.1)
        await database.write(rename("elsewhere", "incarnation"))
        clock.move(HOLDS_SECONDS + 1)
        await until(lease.holds)
        await lease.stop()


async def test_the_older_life_is_told_once_and_holds_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.engine.lease.BEATS", 3000)
    clock = HandClock()
    told: list[Pulse] = []
    async with spool_of(tmp_path, clock) as (spool, _):
        older, newer = Lease(spool, clock, told.append), Lease(spool, clock, told.append)
        await older.start("node", 0)
        await newer.start("node", 0)
        await until(lambda: told)
        await asyncio.sleep(0.1)
        assert [pulse.ending for pulse in told] == [Ending.REPLACED]
        assert not older.holds()
        assert newer.holds()
        await older.stop()
        await newer.stop()
