"""The webhooks in the database: made, shown and removed for people, taken and advanced by the outbox.

Whoever tells a webhook holds it by the incarnation of his worker, so that one worker of all nodes does. What a round
changed is written at once, and only if nobody asked for something else meanwhile: a replay is never overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.event import EventKind
from relay.event.feed import Position, parse_cursor
from relay.ids import Entropy
from relay.notify.signatures import make_secret
from relay.notify.webhook import Form, NewWebhook, Parked, Post, Round, Webhook

MIGRATIONS: Final = Path(__file__).parent / "sql" / "sqlite"
"""Those of the other dialects stand beside them."""

KEPT_POSTS: Final = 1000
"""Posts a webhook's log keeps."""

TWO_SECRETS: Final = timedelta(days=1)
"""How long after a rotation the secret before it signs too."""

_COLUMNS: Final = (
    "w.id, w.tenant, w.url, w.form, w.kinds, w.description, w.salt, w.generation, w.rotated, w.created, w.position,"
    " w.version, w.holder, w.failures, w.failing_since, w.next_at, w.taken_at, w.disabled_at, w.disabled_why,"
    " (SELECT count(*) FROM webhook_parked p WHERE p.webhook = w.id),"
    " (SELECT min(p.next_at) FROM webhook_parked p WHERE p.webhook = w.id)"
)
_FREE: Final = "(holder IS NULL OR holder NOT IN (SELECT id FROM incarnation WHERE ended IS NULL))"


async def migrate_webhooks(database: Database) -> None:
    """Make or update the tables. Raises SchemaError, SpoolUnavailableError."""
    await database.migrate("notify", MIGRATIONS.with_name(database.dialect))


class WebhookBook:
    """The webhooks of all tenants. `node_key` is the secret that theirs are derived from."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy, node_key: bytes) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._key = node_key

    def secret(self, webhook: Webhook) -> str:
        """The secret that signs now."""
        return make_secret(self._key, webhook.form, webhook.salt, webhook.generation)

    def secrets(self, webhook: Webhook) -> tuple[str, ...]:
        """Every secret that signs now, the newest first: two for a day after a rotation."""
        newest = self.secret(webhook)
        if webhook.rotated is None or self._clock.now() - webhook.rotated >= TWO_SECRETS:
            return (newest,)
        return newest, make_secret(self._key, webhook.form, webhook.salt, webhook.generation - 1)

    async def add(self, new: NewWebhook, most: int) -> Webhook | None:
        """Make one; None when its tenant has `most` already."""
        now, salt = self._now(), self._entropy.bytes(16).hex()
        kinds = ",".join(kind.label for kind in sorted(new.kinds))

        def work(connection: Connection) -> Webhook | None:
            count = next(iter(connection.execute("SELECT count(*) FROM webhook WHERE tenant = ?", (new.tenant,))))[0]
            if count >= most:
                return None
            connection.execute(
                "INSERT INTO webhook (tenant, url, form, kinds, description, salt, generation, created, position,"
                " version, failures, next_at, disabled_why) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, 1, 0, 0, '')",
                (new.tenant, new.url, new.form.value, kinds, new.description, salt, now, str(new.position)),
            )
            return _one(connection, connection.last_insert_rowid(), new.tenant)

        return await self._database.write(work)

    async def webhooks(self, tenant: int | None = None) -> list[Webhook]:
        """A tenant's webhooks, or all."""
        return await self._database.read(lambda connection: _all(connection, tenant))

    async def get(self, webhook: int, tenant: int) -> Webhook | None:
        """One, None if unknown or another tenant's."""
        return await self._database.read(lambda connection: _one(connection, webhook, tenant))

    async def remove(self, webhook: int, tenant: int) -> bool:
        """Remove one with its log; False if there is none."""

        def work(connection: Connection) -> bool:
            connection.execute("DELETE FROM webhook WHERE id = ? AND tenant = ?", (webhook, tenant))
            if connection.changes() == 0:
                return False
            connection.execute("DELETE FROM webhook_parked WHERE webhook = ?", (webhook,))
            connection.execute("DELETE FROM webhook_post WHERE webhook = ?", (webhook,))
            return True

        return await self._database.write(work)

    async def rotate(self, webhook: int, tenant: int) -> Webhook | None:
        """Give it a new secret."""
        change = "generation = generation + 1, rotated = ?"
        return await self._change(webhook, tenant, change, (self._now(),))

    async def change(
        self, webhook: int, tenant: int, url: str, kinds: frozenset[EventKind], description: str
    ) -> Webhook | None:
        """Post elsewhere, or something else; it goes on from where it was."""
        labels = ",".join(kind.label for kind in sorted(kinds))
        return await self._change(webhook, tenant, "url = ?, kinds = ?, description = ?", (url, labels, description))

    async def enable(self, webhook: int, tenant: int) -> Webhook | None:
        """Tell it again, from where it was."""
        change = "disabled_at = NULL, disabled_why = '', failures = 0, failing_since = NULL, next_at = 0"
        parked = "UPDATE webhook_parked SET since = ?, next_at = 0, attempts = 0 WHERE webhook = ?"
        return await self._change(webhook, tenant, change, (), [(parked, (self._now(), webhook))])

    async def disable(self, webhook: int, tenant: int, why: str) -> Webhook | None:
        """Tell it nothing until it is enabled; it keeps its place."""
        change = "disabled_at = COALESCE(disabled_at, ?), disabled_why = ?"
        return await self._change(webhook, tenant, change, (self._now(), why))

    async def replay(self, webhook: int, tenant: int, after: Position) -> Webhook | None:
        """Tell everything after a position again."""
        drop = "DELETE FROM webhook_parked WHERE webhook = ?"
        return await self._change(webhook, tenant, "position = ?, next_at = 0", (str(after),), [(drop, (webhook,))])

    async def again(self, webhook: int, tenant: int, events: Sequence[tuple[int, str]]) -> Webhook | None:
        """Tell single events again, each given by its number and message."""
        sql = (
            "INSERT INTO webhook_parked (webhook, seq, message, attempts, since, next_at) VALUES (?, ?, ?, 0, ?, 0)"
            " ON CONFLICT (webhook, seq) DO UPDATE SET attempts = 0, since = excluded.since, next_at = 0"
        )
        rows = [(sql, (webhook, seq, message, self._now())) for seq, message in events]
        return await self._change(webhook, tenant, "next_at = 0", (), rows)

    async def _change(
        self,
        webhook: int,
        tenant: int,
        change: str,
        values: Sequence[Any],
        more: Sequence[tuple[str, Sequence[Any]]] = (),
    ) -> Webhook | None:
        def work(connection: Connection) -> Webhook | None:
            sql = f"UPDATE webhook SET {change}, version = version + 1 WHERE id = ? AND tenant = ?"  # noqa: S608
            connection.execute(sql, (*values, webhook, tenant))
            if connection.changes() == 0:
                return None
            for statement, bindings in more:
                connection.execute(statement, bindings)
            return _one(connection, webhook, tenant)

        return await self._database.write(work)

    async def posts(self, webhook: int, limit: int) -> list[Post]:
        """The latest posts, the newest first."""
        columns = "at, seq, attempt, status, millis, error"
        sql = f"SELECT {columns} FROM webhook_post WHERE webhook = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
        rows = await rows_of(self._database, sql, (webhook, limit))
        return [Post(from_millis(at), *rest) for at, *rest in rows]

    async def take(self, incarnation: int) -> None:
        """Hold every enabled webhook that no living worker holds."""
        sql = f"UPDATE webhook SET holder = ? WHERE disabled_at IS NULL AND {_FREE}"  # noqa: S608
        await self._database.write(lambda connection: connection.execute(sql, (incarnation,)))

    async def is_free(self) -> bool:
        """Whether `take` would find one."""
        sql = f"SELECT 1 FROM webhook WHERE disabled_at IS NULL AND {_FREE} LIMIT 1"  # noqa: S608
        return bool(await rows_of(self._database, sql))

    async def parked(self, webhook: int) -> list[Parked]:
        """What is parked, in order."""
        sql = "SELECT seq, message, attempts, since, next_at FROM webhook_parked WHERE webhook = ? ORDER BY seq"
        rows = await rows_of(self._database, sql, (webhook,))
        return [
            Parked(seq, message, attempts, from_millis(since), from_millis(next_at))
            for seq, message, attempts, since, next_at in rows
        ]

    async def record(self, webhook: Webhook, incarnation: int, result: Round) -> bool:
        """Write a round; False, and nothing written, if the webhook was changed or is held by another."""
        disabled_at = self._now() if result.disabled_why else None

        def work(connection: Connection) -> bool:
            connection.execute(
                "UPDATE webhook SET position = ?, failures = ?, failing_since = ?, next_at = ?, taken_at = ?,"
                " disabled_at = ?, disabled_why = ? WHERE id = ? AND version = ? AND holder = ?",
                (
                    str(result.position),
                    result.failures,
                    _millis(result.failing_since),
                    to_millis(result.next_at),
                    _millis(result.taken_at),
                    disabled_at,
                    result.disabled_why,
                    webhook.id,
                    webhook.version,
                    incarnation,
                ),
            )
            if connection.changes() == 0:
                return False
            _write_parked(connection, webhook.id, result)
            _write_posts(connection, webhook.id, result.posts)
            return True

        return await self._database.write(work)

    def _now(self) -> int:
        return to_millis(self._clock.now())


def _write_parked(connection: Connection, webhook: int, result: Round) -> None:
    connection.executemany(
        "DELETE FROM webhook_parked WHERE webhook = ? AND seq = ?", [(webhook, seq) for seq in result.unpark]
    )
    connection.executemany(
        "INSERT INTO webhook_parked (webhook, seq, message, attempts, since, next_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (webhook, seq) DO UPDATE SET attempts = excluded.attempts, next_at = excluded.next_at",
        [
            (webhook, one.seq, one.message, one.attempts, to_millis(one.since), to_millis(one.next_at))
            for one in result.park
        ],
    )


def _write_posts(connection: Connection, webhook: int, posts: Sequence[Post]) -> None:
    if not posts:
        return
    connection.executemany(
        "INSERT INTO webhook_post (webhook, at, seq, attempt, status, millis, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(webhook, to_millis(one.at), one.seq, one.attempt, one.status, one.millis, one.error) for one in posts],
    )
    connection.execute(
        "DELETE FROM webhook_post WHERE webhook = ? AND id <= (SELECT id FROM webhook_post WHERE webhook = ?"
        " ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (webhook, webhook, KEPT_POSTS),
    )


def _one(connection: Connection, webhook: int, tenant: int) -> Webhook | None:
    sql = f"SELECT {_COLUMNS} FROM webhook w WHERE w.id = ? AND w.tenant = ?"  # noqa: S608 - columns of ours
    return next((_webhook(row) for row in list(connection.execute(sql, (webhook, tenant)))), None)


def _all(connection: Connection, tenant: int | None) -> list[Webhook]:
    condition, values = ("", ()) if tenant is None else ("WHERE w.tenant = ?", (tenant,))
    sql = f"SELECT {_COLUMNS} FROM webhook w {condition} ORDER BY w.id"  # noqa: S608 - a condition of ours
    return [_webhook(row) for row in connection.execute(sql, values)]


def _webhook(row: tuple[Any, ...]) -> Webhook:
    names = {kind.label: kind for kind in EventKind}
    return Webhook(
        id=row[0],
        tenant=row[1],
        url=row[2],
        form=Form(row[3]),
        kinds=frozenset(names[label] for label in row[4].split(",") if label in names),
        description=row[5],
        salt=row[6],
        generation=row[7],
        rotated=_moment(row[8]),
        created=from_millis(row[9]),
        position=parse_cursor(row[10]),
        version=row[11],
        holder=row[12],
        failures=row[13],
        failing_since=_moment(row[14]),
        next_at=from_millis(row[15]),
        taken_at=_moment(row[16]),
        disabled_at=_moment(row[17]),
        disabled_why=row[18],
        parked=row[19],
        parked_due=_moment(row[20]),
    )


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else to_millis(moment)
