"""The spool on SQLite: every method is one unit of work in a group commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from relay.clock import Clock, from_millis, to_millis
from relay.crash_points import reach
from relay.database.contract import Connection
from relay.database.sqlite import SqliteDatabase
from relay.database.statements import rows_of
from relay.errors import SpoolFullError, SpoolUnavailableError
from relay.policy.quarantine import Death
from relay.spool.accepting import IDEMPOTENCY_MILLIS, KEYS_AHEAD_MILLIS, accept
from relay.spool.bodies import OVER, add, begin, remove_orphan
from relay.spool.claiming import claim, tenants_waiting
from relay.spool.control import ask, finish, undo
from relay.spool.inquiry import QueueFilter
from relay.spool.life import UNBOUNDED, Pulse, Terms, Wanted
from relay.spool.orders import Order, RequestReceipt, Verb
from relay.spool.portable import PATIENCE_SECONDS, SUCCESSOR, PortableSpool, count_settled, ended_pulse
from relay.spool.quarantine import void_leases
from relay.spool.settling import settle
from relay.spool.silence import Beat
from relay.spool.work import Incarnation, NewMessage, Parcel, Receipt, Settlement

_T = TypeVar("_T")

MIGRATIONS: Final = Path(__file__).parent / "sql" / "sqlite"

_FREE_SPACE_SECONDS: Final = 0.5


class SqliteSpool(PortableSpool):
    """Implements `relay.spool.contract.Spool`; the database is shared with other services and closed by us."""

    def __init__(self, database: SqliteDatabase, clock: Clock, minimum_free: int = 0) -> None:
        super().__init__(database, clock)
        self._database = database
        self._minimum_free = minimum_free
        self._room_checked = float("-inf")

    async def migrate(self) -> list[str]:
        """Bring the schema up to this program's; the migrations applied."""
        return await self._database.migrate("spool", MIGRATIONS)

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Other processes on the file are not heard of: their work is found by looking."""

    def on_ended(self, ended: Callable[[], None]) -> None:
        """Nor of these: the next heartbeat tells."""

    async def register(self, node: str, worker: int, terms: Terms = Terms()) -> Incarnation:  # noqa: B008 - a value
        def work(connection: Connection) -> Incarnation:
            now = self._now()
            for (old,) in list(
                connection.execute(
                    "SELECT id FROM incarnation WHERE node = ? AND worker = ? AND ended IS NULL", (node, worker)
                )
            ):
                _end(connection, old, now, terms.fell)
            connection.execute(
                "INSERT INTO incarnation (node, worker, started, heartbeat, lease, place) VALUES (?, ?, ?, ?, ?, ?)",
                (node, worker, now, now, terms.lease // timedelta(milliseconds=1), terms.place),
            )
            return Incarnation(connection.last_insert_rowid())

        return await self._step("register", work)

    async def heartbeat(self, incarnation: Incarnation) -> Pulse:
        def work(connection: Connection) -> Pulse:
            now = self._now()
            connection.execute(
                "UPDATE incarnation SET heartbeat = ? WHERE id = ? AND ended IS NULL", (now, incarnation)
            )
            if connection.changes() == 0:
                return ended_pulse(list(connection.execute(f"{SUCCESSOR}?", (incarnation,))))
            rows = connection.execute("SELECT id, heartbeat, lease FROM incarnation WHERE ended IS NULL")
            judgement = self._silence.look([Beat(*row) for row in rows], now)
            for old in judgement.vanished:
                _end(connection, old, now, Death.KILLED)
            return Pulse(look_in=judgement.look_in)

        return await self._database.write(work)

    async def retire(self, incarnation: Incarnation) -> None:
        await self._database.write(lambda connection: _end(connection, incarnation, self._now(), None))

    async def accept(self, message: NewMessage) -> Receipt:
        self._check_room()
        return await self._step("accept", lambda connection: accept(connection, message), PATIENCE_SECONDS)

    async def accept_together(self, messages: Sequence[NewMessage]) -> list[Receipt]:
        self._check_room()
        return await self._step(
            "accept", lambda connection: [accept(connection, message) for message in messages], PATIENCE_SECONDS
        )

    async def store_piece(self, owner: Incarnation, seq: int | None, piece: int, data: bytes) -> int:
        def work(connection: Connection) -> int:
            number = begin(connection, owner) if seq is None else seq
            add(connection, number, piece, data)
            return number

        self._check_room()
        return await self._step("piece", work, PATIENCE_SECONDS)

    async def remove_orphan(self, limit: int) -> bool:
        if not await rows_of(self._database, OVER):
            return False
        return await self._database.write(lambda connection: remove_orphan(connection, limit))

    async def claim(
        self,
        incarnation: Incarnation,
        limit: int,
        skip: frozenset[str] = frozenset(),
        most: Mapping[str, int] = UNBOUNDED,
    ) -> list[Parcel]:
        wanted = Wanted(limit, skip, most)
        return await self._step("claim", lambda connection: claim(connection, incarnation, wanted, self._now()))

    async def next_due(self) -> datetime | None:
        due = await self._database.read(
            lambda connection: min((due for _, due in tenants_waiting(connection)), default=None)
        )
        return None if due is None else from_millis(due)

    async def leased(self, incarnation: Incarnation) -> list[tuple[int, int, datetime]]:
        rows = await rows_of(
            self._database,
            "SELECT message, n, due FROM delivery INDEXED BY delivery_leased WHERE state = 2 AND lease = ?",
            (incarnation,),
        )
        return [(seq, n, from_millis(due)) for seq, n, due in rows]

    async def content(self, seq: int) -> bytes:
        def work(connection: Connection) -> bytes:
            size = next((row[0] for row in connection.execute("SELECT size FROM message WHERE seq = ?", (seq,))), None)
            content = b"".join(
                row[0]
                for row in connection.execute("SELECT data FROM content WHERE message = ? ORDER BY piece", (seq,))
            )
            if size is None or size != len(content):
                raise KeyError(seq)
            return content

        return await self._database.read(work)

    async def note_begun(self, seq: int, numbers: Sequence[int]) -> None:
        await self._database.write(
            lambda connection: connection.executemany(
                "UPDATE delivery SET begun = 1 WHERE message = ? AND n = ? AND state = 2", [(seq, n) for n in numbers]
            )
        )

    async def set_prelude(self, seq: int, prelude: bytes) -> bytes:
        def work(connection: Connection) -> bytes:
            connection.execute("UPDATE message SET prelude = ? WHERE seq = ? AND prelude IS NULL", (prelude, seq))
            return next(
                (row[0] for row in connection.execute("SELECT prelude FROM message WHERE seq = ?", (seq,))), prelude
            )

        return await self._step("prelude", work)

    async def settle(self, incarnation: Incarnation, settlements: Sequence[Settlement]) -> int:
        def work(connection: Connection) -> list[bool]:
            now = self._now()
            return [settle(connection, incarnation, settlement, now) for settlement in settlements]

        applied = await self._step("settle", work)
        return count_settled(settlements, applied)

    async def ask(self, verb: Verb, where: QueueFilter, reason: str, window: timedelta) -> RequestReceipt:
        milliseconds = window // timedelta(milliseconds=1)
        return await self._database.write(
            lambda connection: ask(connection, Order(verb, reason, self._now(), milliseconds), where)
        )

    async def undo(self, request: int) -> int:
        return await self._database.write(lambda connection: undo(connection, request, self._now()))

    async def finish_requests(self) -> int:
        now = self._now()
        pending = await rows_of(self._database, "SELECT 1 FROM request WHERE final_at <= ? LIMIT 1", (now,))
        if not pending:
            return 0
        return await self._database.write(lambda connection: finish(connection, now))

    async def resume(self, suspension: int) -> bool:
        def work(connection: Connection) -> bool:
            now = self._now()
            connection.execute("UPDATE suspension SET until = ? WHERE id = ? AND until > ?", (now, suspension, now))
            return connection.changes() == 1

        return await self._database.write(work)

    async def note_site(self, tenant: int, domain: str, site: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                "UPDATE lane SET site = ? WHERE tenant = ? AND domain = ? AND site IS NOT ?",
                (site, tenant, domain, site),
            )

        await self._database.write(work)

    async def raise_alarm(self, kind: str, subject: str, detail: str) -> bool:
        def work(connection: Connection) -> bool:
            connection.execute(
                "INSERT INTO alarm (kind, subject, since, detail) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (kind, subject, self._now(), detail),
            )
            return connection.changes() == 1

        return await self._database.write(work)

    async def clear_alarm(self, kind: str, subject: str) -> bool:
        def work(connection: Connection) -> bool:
            connection.execute("DELETE FROM alarm WHERE kind = ? AND subject = ?", (kind, subject))
            return connection.changes() == 1

        return await self._database.write(work)

    async def forget(self, before: datetime, limit: int) -> int:
        def work(connection: Connection) -> int:
            seqs = list(
                connection.execute(
                    "SELECT seq FROM message WHERE final_at < ? AND forgotten = 0 ORDER BY final_at LIMIT ?",
                    (to_millis(before), limit),
                )
            )
            connection.executemany("DELETE FROM content WHERE message = ?", seqs)
            connection.executemany("UPDATE message SET forgotten = 1 WHERE seq = ?", seqs)
            now = self._now()
            connection.execute("UPDATE idempotency SET at = ? WHERE at > ?", (now, now + KEYS_AHEAD_MILLIS))
            connection.execute("DELETE FROM idempotency WHERE at < ?", (now - IDEMPOTENCY_MILLIS,))
            return len(seqs)

        return await self._database.write(work)

    async def ping(self) -> None:
        self._room_checked = float("-inf")
        self._check_room()
        # A probe must not cost an fsync: the heartbeat commits every ten seconds, and what it met is told here.
        if (failure := self._database.failure) is not None:
            raise failure
        await self._database.read(lambda connection: next(iter(connection.execute("SELECT 1"))))

    async def close(self) -> None:
        await self._database.close()

    async def _step(self, name: str, work: Callable[[Connection], _T], patience: float | None = None) -> _T:
        """A durable step, with its crash points: before it, at the end of its transaction, after its commit."""
        reach(f"{name}-begun")

        def written(connection: Connection) -> _T:
            result = work(connection)
            reach(f"{name}-written")
            return result

        result = await self._database.write(written, patience)
        reach(f"{name}-committed")
        return result

    def _check_room(self) -> None:
        """Refuse before the disk is full, for deliveries need room to settle (S32), and on damaged pages (R07)."""
        if self._database.damage:
            raise SpoolUnavailableError(self._database.damage)
        now = self._clock.monotonic()
        if now - self._room_checked < _FREE_SPACE_SECONDS:
            return
        free = self._database.free_bytes()
        if free < self._minimum_free:
            raise SpoolFullError(f"only {free} bytes are free on the spool's disk; {self._minimum_free} are kept")
        self._room_checked = now


def _end(connection: Connection, incarnation: int, now: int, death: Death | None) -> None:
    connection.execute("UPDATE incarnation SET ended = ? WHERE id = ? AND ended IS NULL", (now, incarnation))
    void_leases(connection, incarnation, now, death)
