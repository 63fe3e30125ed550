"""Several nodes on one PostgreSQL at once: leases exclude each other, lanes forget nothing, order is kept (R18)."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from relay.account.book import AccountBook
from relay.clock import SystemClock, to_millis
from relay.database.postgres import PostgresDatabase
from relay.ids import SeededEntropy, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
from relay.spool.postgres import PostgresSpool
from relay.spool.work import Door, Idempotency, Incarnation, NewMessage, Settlement
from tests.support.postgres_server import PostgresServer

MESSAGES = int(os.environ.get("LEAK_MANY_NODES_MESSAGES", "150"))
NODES = 3
CLOCK = SystemClock()


@pytest.fixture
async def url(postgres_server: PostgresServer) -> str:
    url = await postgres_server.create()
    node = await open_node(url)
    await node.close()
    return url


@pytest.fixture
async def nodes(url: str) -> AsyncIterator[list[PostgresSpool]]:
    opened = [await open_node(url) for _ in range(NODES)]
    yield opened
    for node in opened:
        await node.close()


async def open_node(url: str) -> PostgresSpool:
    database = await PostgresDatabase.open(url)
    await AccountBook(database, CLOCK, SystemEntropy()).migrate()
    spool = PostgresSpool(database, CLOCK)
    await spool.migrate()
    return spool


def message(entropy: SeededEntropy, *recipients: str, **fields: Any) -> NewMessage:
    now = CLOCK.now()
    defaults: dict[str, Any] = {
        "id": new_spool_id(to_millis(now), entropy),
        "tenant": 1,
        "credential": None,
        "door": Door.SMTP,
        "envelope": Envelope(parse_address("ann@sender.example"), tuple(map(recipient, recipients))),
        "content": b"Subject: x\r\n\r\nbody\r\n",
        "prelude": b"",
        "accepted_at": now,
        "expires_at": now + timedelta(days=5),
        "due": now,
    }
    return NewMessage(**{**defaults, **fields})


def recipient(address: str) -> Recipient:
    return Recipient(parse_address(address))


class Worker:
    """A worker in a hurry: accepts, claims, retries and delivers at random, and never holds what another holds."""

    def __init__(self, spool: PostgresSpool, me: Incarnation, seed: int, held: set[tuple[int, int]]) -> None:
        self.spool = spool
        self.me = me
        self.chance = random.Random(seed)
        self.entropy = SeededEntropy(seed)
        self.held = held
        self.delivered: Counter[tuple[int, int]] = Counter()
        self.accepted: set[tuple[int, int]] = set()

    async def accept(self, count: int) -> None:
        for _ in range(count):
            recipients = [f"u@d{self.chance.randrange(5)}.example" for _ in range(self.chance.randint(1, 3))]
            lease = self.me if self.chance.random() < 0.4 else None
            tenant = self.chance.randint(1, 2)
            receipt = await self.spool.accept(message(self.entropy, *recipients, lease_to=lease, tenant=tenant))
            self.accepted |= {(receipt.seq, n) for n in range(len(recipients))}
            if receipt.leased:
                await self.work([(receipt.seq, n) for n in sorted(receipt.leased)])

    async def deliver(self, until: asyncio.Event) -> None:
        idle = 0
        while idle < 20 or not until.is_set():
            parcels = await self.spool.claim(self.me, self.chance.randint(1, 20))
            idle = 0 if parcels else idle + 1
            await self.work([(parcel.seq, duty.n) for parcel in parcels for duty in parcel.duties])
            await asyncio.sleep(0.005)

    async def work(self, mine: list[tuple[int, int]]) -> None:
        assert not self.held & set(mine), "two workers hold the same delivery"
        self.held |= set(mine)
        await asyncio.sleep(self.chance.random() / 200)
        self.held -= set(mine)
        settlements = [self.settlement(*one) for one in mine]
        assert await self.spool.settle(self.me, settlements) == len(mine)

    def settlement(self, seq: int, n: int) -> Settlement:
        if self.chance.random() < 0.4:
            later = CLOCK.now() + timedelta(milliseconds=self.chance.randint(0, 40))
            return Settlement(seq, n, State.WAITING, later)
        self.delivered[seq, n] += 1
        return Settlement(seq, n, State.DELIVERED)


async def test_nodes_in_a_hurry_lose_and_repeat_nothing(nodes: list[PostgresSpool]) -> None:
    held: set[tuple[int, int]] = set()
    workers = [Worker(node, await node.register(f"node{i}", 0), seed=i, held=held) for i, node in enumerate(nodes)]
    accepted = asyncio.Event()
    async with asyncio.timeout(60 + MESSAGES / 20), asyncio.TaskGroup() as group:
        delivering = [group.create_task(worker.deliver(accepted)) for worker in workers]
        await asyncio.gather(*(worker.accept(MESSAGES // 6) for worker in workers for _ in range(2)))
        accepted.set()
        await asyncio.gather(*delivering)
    delivered = sum((worker.delivered for worker in workers), Counter[tuple[int, int]]())
    assert set(delivered) == set.union(*(worker.accepted for worker in workers))
    assert set(delivered.values()) == {1}
    assert await nodes[0].next_due() is None
    assert await nodes[0].deliveries(QueueFilter()) == []


async def test_one_key_on_many_nodes_is_one_message(nodes: list[PostgresSpool]) -> None:
    # R13
    entropy = SeededEntropy(1)
    key = Idempotency("k", b"digest")
    accepting = [node.accept(message(entropy, "a@b.example", idempotency=key)) for _ in range(20) for node in nodes]
    receipts = await asyncio.gather(*accepting)
    assert len({receipt.id for receipt in receipts}) == 1
    assert sum(not receipt.duplicate for receipt in receipts) == 1


async def test_a_bad_message_fails_alone(nodes: list[PostgresSpool]) -> None:
    entropy = SeededEntropy(1)
    bad = message(entropy, "a@b.example", stream="\0")  # PostgreSQL's text holds no NUL
    good = [message(entropy, "a@b.example") for _ in range(5)]
    answers = await asyncio.gather(*map(nodes[0].accept, [*good[:2], bad, *good[2:]]), return_exceptions=True)
    assert [isinstance(answer, Exception) for answer in answers] == [False, False, True, False, False, False]


async def test_events_are_read_in_the_order_of_commits(nodes: list[PostgresSpool]) -> None:
    """The stream stops before a transaction under way, and later has what that one wrote."""
    stream = (
        "SELECT tx::text, seq FROM event WHERE (tx, seq) > ($1::text::xid8, $2) AND tx < pg_snapshot_xmin("
        "pg_current_snapshot()) ORDER BY tx, seq"
    )
    entropy = SeededEntropy(1)
    slow = await PostgresDatabase.open(nodes[0]._database.connector._url)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def linger(transaction: Any) -> None:
        await transaction.execute("INSERT INTO event (at, message, kind) VALUES (0, 0, 1)")
        begun.set()
        await go_on.wait()

    lingering = asyncio.create_task(slow.transact(linger))
    await begun.wait()
    receipt = await nodes[0].accept(message(entropy, "a@b.example"))
    assert await nodes[1]._database.fetch(stream, "0", 0) == []
    go_on.set()
    await lingering
    rows = await nodes[1]._database.fetch(stream, "0", 0)
    assert len(rows) == 2
    assert await nodes[1]._database.fetch(stream, *rows[-1]) == []
    assert receipt.seq
    await slow.close()


async def test_a_wake_up_reaches_the_other_nodes(nodes: list[PostgresSpool]) -> None:
    woken = asyncio.Event()
    nodes[1].on_wake(woken.set)
    nodes[0].on_wake(lambda: None)
    async with asyncio.timeout(10):
        while not woken.is_set():  # the first ones may come before anybody listens
            await nodes[0].accept(message(SeededEntropy(random.getrandbits(32)), "a@b.example"))
            await asyncio.sleep(0.05)


async def test_a_request_and_claims_at_once_agree(nodes: list[PostgresSpool]) -> None:
    # R17: each delivery is either leased and asked, or cancelled; never both and never neither
    entropy = SeededEntropy(1)
    for n in range(60):
        await nodes[0].accept(message(entropy, f"u{n}@d{n % 3}.example"))
    me = await nodes[1].register("node1", 0)
    claims = [nodes[1].claim(me, 5) for _ in range(6)]
    asking = nodes[0].ask(Verb.CANCEL, QueueFilter(), "stop", timedelta())
    receipt, claimed = await asyncio.gather(asking, asyncio.gather(*claims))
    leased = [(parcel.seq, duty.n) for parcels in claimed for parcel in parcels for duty in parcel.duties]
    assert receipt.changed + receipt.under_way == 60
    assert receipt.under_way <= len(leased)
    assert len(leased) + receipt.changed == 60
    await nodes[2].finish_requests()
    back = [Settlement(seq, n, State.WAITING, CLOCK.now()) for seq, n in leased]
    assert await nodes[1].settle(me, back) == len(leased)
    unfinished = await nodes[0].deliveries(QueueFilter(limit=1000))
    assert len(unfinished) == len(leased) - receipt.under_way == 0


async def test_a_mail_that_departs_meanwhile_is_not_said_to_wait(url: str, nodes: list[PostgresSpool]) -> None:
    due = CLOCK.now() + timedelta(hours=1)
    receipt = await nodes[0].accept(message(SeededEntropy(9), "bob@late.example", due=due, scheduled=True))
    claiming = await asyncpg.connect(url)
    try:
        async with claiming.transaction():
            await claiming.execute("UPDATE delivery SET state = 2 WHERE message = $1", receipt.seq)
            asking = asyncio.create_task(nodes[1].reschedule(receipt.seq, due + timedelta(days=1)))
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            async with asyncio.timeout(5):
                while not asking.done() and not await claiming.fetchval(waits):
                    await asyncio.sleep(0.01)
    finally:
        await claiming.close()
    assert not await asking
    view = await nodes[2].message(receipt.id)
    assert view is not None
    assert view.send_at is not None
    assert abs(view.send_at - due) < timedelta(seconds=1)
