"""Large bodies, which come in before their message and leave after it: the same on either database (R08)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.errors import SpoolUnavailableError
from relay.ids import SeededEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.body_hash import BodyHash
from relay.mail.envelope import Envelope, Recipient
from relay.spool.contract import Spool
from relay.spool.work import Door, Idempotency, Incarnation, NewMessage, StoredBody
from tests.support.either_database import BOTH, open_database, spool_on
from tests.support.hand_clock import HandClock

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEAD = b"Subject: large\r\n\r\n"
PIECES = [bytes([65 + n]) * (256 * 1024) for n in range(3)] + [b"the end\r\n"]


@dataclass
class Bench:
    """A spool, and the life that writes."""

    spool: Spool
    me: Incarnation
    entropy: SeededEntropy

    async def store(self, owner: Incarnation | None = None) -> StoredBody:
        seq = None
        for n, piece in enumerate(PIECES):
            seq = await self.spool.store_piece(owner or self.me, seq, n, piece)
        assert seq is not None
        return StoredBody(seq, len(PIECES), sum(map(len, PIECES)), BodyHash("x"))

    def message(self, body: StoredBody | None) -> NewMessage:
        envelope = Envelope(parse_address("ann@sender.example"), (Recipient(parse_address("a@b.example")),))
        later = NOW + timedelta(days=5)
        spool_id = new_spool_id(int(NOW.timestamp() * 1000), self.entropy)
        return NewMessage(spool_id, 1, None, Door.SMTP, envelope, HEAD, b"", NOW, later, NOW, body=body)

    async def read(self, seq: int) -> bytes:
        """A content as delivery reads it."""
        stored = await self.spool.open_content(seq)
        assert stored.ends_line
        whole, after = stored.first, stored.piece
        while (found := await self.spool.next_piece(seq, after)) is not None:
            after, piece = found
            whole += piece
        assert len(whole) == stored.size
        return whole

    async def orphans(self) -> int:
        removed = 0
        while await self.spool.remove_orphan(2):
            removed += 1
        return removed


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    spool = spool_on(await open_database(request, tmp_path), HandClock())
    await spool.migrate()
    yield Bench(spool, await spool.register("node", 0), SeededEntropy(1))
    await spool.close()


async def test_a_body_becomes_the_message_that_is_accepted_with_it(bench: Bench) -> None:
    small = await bench.spool.accept(bench.message(None))
    body = await bench.store()
    receipt = await bench.spool.accept(bench.message(body))
    after = await bench.spool.accept(bench.message(None))
    assert receipt.seq == body.seq
    assert len({small.seq, receipt.seq, after.seq}) == 3
    assert await bench.read(receipt.seq) == await bench.spool.content(receipt.seq) == HEAD + b"".join(PIECES)
    assert (await bench.spool.original(receipt.seq)).startswith(HEAD + PIECES[0])
    await bench.spool.give_up_body(body.seq)
    assert await bench.orphans() == 0
    assert len(await bench.read(receipt.seq)) == len(HEAD) + body.octets
    parcel = next(one for one in await bench.spool.claim(bench.me, 10) if one.seq == receipt.seq)
    assert parcel.size == len(HEAD) + body.octets


async def test_each_of_several_messages_has_the_body(bench: Bench) -> None:
    body = await bench.store()
    copies = [replace(bench.message(body), copies_body=bool(n)) for n in range(3)]
    receipts = await bench.spool.accept_together(copies)
    for receipt in receipts:
        assert await bench.read(receipt.seq) == HEAD + b"".join(PIECES)
    assert await bench.orphans() == 0


async def test_what_was_given_up_is_removed_and_never_accepted(bench: Bench) -> None:
    given_up, kept = await bench.store(), await bench.store()
    await bench.spool.give_up_body(given_up.seq)
    assert await bench.orphans() == 3
    assert await bench.spool.next_piece(given_up.seq, -1) is None
    with pytest.raises(SpoolUnavailableError):
        await bench.spool.accept(bench.message(given_up))
    with pytest.raises(SpoolUnavailableError):
        await bench.spool.store_piece(bench.me, given_up.seq, 4, b"more")
    receipt = await bench.spool.accept(bench.message(kept))
    assert len(await bench.read(receipt.seq)) == len(HEAD) + kept.octets


async def test_what_a_dead_worker_left_behind_is_removed(bench: Bench) -> None:
    left, taken = await bench.store(), await bench.store()
    receipt = await bench.spool.accept(bench.message(taken))
    await bench.spool.register("node", 0)
    with pytest.raises(SpoolUnavailableError):
        await bench.spool.store_piece(bench.me, None, 0, PIECES[0])
    assert await bench.orphans() == 3
    assert await bench.spool.next_piece(left.seq, -1) is None
    assert len(await bench.read(receipt.seq)) == len(HEAD) + taken.octets


async def test_a_repetition_leaves_its_body_to_be_removed(bench: Bench) -> None:
    key = Idempotency("key", b"digest")
    first, again = await bench.store(), await bench.store()
    accepted = await bench.spool.accept(replace(bench.message(first), idempotency=key))
    repeated = await bench.spool.accept(replace(bench.message(again), idempotency=key))
    assert (repeated.id, repeated.duplicate) == (accepted.id, True)
    await bench.spool.give_up_body(again.seq)
    assert await bench.orphans() == 3
    assert len(await bench.read(accepted.seq)) == len(HEAD) + first.octets


async def test_torn_content_is_not_opened(bench: Bench) -> None:
    body = await bench.store()
    with pytest.raises(KeyError):
        await bench.spool.open_content(body.seq)
    receipt = await bench.spool.accept(replace(bench.message(body), body=replace(body, octets=body.octets + 1)))
    with pytest.raises(KeyError):
        await bench.spool.open_content(receipt.seq)
