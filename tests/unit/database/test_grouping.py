"""Group commit on the event loop: what shares a transaction, who is told what when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from relay.database import grouping
from relay.database.grouping import CommitGroup
from relay.errors import SpoolUnavailableError


class Recorder:
    """Answers each request with its double, one transaction at a time; a negative number spoils its transaction."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def perform(self, requests: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(requests))
        await self.gate.wait()
        if self.away:
            raise SpoolUnavailableError("away")
        if any(request < 0 for request in requests):
            raise ArithmeticError("spoiled")
        return [LookupError("refused") if request == 0 else 2 * request for request in requests]


async def test_what_arrives_during_a_commit_shares_the_next() -> None:
    recorder = Recorder()
    group = CommitGroup(recorder.perform)
    recorder.gate.clear()
    first = asyncio.create_task(group.run(1, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(group.run(number, 1)) for number in range(2, 30)]
    await asyncio.sleep(0)
    recorder.gate.set()
    assert await asyncio.gather(first, *others) == [2 * number for number in range(1, 30)]
    assert recorder.batches == [[1], list(range(2, 30))]
    await group.close()


async def test_a_bad_request_fails_alone() -> None:
    recorder = Recorder()
    group = CommitGroup(recorder.perform)
    answers = await asyncio.gather(*(group.run(number, 1) for number in (1, -1, 0, 2)), return_exceptions=True)
    assert answers[0] == 2
    assert isinstance(answers[1], ArithmeticError)
    assert isinstance(answers[2], LookupError)
    assert answers[3] == 4
    assert recorder.batches == [[1, -1, 0, 2], [1], [-1], [0], [2]]


async def test_everybody_is_told_when_the_database_is_away() -> None:
    recorder = Recorder()
    recorder.away = True
    group = CommitGroup(recorder.perform)
    answers = await asyncio.gather(*(group.run(number, 1) for number in range(5)), return_exceptions=True)
    assert all(isinstance(answer, SpoolUnavailableError) for answer in answers)
    assert len(recorder.batches) == 1


async def test_who_gives_up_in_time_leaves_no_trace() -> None:
    recorder = Recorder()
    group = CommitGroup(recorder.perform)
    recorder.gate.clear()
    first = asyncio.create_task(group.run(1, 1))
    await asyncio.sleep(0.01)
    with pytest.raises(SpoolUnavailableError, match="did not begin"):
        await group.run(2, 1, patience=0.01)
    cancelled = asyncio.create_task(group.run(3, 1))
    await asyncio.sleep(0.01)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    recorder.gate.set()
    assert await first == 2
    assert await group.run(4, 1) == 8
    assert recorder.batches == [[1], [4]]


async def test_batches_are_bounded_in_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "MAX_WEIGHT", 10)
    recorder = Recorder()
    group = CommitGroup(recorder.perform)
    await asyncio.gather(*(group.run(number, weight) for number, weight in ((1, 50), (2, 6), (3, 4), (4, 1))))
    assert recorder.batches == [[1], [2, 3], [4]]


async def test_full_means_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "MAX_WAITING", 2)
    recorder = Recorder()
    group = CommitGroup(recorder.perform)
    answers = await asyncio.gather(*(group.run(number, 1) for number in (1, 2, 3)), return_exceptions=True)
    assert [isinstance(answer, SpoolUnavailableError) for answer in answers] == [False, False, True]
    await group.close()
    with pytest.raises(SpoolUnavailableError, match="closing"):
        await group.run(1, 1)
