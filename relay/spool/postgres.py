"""The spool on PostgreSQL: any number of nodes share it, and cooperate through leases alone.

Accepts and settles of one moment share a transaction (`relay.database.grouping`); everything in it is a handful
of statements over arrays. Due times are on the node's clock, heartbeats on the database's. What people look at
runs the same code as on SQLite, over the bridge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar, cast

from relay.clock import Clock, from_millis, to_millis
from relay.crash_points import reach
from relay.database.grouping import CommitGroup
from relay.database.postgres import LONG_SECONDS, PostgresDatabase, Transaction
from relay.database.postgres_wakeups import Wakeups
from relay.policy.state import State
from relay.spool.accepting import IDEMPOTENCY_MILLIS, KEYS_AHEAD_MILLIS
from relay.spool.bodies import OVER
from relay.spool.feed import ADOPT, FROM_ELSEWHERE
from relay.spool.inquiry import QueueFilter
from relay.spool.life import UNBOUNDED, Pulse, Terms, Wanted
from relay.spool.orders import Order, RequestReceipt, Verb
from relay.spool.portable import PATIENCE_SECONDS, PortableSpool, count_settled
from relay.spool.postgres_accepting import accept_all
from relay.spool.postgres_bodies import add, begin, remove_orphan
from relay.spool.postgres_claiming import NEXT_DUE, claim
from relay.spool.postgres_control import ask, finish, undo
from relay.spool.postgres_effects import Effects
from relay.spool.postgres_lives import CHANNEL, ENDED, end, register, say_alive
from relay.spool.postgres_settling import SettleRequest, settle_all
from relay.spool.work import Incarnation, NewMessage, Parcel, Receipt, Settlement

MIGRATIONS: Final = Path(__file__).parent / "sql" / "postgres"

_SETTLEMENT_WEIGHT: Final = 1000
"""Octets a settlement counts for, about."""

_PIECES: Final = 3
"""Pieces of large bodies written at once: the other connections are for accepts and settlements."""

_FORGET: Final = """
WITH old AS MATERIALIZED (
  SELECT seq FROM message WHERE final_at < $1 AND forgotten = 0 ORDER BY final_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM content USING old WHERE content.message = old.seq
)
UPDATE message SET forgotten = 1 FROM old WHERE message.seq = old.seq
"""

Request = NewMessage | SettleRequest
_Answer = Receipt | list[bool]
_T = TypeVar("_T")


class PostgresSpool(PortableSpool):
    """Implements `relay.spool.contract.Spool`; the database is shared with other services and closed by us."""

    def __init__(self, database: PostgresDatabase, clock: Clock) -> None:
        super().__init__(database, clock)
        self._database = database
        self._group: CommitGroup[Request, _Answer] = CommitGroup(self._commit)
        self._pieces = asyncio.Semaphore(_PIECES)
        self._wakeups = Wakeups(database.connector, CHANNEL)

    async def migrate(self) -> list[str]:
        """Bring the schema up to this program's; the migrations applied."""
        applied = await self._database.migrate("spool", MIGRATIONS)
        if await self._database.fetch(FROM_ELSEWHERE):
            await self._database.transact(lambda transaction: transaction.execute(ADOPT), LONG_SECONDS)
        return applied

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when any node may have left due work waiting."""
        self._wakeups.listen("", wake)

    async def _commit(self, requests: Sequence[Request]) -> Sequence[_Answer | Exception]:
        """Everything that came together, in one transaction."""

        async def work(transaction: Transaction) -> list[_Answer | Exception]:
            effects = Effects(self._now())
            settles = [one for one in requests if isinstance(one, SettleRequest)]
            settled = await settle_all(transaction, settles, effects)
            messages = [one for one in requests if not isinstance(one, SettleRequest)]
            accepted = iter(await accept_all(transaction, [*messages, *settled.notices], effects))
            await effects.write(transaction)
            applied = iter(settled.applied)
            return [next(applied) if isinstance(one, SettleRequest) else next(accepted) for one in requests]

        steps = ["settle" if isinstance(one, SettleRequest) else "accept" for one in requests]
        return await self._step(steps, work)

    async def _step(self, names: Sequence[str], work: Callable[[Transaction], Awaitable[_T]]) -> _T:
        """Durable steps in one transaction, with their crash points: before, at its end, after its commit."""
        _reach(names, "begun")

        async def written(transaction: Transaction) -> _T:
            result = await work(transaction)
            _reach(names, "written")
            return result

        result = await self._database.transact(written)
        _reach(names, "committed")
        return result

    def on_ended(self, ended: Callable[[], None]) -> None:
        """Have `ended` called when any life was ended by another."""
        self._wakeups.listen(ENDED, ended)

    async def register(self, node: str, worker: int, terms: Terms = Terms()) -> Incarnation:  # noqa: B008 - a value
        return await self._step(
            ["register"], lambda transaction: register(transaction, node, worker, terms, self._now())
        )

    async def heartbeat(self, incarnation: Incarnation) -> Pulse:
        return await self._database.transact(
            lambda transaction: say_alive(transaction, incarnation, self._silence, self._now())
        )

    async def retire(self, incarnation: Incarnation) -> None:
        await self._database.transact(lambda transaction: end(transaction, incarnation, self._now(), None))
        self._wakeups.announce()

    async def accept(self, message: NewMessage) -> Receipt:
        await self._database.room.check()
        receipt = cast("Receipt", await self._group.run(message, len(message.content), PATIENCE_SECONDS))
        if not receipt.duplicate and message.due <= message.accepted_at and _waits(message, receipt):
            self._wakeups.announce()
        return receipt

    async def accept_together(self, messages: Sequence[NewMessage]) -> list[Receipt]:
        async def work(transaction: Transaction) -> list[Receipt]:
            effects = Effects(self._now())
            receipts: list[Receipt] = []
            for answer in await accept_all(transaction, messages, effects):
                if isinstance(answer, Exception):
                    raise answer
                receipts.append(answer)
            await effects.write(transaction)
            return receipts

        receipts = await self._step(["accept"], work)
        self._wakeups.announce()
        return receipts

    async def store_piece(self, owner: Incarnation, seq: int | None, piece: int, data: bytes) -> int:
        async def work(transaction: Transaction) -> int:
            number = await begin(transaction, owner) if seq is None else seq
            await add(transaction, number, piece, data)
            return number

        await self._database.room.check()
        async with self._pieces:
            return await self._step(["piece"], work)

    async def remove_orphan(self, limit: int) -> bool:
        if not await self._database.fetch(OVER):
            return False
        return await self._database.transact(lambda transaction: remove_orphan(transaction, limit))

    async def claim(
        self,
        incarnation: Incarnation,
        limit: int,
        skip: frozenset[str] = frozenset(),
        most: Mapping[str, int] = UNBOUNDED,
    ) -> list[Parcel]:
        wanted = Wanted(limit, skip, most)
        return await self._step(["claim"], lambda transaction: claim(transaction, incarnation, wanted, self._now()))

    async def next_due(self) -> datetime | None:
        due = (await self._database.fetch(NEXT_DUE))[0][0]
        return None if due is None else from_millis(due)

    async def leased(self, incarnation: Incarnation) -> list[tuple[int, int, datetime]]:
        rows = await self._database.fetch(
            "SELECT message, n, due FROM delivery WHERE state = 2 AND lease = $1", incarnation
        )
        return [(seq, n, from_millis(due)) for seq, n, due in rows]

    async def content(self, seq: int) -> bytes:
        async def work(transaction: Transaction) -> bytes:
            sizes = await transaction.fetch("SELECT size FROM message WHERE seq = $1", seq)
            pieces = await transaction.fetch("SELECT data FROM content WHERE message = $1 ORDER BY piece", seq)
            content = pieces[0][0] if len(pieces) == 1 else b"".join(piece for (piece,) in pieces)
            if not sizes or sizes[0][0] != len(content):
                raise KeyError(seq)
            return cast("bytes", content)

        return await self._database.look(work)

    async def note_begun(self, seq: int, numbers: Sequence[int]) -> None:
        sql = "UPDATE delivery SET begun = 1 WHERE message = $1 AND n = ANY($2::int[]) AND state = 2"
        await self._changed(sql, seq, list(numbers))

    async def set_prelude(self, seq: int, prelude: bytes) -> bytes:
        async def work(transaction: Transaction) -> bytes:
            rows = await transaction.fetch(
                "UPDATE message SET prelude = coalesce(prelude, $2) WHERE seq = $1 RETURNING prelude", seq, prelude
            )
            return cast("bytes", rows[0][0]) if rows else prelude

        return await self._step(["prelude"], work)

    async def settle(self, incarnation: Incarnation, settlements: Sequence[Settlement]) -> int:
        request = SettleRequest(incarnation, tuple(settlements))
        weight = sum(
            _SETTLEMENT_WEIGHT if one.notice is None else len(one.notice.content) for one in request.settlements
        )
        applied = cast("list[bool]", await self._group.run(request, weight))
        return count_settled(settlements, applied)

    async def ask(self, verb: Verb, where: QueueFilter, reason: str, window: timedelta) -> RequestReceipt:
        milliseconds = window // timedelta(milliseconds=1)

        async def work(transaction: Transaction) -> RequestReceipt:
            return await ask(transaction, Order(verb, reason, self._now(), milliseconds), where)

        receipt = await self._database.transact(work, LONG_SECONDS)
        self._wakeups.announce()
        return receipt

    async def undo(self, request: int) -> int:
        undone = await self._database.transact(
            lambda transaction: undo(transaction, request, self._now()), LONG_SECONDS
        )
        self._wakeups.announce()
        return undone

    async def finish_requests(self) -> int:
        now = self._now()
        if not await self._database.fetch("SELECT 1 FROM request WHERE final_at <= $1 LIMIT 1", now):
            return 0
        return await self._database.transact(lambda transaction: finish(transaction, now), LONG_SECONDS)

    async def resume(self, suspension: int) -> bool:
        sql = "UPDATE suspension SET until = $2 WHERE id = $1 AND until > $2"
        ended = await self._changed(sql, suspension, self._now())
        self._wakeups.announce()
        return ended == 1

    async def note_site(self, tenant: int, domain: str, site: str) -> None:
        sql = "UPDATE lane SET site = $3 WHERE tenant = $1 AND domain = $2 AND site IS DISTINCT FROM $3"
        await self._changed(sql, tenant, domain, site)

    async def raise_alarm(self, kind: str, subject: str, detail: str) -> bool:
        sql = "INSERT INTO alarm (kind, subject, since, detail) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
        return await self._changed(sql, kind, subject, self._now(), detail) == 1

    async def clear_alarm(self, kind: str, subject: str) -> bool:
        return await self._changed("DELETE FROM alarm WHERE kind = $1 AND subject = $2", kind, subject) == 1

    async def forget(self, before: datetime, limit: int) -> int:
        async def work(transaction: Transaction) -> int:
            now = self._now()
            await transaction.execute("UPDATE idempotency SET at = $1 WHERE at > $2", now, now + KEYS_AHEAD_MILLIS)
            await transaction.execute("DELETE FROM idempotency WHERE at < $1", now - IDEMPOTENCY_MILLIS)
            return await transaction.execute(_FORGET, to_millis(before), limit)

        return await self._database.transact(work)

    async def ping(self) -> None:
        await self._database.check_writable()

    async def close(self) -> None:
        await self._group.close()
        await self._wakeups.close()
        await self._database.close()

    async def _changed(self, sql: str, *values: object) -> int:
        """One statement in a transaction of its own; the number of rows it changed."""
        return await self._database.transact(lambda transaction: transaction.execute(sql, *values))


def _reach(names: Sequence[str], edge: str) -> None:
    for name in names:
        reach(f"{name}-{edge}")


def _waits(message: NewMessage, receipt: Receipt) -> bool:
    """Whether any delivery of a new message waits for a claim."""
    recipients = range(len(message.envelope.recipients))
    return any(message.initial.get(n, State.WAITING) is State.WAITING and n not in receipt.leased for n in recipients)
