"""What the spool keeps for reports: whether a delay was told, and the message as it left."""

from __future__ import annotations

from relay.database.contract import Connection
from relay.event import EventKind
from relay.policy.outcome import Result
from relay.policy.state import State
from relay.spool.work import Settlement
from tests.contract.test_spool import Bench, attempt, bench

__all__ = ["bench"]


async def test_a_delay_is_remembered_as_told(bench: Bench) -> None:
    # G08
    await bench.accept("a@b.example")
    for number, told in ((1, False), (2, True), (3, True)):
        (parcel,) = await bench.claim()
        assert parcel.duties[0].delay_told is (number > 2)
        tried = attempt(Result.TEMPORARY, 451, number=number)
        later = Settlement(
            parcel.seq,
            0,
            State.WAITING,
            bench.clock.now(),
            EventKind.DEFERRED,
            attempt=tried,
            delay_told=told and number == 2,
        )
        assert await bench.spool.settle(bench.me, [later]) == 1


async def test_the_original_is_the_prelude_and_the_first_piece(bench: Bench) -> None:
    content = b"Subject: x\r\n\r\n" + b"y" * 600_000
    receipt = await bench.accept("a@b.example", content=content, prelude=None)
    assert content.startswith(await bench.spool.original(receipt.seq))
    await bench.spool.set_prelude(receipt.seq, b"Date: late\r\n")
    original = await bench.spool.original(receipt.seq)
    assert original.startswith(b"Date: late\r\nSubject: x\r\n\r\n")
    assert 256 * 1024 <= len(original) < len(content)

    def tear(connection: Connection) -> None:
        connection.execute("DELETE FROM content")

    await bench.database.write(tear)
    assert await bench.spool.original(receipt.seq) == b""
