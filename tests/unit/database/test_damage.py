"""A spool that is damaged or cannot be written: said in clear words, never a silent loss (R05, R07)."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import aiohttp
import pytest

import relay.database.sqlite as sqlite_module
from relay.database.contract import Connection
from relay.database.sqlite import SqliteDatabase
from relay.errors import SpoolUnavailableError
from relay.examination import Examination
from relay.policy.state import State
from tests.support.whole_relay import WholeRelay, whole_relay

LETTER = b"From: ann@leak.lab.test\r\nTo: ok@inbox.lab.test\r\nSubject: x\r\n\r\nA line.\r\n"
PAGE = 4096


async def fill(path: Path) -> None:
    """A file of many pages, closed."""
    database = await SqliteDatabase.open(path)

    def work(connection: Connection) -> None:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        connection.execute("CREATE INDEX t_b ON t (b)")
        connection.executemany("INSERT INTO t (b) VALUES (?)", [(f"{n}" * 50,) for n in range(4000)])

    await database.write(work)
    await database.close()


def spoil(path: Path, pages: int) -> None:
    """Other octets at the head of the last pages."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        for n in range(1, pages + 1):
            file.seek(size - n * 7 * PAGE)
            file.write(b"\xa5" * 64)


async def test_a_sound_file_has_no_damage(tmp_path: Path) -> None:
    await fill(tmp_path / "t.db")
    database = await SqliteDatabase.open(tmp_path / "t.db")
    assert await database.examine() == ""
    await database.close()


async def test_spoiled_pages_are_found_by_the_examination(tmp_path: Path) -> None:
    # R07
    await fill(tmp_path / "t.db")
    spoil(tmp_path / "t.db", 3)
    database = await SqliteDatabase.open(tmp_path / "t.db")
    damage = await database.examine()
    assert "is damaged" in damage
    assert "leak restore" in damage
    assert database.damage == damage
    await database.close()


async def test_spoiled_pages_are_found_by_whoever_reads_them(tmp_path: Path) -> None:
    # R07
    await fill(tmp_path / "t.db")
    spoil(tmp_path / "t.db", 12)
    database = await SqliteDatabase.open(tmp_path / "t.db")
    with pytest.raises(SpoolUnavailableError, match="is damaged"):
        await database.read(lambda connection: list(connection.execute("SELECT sum(length(b)) FROM t NOT INDEXED")))
    assert database.damage
    await database.close()


async def test_an_examination_can_be_cut_short(tmp_path: Path) -> None:
    await fill(tmp_path / "t.db")
    database = await SqliteDatabase.open(tmp_path / "t.db")
    examining = asyncio.create_task(database.examine())
    await asyncio.sleep(0)
    examining.cancel()
    await asyncio.gather(examining, return_exceptions=True)
    assert database.damage == ""
    await database.close()


def say(relay: WholeRelay) -> int:
    """Submit a letter; the code it was answered with."""
    with smtplib.SMTP("127.0.0.1", relay.smtp_port, timeout=20) as client:
        client.starttls(context=relay.trust())
        client.login("lab", "lab")
        client.mail("ann@leak.lab.test")
        client.rcpt("ok@inbox.lab.test")
        return client.data(LETTER)[0]


async def ready(relay: WholeRelay) -> int:
    async with aiohttp.ClientSession() as client, client.get(f"{relay.http}/readyz") as answer:
        return answer.status


async def test_a_spool_that_turns_read_only_refuses_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # R05: every connection refuses to write, as on a file system that was mounted anew without the right to
    async with whole_relay(tmp_path) as relay:
        database = relay.stores.database
        assert isinstance(database, SqliteDatabase)
        assert await asyncio.to_thread(say, relay) == 250
        with monkeypatch.context() as patched:
            patched.setattr(sqlite_module, "_PRAGMAS", (*sqlite_module._PRAGMAS, "PRAGMA query_only=ON"))
            with pytest.raises(SpoolUnavailableError):
                await database.write(_turn_read_only)
            assert await asyncio.to_thread(say, relay) == 451
            assert await ready(relay) == 503
            assert "cannot be written" in str(database.failure)
        async with asyncio.timeout(20):
            while await asyncio.to_thread(say, relay) != 250:
                await asyncio.sleep(0.1)
        assert await ready(relay) == 200
        await relay.arrivals("ok@inbox.lab.test", 2)


def _turn_read_only(connection: Connection) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("DELETE FROM event WHERE seq < 0")


async def test_a_damaged_spool_refuses_new_mail_with_an_alarm(tmp_path: Path) -> None:
    # R07
    async with whole_relay(tmp_path) as relay:
        message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER)
        await relay.until(message, State.DELIVERED)
        database = relay.stores.database
        assert isinstance(database, SqliteDatabase)
        database._opener.damage = sqlite_module.damage_words(database.path, "a page")
        assert await asyncio.to_thread(say, relay) == 451
        assert await ready(relay) == 503
        assert relay.node._engine is not None
        examination = Examination(database, relay.node._engine.alarms)
        examination.start()
        async with asyncio.timeout(20):
            while not await relay.stores.spool.alarms():
                await asyncio.sleep(0.05)
        await examination.stop()
        (alarm,) = await relay.stores.spool.alarms()
        assert (alarm.kind, alarm.subject) == ("damaged-spool", str(database.path))
        assert "leak restore" in alarm.detail
