"""PostgreSQL away, slow, cut off in the middle of a commit, failed over: nothing promised is lost (R24, R25)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from relay.clock import SystemClock, to_millis
from relay.database import postgres
from relay.database.postgres import PostgresDatabase
from relay.database.postgres_pool import Connector
from relay.errors import ConfigurationError, SpoolFullError, SpoolUnavailableError
from relay.ids import SeededEntropy, SpoolId, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.state import State
from relay.spool.postgres import PostgresSpool
from relay.spool.work import Door, NewMessage, Settlement
from tests.support.postgres_server import PostgresServer
from tests.support.tcp_proxy import Cut, TcpProxy

CLOCK = SystemClock()
ENTROPY = SeededEntropy(24)


def message(recipient: str = "a@b.example") -> NewMessage:
    now = CLOCK.now()
    envelope = Envelope(parse_address("ann@sender.example"), (Recipient(parse_address(recipient)),))
    return NewMessage(
        new_spool_id(to_millis(now), ENTROPY), 1, None, Door.SMTP, envelope, b"\r\nx\r\n", b"", now, now, now
    )


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresSpool]:
    spool = PostgresSpool(await PostgresDatabase.open(url), CLOCK)
    try:
        await spool.migrate()
        yield spool
    finally:
        await spool.close()


@asynccontextmanager
async def behind_proxy(server: PostgresServer) -> AsyncIterator[tuple[PostgresSpool, TcpProxy]]:
    url = await server.create()
    proxy = TcpProxy(server.port, b"COMMIT\0")
    await proxy.start()
    try:
        async with opened(url.replace(f":{server.port}/", f":{proxy.port}/")) as spool:
            yield spool, proxy
    finally:
        await proxy.stop()


async def stored(spool: PostgresSpool) -> list[str]:
    return [spool_id for (spool_id,) in await spool._database.fetch("SELECT id FROM message ORDER BY seq")]


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    server = PostgresServer.make()
    try:
        server.start()
        yield server
    finally:
        server.stop()


async def test_a_commit_whose_answer_was_lost_is_found(postgres_server: PostgresServer) -> None:
    async with behind_proxy(postgres_server) as (spool, proxy):
        proxy.cut = Cut.ANSWER
        accepting = asyncio.create_task(spool.accept(message()))
        await proxy.struck()
        receipt = await accepting
        assert await stored(spool) == [receipt.id]


async def test_a_commit_that_never_arrived_is_refused(postgres_server: PostgresServer) -> None:
    async with behind_proxy(postgres_server) as (spool, proxy):
        proxy.cut = Cut.REQUEST
        accepting = asyncio.create_task(spool.accept(message()))
        await proxy.struck()
        with pytest.raises(SpoolUnavailableError):
            await accepting
        assert await stored(spool) == []
        await spool.accept(message())


async def test_a_commit_without_an_answer_is_asked_for(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "COMMIT_SECONDS", 0.3)
    async with behind_proxy(postgres_server) as (spool, proxy):
        proxy.cut = Cut.SILENCE
        accepting = asyncio.create_task(spool.accept(message()))
        await proxy.struck()
        receipt = await accepting
        assert await stored(spool) == [receipt.id]


async def test_settlements_and_claims_survive_lost_answers(postgres_server: PostgresServer) -> None:
    async with behind_proxy(postgres_server) as (spool, proxy):
        me = await spool.register("node", 0)
        receipt = await spool.accept(message())
        proxy.cut = Cut.ANSWER
        claiming = asyncio.create_task(spool.claim(me, 10))
        await proxy.struck()
        assert [parcel.seq for parcel in await claiming] == [receipt.seq]
        proxy.cut = Cut.ANSWER
        settling = asyncio.create_task(spool.settle(me, [Settlement(receipt.seq, 0, State.DELIVERED)]))
        await proxy.struck()
        # Asked again it would be late; the first answer must be the true one.
        assert await settling == 1


async def test_a_commit_is_not_believed_before_the_standby_has_it(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, the commit would stand on this machine alone: so it is left, and asked for until it is whole."""
    monkeypatch.setattr(postgres, "COMMIT_SECONDS", 0.3)
    async with opened(own_server.url()) as spool, opened(own_server.url()) as operator:
        configure = operator._database
        async with configure._link() as link:
            await link.connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            await link.connection.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.3)
        accepting = asyncio.create_task(spool.accept(message()))
        await asyncio.sleep(1.5)
        assert not accepting.done()
        async with configure._link() as link:
            await link.connection.execute("SET synchronous_commit = local")
            await link.connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await link.connection.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(20):
            receipt = await accepting
        assert await stored(spool) == [receipt.id]


async def test_a_slow_database_slows_intake_and_nothing_else(postgres_server: PostgresServer) -> None:
    # R25: 200 ms more on every way there and back; what waits shares commits instead of standing in line
    async with behind_proxy(postgres_server) as (spool, proxy):
        await spool.accept(message())
        proxy.delay = 0.1
        async with asyncio.timeout(20):
            receipts = await asyncio.gather(*(spool.accept(message()) for _ in range(300)))
        proxy.delay = 0.0
        assert set(await stored(spool)) >= {receipt.id for receipt in receipts}


async def test_a_database_that_is_away_is_said_at_once(own_server: PostgresServer) -> None:
    async with opened(own_server.url()) as spool:
        await spool.accept(message())
        await asyncio.to_thread(own_server.kill)
        async with asyncio.timeout(10):
            with pytest.raises(SpoolUnavailableError):
                await spool.accept(message())
            with pytest.raises(SpoolUnavailableError):
                await spool.ping()
        await asyncio.to_thread(own_server.start)
        await spool.accept(message())


async def test_a_server_that_refuses_us_later_is_one_that_is_away(postgres_server: PostgresServer) -> None:
    """A fail-over may lead to one that does not know us yet: what waits to be written must not be given up."""
    connector = Connector(await postgres_server.create())
    await (await connector.connect()).close()
    operator = await asyncpg.connect(postgres_server.url())
    await operator.execute(f"DROP DATABASE {connector._url.rpartition('/')[2]} WITH (FORCE)")
    await operator.close()
    with pytest.raises(SpoolUnavailableError, match="does not exist"):
        await connector.connect()
    with pytest.raises(ConfigurationError, match="does not exist"):
        await Connector(connector._url).connect()


FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE FUNCTION no_room_at_all() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON content EXECUTE FUNCTION no_room();
CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_room_at_all();
"""


async def test_a_full_disk_refuses_new_mail_and_settles_what_it_can(postgres_server: PostgresServer) -> None:
    # R04: the server's own error; tests/crash/test_postgres_disk.py fills a real disk
    url = await postgres_server.create()
    async with opened(url) as spool, opened(url) as operator:
        me = await spool.register("node", 0)
        receipt = await spool.accept(replace(message(), lease_to=me))
        await operator._database.transact(lambda transaction: transaction.connection.execute(FULL))
        for _ in range(3):
            with pytest.raises(SpoolFullError):
                await spool.accept(message())
            with pytest.raises(SpoolFullError):
                await spool.ping()
        assert await spool.settle(me, [Settlement(receipt.seq, 0, State.DELIVERED)]) == 1
        freed = "DROP TRIGGER full_disk ON content; DROP EVENT TRIGGER full_disk"
        await operator._database.transact(lambda transaction: transaction.connection.execute(freed))
        async with asyncio.timeout(20):
            while not await accepts(spool):
                await asyncio.sleep(0.1)
        await spool.ping()


async def accepts(spool: PostgresSpool) -> bool:
    try:
        await spool.accept(message())
    except SpoolUnavailableError:
        return False
    return True


async def test_a_server_that_takes_no_writes_is_told_apart_and_comes_back(own_server: PostgresServer) -> None:
    """Read-only by a setting, as a disk that is nearly full is guarded; then demoted to a standby, and promoted."""
    async with opened(own_server.url()) as spool, opened(own_server.url()) as operator:
        async with operator._database._link() as link:
            await link.connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await link.connection.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(20):
            while await accepts(spool):
                await asyncio.sleep(0.05)
        with pytest.raises(SpoolUnavailableError):
            await spool.ping()
        async with asyncio.timeout(20):
            while not await accepts(spool):
                await back_to_writing(own_server)
                await asyncio.sleep(0.1)
        await spool.ping()
        there = len(await stored(spool))

        await asyncio.to_thread(own_server.shut_down)
        (own_server.data / "standby.signal").touch()
        await asyncio.to_thread(own_server.start)
        with pytest.raises(SpoolUnavailableError, match=f"127.0.0.1:{own_server.port}: takes no writes"):
            await spool.accept(message())
        with pytest.raises(SpoolUnavailableError):
            await spool.ping()
        await asyncio.to_thread(own_server.run, "pg_ctl", "promote", "-D", str(own_server.data), "-w")
        async with asyncio.timeout(20):
            while not await accepts(spool):
                await asyncio.sleep(0.1)
        assert len(await stored(spool)) == there + 1


async def back_to_writing(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute("SET transaction_read_only = off")
    await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def test_fail_over_loses_nothing_acknowledged(own_server: PostgresServer) -> None:
    # R24: a synchronous standby takes over from a primary that was killed
    standby = await own_server.standby("second")
    standby.start()
    try:
        async with opened(own_server.url()) as operator, operator._database._link() as link:
            await link.connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'second'")
            await link.connection.execute("SELECT pg_reload_conf()")
        url = f"postgresql://leak@127.0.0.1:{standby.port},127.0.0.1:{own_server.port}/postgres"
        acknowledged: set[SpoolId] = set()
        async with opened(url) as spool:
            stop = asyncio.Event()
            loading = [asyncio.create_task(submit(spool, acknowledged, stop)) for _ in range(8)]
            async with asyncio.timeout(60):
                while len(acknowledged) < 60:
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(own_server.kill)
            before = len(acknowledged)
            await asyncio.sleep(0.5)
            standby.run("pg_ctl", "promote", "-D", str(standby.data), "-w")
            async with asyncio.timeout(60):  # ten seconds are promised, on a machine that has time for it
                while len(acknowledged) < before + 50:
                    await asyncio.sleep(0.02)
            stop.set()
            await asyncio.gather(*loading)
            there = await stored(spool)
        assert acknowledged <= set(there)
        assert len(there) == len(set(there))
    finally:
        standby.stop()


async def submit(spool: PostgresSpool, acknowledged: set[SpoolId], stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            acknowledged.add((await spool.accept(message())).id)
        except SpoolUnavailableError:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("setting", "words"), [("fsync", "loses power"), ("synchronous_commit", "on disk")])
def test_a_server_that_would_lose_mail_is_refused(setting: str, words: str) -> None:
    server = PostgresServer.make(**{setting: "off"})
    try:
        server.start()
        with pytest.raises(ConfigurationError, match=words):
            asyncio.run(PostgresDatabase.open(server.url()))
    finally:
        server.stop()
