"""What lives in the relay's database beside the spool, on every database: accounts and the front's letters."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from relay.account.book import AccountBook
from relay.account.credential import NewUser
from relay.client.contract import Letter
from relay.database.contract import Connection, Database
from relay.database.postgres import PostgresDatabase
from relay.database.sqlite import SqliteDatabase
from relay.ids import SystemEntropy
from tests.support.either_database import BOTH, open_database
from tests.support.hand_clock import HandClock
from tests.support.postgres_server import PostgresServer
from web.letter_table import DatabaseLetterStore
from web.letters import Departure, Left, NewLetter, hash_secret
from web.withheld_table import WithheldTable

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 21, 12, 1, tzinfo=UTC)


@pytest.fixture(params=BOTH)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_database(request, tmp_path)
    yield database
    await database.close()


async def test_the_log_is_cut_while_nobody_reads(database: Database) -> None:
    answered, asked, beside = threading.Event(), asyncio.Event(), database.aside()
    loop = asyncio.get_running_loop()

    def long(connection: Connection) -> list[tuple[int, ...]]:
        found = list(connection.execute("SELECT v FROM t"))
        loop.call_soon_threadsafe(asked.set)
        assert answered.wait(30)
        return found

    await database.write(lambda connection: list(connection.execute("CREATE TABLE t (v INTEGER)")))
    asking = asyncio.create_task(beside.read(long))
    try:
        async with asyncio.timeout(30):
            await asked.wait()
            await database.write(lambda connection: list(connection.execute("INSERT INTO t VALUES (2)")))
            assert await beside.cut_log() is (database.dialect == "postgres"), "a server's log is not ours"
        answered.set()
        assert await asking == []
    finally:
        answered.set()
        await beside.close()
    assert await database.cut_log()
    assert await database.write(lambda connection: list(connection.execute("SELECT v FROM t"))) == [(2,)]


async def test_a_long_question_aside_holds_no_other_up(database: Database) -> None:
    answered, asked, beside = threading.Event(), asyncio.Event(), database.aside()
    loop = asyncio.get_running_loop()

    def long(connection: Connection) -> list[tuple[int, ...]]:
        loop.call_soon_threadsafe(asked.set)
        assert answered.wait(10)
        return list(connection.execute("SELECT 1"))

    asking = asyncio.create_task(beside.read(long))
    try:
        async with asyncio.timeout(10):
            await asked.wait()
            assert await database.read(lambda connection: list(connection.execute("SELECT 2"))) == [(2,)]
            assert not asking.done()
        answered.set()
        assert await asking == [(1,)]
    finally:
        answered.set()
        await beside.close()
    assert await database.read(lambda connection: list(connection.execute("SELECT 3"))) == [(3,)]


async def test_accounts(database: Database) -> None:
    book = AccountBook(database, HandClock(), SystemEntropy())
    await book.migrate()
    tenants = await asyncio.gather(*(book.ensure_tenant("one") for _ in range(10)))
    assert len(set(tenants)) == 1
    created = await book.add_user(
        NewUser("ann", tenant="one", senders=["a.example"], password="long enough", api_key=True)
    )
    identity = await book.by_password("ann", "long enough", "192.0.2.1")
    assert identity is not None
    assert (identity.tenant, identity.senders) == (tenants[0], ("a.example",))
    assert created.api_key is not None
    assert await book.by_key(created.api_key, "192.0.2.1") == identity
    rotated = await book.rotate("ann")
    assert rotated.password is not None
    assert await book.by_key(created.api_key, "192.0.2.1") is None
    assert await book.by_password("ann", rotated.password, "192.0.2.1") == identity
    assert [user.name for user in await book.list_users()] == ["ann"]
    assert await book.remove_user("ann")
    assert not await book.remove_user("ann")
    assert (await book.ensure_lab_user()).name == "lab"
    await book.close()


COLUMNS = {
    "sqlite": "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
    "postgres": "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'",
}
OWN = {"sqlite_sequence", "commit_mark"}
"""Tables that a database keeps for itself."""


@pytest.mark.parametrize("component", ["relay/spool", "relay/account", "web"])
async def test_the_dialects_of_a_schema_hold_the_same(
    component: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """A migration written for one database is missing on the other until this passes."""
    databases: list[Database] = [
        await SqliteDatabase.open(tmp_path / "t.db"),
        await PostgresDatabase.open(await postgres_server.create()),
    ]
    found: list[set[tuple[str, str]]] = []
    for database in databases:
        await database.migrate("part", ROOT / component / "sql" / database.dialect)
        rows = await database.read(partial(columns_of, database.dialect))
        found.append({(table, column) for table, column in rows if table not in OWN})
        await database.close()
    assert found[0] - found[1] == set()
    assert found[1] - found[0] <= {("event", "tx")}


def columns_of(dialect: str, connection: Connection) -> list[tuple[str, str]]:
    return [(table, column) for table, column in connection.execute(COLUMNS[dialect])]


def letter(number: int) -> NewLetter:
    mail = Letter("a@b.example", "A", "c@d.example", "s", "t", "<p>t", "letters", f"id{number}")
    return NewLetter(f"id{number}", hash_secret(str(number)), "en", "sig", mail)


async def test_letters(database: Database) -> None:
    store = DatabaseLetterStore(database)
    await store.prepare()
    assert await store.add(letter(1), NOW, Departure(NOW))
    assert not await store.add(letter(1), NOW, Departure(NOW))
    for number in range(2, 6):
        await store.add(letter(number), NOW, Departure(NOW))
    taken = await asyncio.gather(*(store.take_due(NOW, timedelta(minutes=1), 3) for _ in range(4)))
    assert sorted(one.id for some in taken for one in some) == [f"id{number}" for number in range(1, 6)]
    await store.note_handed_over("id1", "m1", Left(NOW, b"place"))
    await WithheldTable(database).withhold("id2", Left(NOW, b"place"))
    await store.postpone("id3", NOW)
    (again,) = await store.take_due(NOW, timedelta(minutes=1), 9)
    assert (again.id, again.attempts) == ("id3", 2)
    found = await store.find(hash_secret("1"))
    assert found is not None
    assert (found.message_id, found.due, found.refused) == ("m1", None, False)
    assert await store.forget(NOW, NOW + timedelta(days=1), 9) == 1
    assert await store.knows("id1")
