"""The journal: a line for every event, once, through rotation, restarts, torn lines and a full disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from relay.clock import SystemClock
from relay.engine.alarms import Alarms
from relay.engine.journal import Journal
from relay.event.feed import Position
from relay.notify.journal_file import JournalFile
from tests.support.feed_bench import FeedBench, feed_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[FeedBench]:
    async with feed_bench(tmp_path) as running:
        yield running


def lines(*files: Path) -> list[dict[str, Any]]:
    """The whole lines; what has no end yet is being written, or was torn."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines(True) if line.endswith("\n")]


class Writing:
    """A journal of one life."""

    def __init__(self, bench: FeedBench, file: Path) -> None:
        self.file = file
        self.alarms = Alarms(bench.spool, SystemClock())
        self.bench = bench
        self.journal = Journal(bench.spool, JournalFile(file), self.alarms, "node")

    async def __aenter__(self) -> Self:
        self.journal.start()
        async with asyncio.timeout(20):
            while not self.file.exists():
                await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.journal.stop()

    async def until(self, count: int, *files: Path) -> list[dict[str, Any]]:
        async with asyncio.timeout(20):
            while not self.file.exists() or len(lines(*files, self.file)) < count:
                await asyncio.sleep(0.05)
        return lines(*files, self.file)


async def test_it_goes_on_where_it_was_through_rotation_and_restart(bench: FeedBench, tmp_path: Path) -> None:
    file, moved = tmp_path / "log" / "events.jsonl", tmp_path / "log" / "events.jsonl.1"
    await bench.accept("before@b.example")  # a journal that begins, begins now
    ids = []
    async with Writing(bench, file) as writing:
        ids.append((await bench.accept("a@b.example", tags=("t",))).id)
        (line,) = await writing.until(1)
        assert (line["message_id"], line["kind"], line["tags"]) == (ids[0], "accepted", ["t"])
        file.rename(moved)
        ids.append((await bench.accept("a@b.example")).id)
        await writing.until(2, moved)
    ids.append((await bench.accept("a@b.example")).id)
    file.unlink()  # rotated away while nobody wrote
    async with Writing(bench, file) as writing:
        ids.append((await bench.accept("a@b.example")).id)
        found = await writing.until(2)
    assert [line["message_id"] for line in [*lines(moved), *found]] == [ids[0], *ids[2:]]
    assert file.stat().st_mode & 0o777 == 0o640


async def test_a_torn_line_is_cut_off_and_nothing_told_twice(bench: FeedBench, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    async with Writing(bench, file) as writing:
        await bench.accept("a@b.example")
        await bench.accept("a@b.example")
        await writing.until(2)
    whole = file.read_bytes()
    # Killed after the lines and before the position, in the middle of the next line.
    file.with_name("events.jsonl.position").write_text(str(Position(0, 1)))
    file.write_bytes(whole + b'{"id": "evt_3", "cur')
    async with Writing(bench, file) as writing:
        await bench.accept("a@b.example")
        found = await writing.until(3)
    assert len({line["id"] for line in found}) == len(found) == 3
    assert file.read_bytes().startswith(whole)


async def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    first, second = JournalFile(tmp_path / "j"), JournalFile(tmp_path / "j")
    first.open()
    with pytest.raises(BlockingIOError):
        second.open()
    first.close()
    second.open()
    second.close()


async def test_a_file_that_cannot_be_written_alarms_and_misses_nothing(bench: FeedBench, tmp_path: Path) -> None:
    file = tmp_path / "log" / "events.jsonl"
    async with Writing(bench, file) as writing:
        await bench.accept("a@b.example")
        await writing.until(1)
        file.unlink()
        file.mkdir()
        receipt = await bench.accept("a@b.example")
        async with asyncio.timeout(20):
            while not await bench.spool.alarms():
                await asyncio.sleep(0.05)
        file.rmdir()
        (line,) = await writing.until(1)
        assert line["message_id"] == receipt.id
        async with asyncio.timeout(20):
            while await bench.spool.alarms():
                await asyncio.sleep(0.05)


async def test_nobody_s_words_begin_a_line_of_their_own(bench: FeedBench, tmp_path: Path) -> None:  # S46
    file = tmp_path / "events.jsonl"
    words = ('x\n{"id": "evt_1", "kind": "delivered"}\r', "\u2028\u0085\x0b\x1b[2J\x7f")
    async with Writing(bench, file) as writing:
        await bench.accept("a@b.example", tags=words, metadata={"k\n": "\u2029\x07"})
        async with asyncio.timeout(20):
            while b"\n" not in (content := writing.file.read_bytes()):
                await asyncio.sleep(0.05)
    (line,) = content.decode().splitlines()
    assert line.isprintable()
    assert tuple(json.loads(line)["tags"]) == words
