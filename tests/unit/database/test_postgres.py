"""The parts of the PostgreSQL database: URLs, the server's judgement, the bridge, migrations of many at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.database.contract import Connection
from relay.database.postgres import PostgresDatabase, Transaction
from relay.database.postgres_bridge import numbered
from relay.database.postgres_durability import find_refusals, find_warnings
from relay.database.postgres_url import hosts_of
from relay.errors import ConfigurationError, SchemaError, SpoolUnavailableError
from tests.support.postgres_server import PostgresServer

SOUND = {
    "server_version_num": "180006",
    "server_version": "18.6",
    "server_encoding": "UTF8",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
}


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[PostgresDatabase]:
    database = await PostgresDatabase.open(await postgres_server.create())
    await database.transact(lambda transaction: transaction.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT)"))
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@a/db", [("a", 5432)]),
        ("postgresql://u@a:1,b:2/db?sslmode=require", [("a", 1), ("b", 2)]),
        ("postgresql://a,b/db", [("a", 5432), ("b", 5432)]),
        ("postgresql://u@[::1]:77,[2001:db8::1]/db", [("::1", 77), ("2001:db8::1", 5432)]),
        ("postgresql:///db?host=/run/postgresql", [None]),
    ],
)
def test_hosts_of_a_url(url: str, hosts: list[tuple[str, int] | None]) -> None:
    assert hosts_of(url, {}) == hosts


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://a:x/db", "'a:x' is no host"),
        ("postgresql://a:99999/db", "'a:99999' is no host"),
        ("postgresql://u@:5432/db", "':5432' is no host"),
        ("postgresql://", "names no host"),
        ("postgresql:///db", "names no host"),
        ("postgresql://u@/db", "names no host"),
        ("postgresql://[::1/db", "Invalid IPv6 URL; write"),
    ],
)
def test_a_url_without_a_host_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        hosts_of(url, {})


def test_the_environment_may_name_the_host() -> None:
    assert hosts_of("postgresql:///db", {"PGHOST": "/run/postgresql"}) == [None]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ? + ?", "SELECT $1 + $2"),
        ("SELECT '?', 'it''s ?', \"?\", ? -- ?\n, ?", "SELECT '?', 'it''s ?', \"?\", $1 -- ?\n, $2"),
    ],
)
def test_placeholders(sql: str, expected: str) -> None:
    assert numbered(sql) == expected


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fsync", "off", "fsync"),
        ("synchronous_commit", "off", "before it is on disk"),
        ("server_version_num", "130012", "too old"),
        ("server_encoding", "SQL_ASCII", "UTF8"),
    ],
)
def test_what_is_refused(name: str, value: str, words: str) -> None:
    assert not list(find_refusals(SOUND))
    (refusal,) = find_refusals({**SOUND, name: value})
    assert words in refusal


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"full_page_writes": "off"}, "power cut"),
        ({"synchronous_commit": "local", "synchronous_standby_names": "b"}, "fail-over"),
        ({"synchronous_commit": "remote_write", "synchronous_standby_names": "b"}, "not on disk"),
    ],
)
def test_what_is_warned_of(settings: dict[str, str], words: str) -> None:
    assert not list(find_warnings({**SOUND, "synchronous_commit": "local"}))
    (warning,) = find_warnings({**SOUND, **settings})
    assert words in warning


async def test_units_written_for_sqlite_run_over_the_bridge(database: PostgresDatabase) -> None:
    def work(connection: Connection) -> tuple[int, int, list[tuple[object, ...]]]:
        connection.executemany("INSERT INTO t (id, x) VALUES (?, ?)", [(n, f"x{n}") for n in range(5)])
        inserted = connection.changes()
        connection.execute("DELETE FROM t WHERE id > ?", (2,))
        deleted = connection.changes()
        rows = list(connection.execute("UPDATE t SET x = ? WHERE id < ? RETURNING id", ("y", 2)))
        return inserted, deleted, sorted(tuple(row) for row in rows)

    assert await database.write(work) == (5, 2, [(0,), (1,)])
    assert await database.read(lambda connection: next(connection.execute("SELECT count(*) FROM t"))[0]) == 3


async def test_a_unit_that_fails_is_undone(database: PostgresDatabase) -> None:
    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO t (id) VALUES (1)")
        raise LookupError("no")

    with pytest.raises(LookupError):
        await database.write(work)
    assert await database.fetch("SELECT * FROM t") == []


async def test_a_unit_whose_waiter_is_gone_ends_before_its_transaction(database: PostgresDatabase) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO t (id) VALUES (1)")
        begun.set()
        go_on.wait(10)
        try:
            connection.execute("INSERT INTO t (id) VALUES (2)")
        except SpoolUnavailableError:
            ended.set()
            raise

    writing = asyncio.create_task(database.write(work))
    await asyncio.to_thread(begun.wait, 10)
    writing.cancel()
    await asyncio.sleep(0.02)
    go_on.set()
    await asyncio.gather(writing, return_exceptions=True)
    assert ended.is_set()
    assert await database.fetch("SELECT * FROM t") == []
    assert await database.write(lambda connection: connection.changes()) == 0


async def test_a_transaction_that_loses_a_race_is_run_again(database: PostgresDatabase) -> None:
    await database.transact(lambda transaction: transaction.execute("INSERT INTO t (id) VALUES (1), (2)"))
    met = asyncio.Barrier(2)

    async def cross(transaction: Transaction, first: int, second: int) -> None:
        await transaction.execute("UPDATE t SET x = 'x' WHERE id = $1", first)
        if met.n_waiting < 2 and not met.broken:
            with contextlib.suppress(TimeoutError, asyncio.BrokenBarrierError):
                await asyncio.wait_for(met.wait(), 1)
        await transaction.execute("UPDATE t SET x = 'x' WHERE id = $1", second)

    await asyncio.gather(
        database.transact(lambda transaction: cross(transaction, 1, 2)),
        database.transact(lambda transaction: cross(transaction, 2, 1)),
    )


async def test_many_nodes_may_migrate_at_once(postgres_server: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (x INTEGER); -- one\nCREATE INDEX a_x ON a (x);\n")
    url = await postgres_server.create()
    databases = await asyncio.gather(*(PostgresDatabase.open(url) for _ in range(4)))
    applied = await asyncio.gather(*(database.migrate("part", tmp_path) for database in databases))
    assert sorted(map(len, applied)) == [0, 0, 0, 1]
    (tmp_path / "0002_b.sql").write_text("CREATE NONSENSE;\n")
    with pytest.raises(SchemaError, match="a migration failed"):
        await databases[0].migrate("part", tmp_path)
    for database in databases:
        await database.close()


async def test_a_user_who_may_not_is_a_configuration_error(postgres_server: PostgresServer) -> None:
    with pytest.raises(ConfigurationError, match="nobody"):
        await PostgresDatabase.open(postgres_server.url().replace("leak@", "nobody@"))
    with pytest.raises(ConfigurationError, match="missing"):
        await PostgresDatabase.open(postgres_server.url("missing"))
    with pytest.raises(SpoolUnavailableError, match=r"127\.0\.0\.1:1:"):
        await PostgresDatabase.open("postgresql://leak@127.0.0.1:1/x")
