"""kill -9 right after the inbound door's 250: what it took is on disk, and the next life sorts it (C05)."""

from __future__ import annotations

import asyncio
import smtplib
from contextlib import suppress
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.database.sqlite import SqliteDatabase
from relay.spool.inbound import InboundStore
from relay.spool.inbound_values import InboundFilter, InboundView
from relay.spool.sqlite import SqliteSpool
from tests.support.ports import free_port
from tests.support.relay_process import RelayProcess, write_toml

POISON = Path(__file__).parents[1] / "support" / "poison"
MAILS = 20
EVERYTHING = InboundFilter(waiting=False)


def configure(folder: Path, workers: int = 1) -> tuple[Path, int, int]:
    inbound, http = free_port(), free_port()
    config = folder / "relay.toml"
    write_toml(
        config,
        {
            "node": {"name": "mail.leak.example", "workers": workers, "roles": ["inbound", "api"]},
            "spool": {"url": "sqlite:spool.db", "minimum_free": 0},
            "inbound": {"listen": [f"127.0.0.1:{inbound}"], "domain": "bounces.leak.example"},
            "api": {"listen": f"127.0.0.1:{http}"},
        },
    )
    return config, inbound, http


def send(port: int, header: str = "", mails: int = MAILS) -> None:
    """Mails to postmaster, each acknowledged."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        for number in range(mails):
            client.sendmail("", ["postmaster@bounces.leak.example"], f"{header}Subject: {number}\r\n\r\nHello\r\n")


async def items(folder: Path) -> list[InboundView]:
    database = await SqliteDatabase.open(folder / "spool.db")
    try:
        return await InboundStore(database, SystemClock()).listing(EVERYTHING)
    finally:
        await database.close()


async def alarms(folder: Path) -> list[str]:
    database = await SqliteDatabase.open(folder / "spool.db")
    try:
        return [one.kind for one in await SqliteSpool(database, SystemClock(), 0).alarms()]
    finally:
        await database.close()


async def test_what_was_acknowledged_survives_and_is_sorted_once(tmp_path: Path) -> None:
    config, port, http = configure(tmp_path)
    relay = RelayProcess(config, http, tmp_path / "relay.log")
    try:
        await relay.start()
        await asyncio.to_thread(send, port)
        await relay.kill_supervisor()
        assert len(await items(tmp_path)) == MAILS
        await relay.start()
        async with asyncio.timeout(60):
            while not all(one.followed for one in await items(tmp_path)):
                await asyncio.sleep(0.2)
        assert [one.followed for one in await items(tmp_path)] == ["shown"] * MAILS
        assert await relay.terminate() == 0
    finally:
        await relay.clean_up()


@pytest.mark.timeout(180)
async def test_mail_that_kills_its_reader_is_put_aside(tmp_path: Path) -> None:  # R33
    config, port, http = configure(tmp_path, workers=2)
    relay = RelayProcess(config, http, tmp_path / "relay.log")
    try:
        await relay.start(PYTHONPATH=str(POISON), LEAK_TEST_POISON="1")
        with suppress(OSError, smtplib.SMTPException):  # its worker may die before the answer goes out
            await asyncio.to_thread(send, port, "X-Poison: kill\r\n", 1)
        async with asyncio.timeout(120):
            while not (found := await items(tmp_path)) or not found[0].followed:
                await asyncio.sleep(0.2)
        assert [(one.kind, one.followed, one.shown) for one in found] == [("unread", "shown", True)]
        deaths = relay.log.read_text().count("worker-died")
        assert deaths in (3, 4)  # a second worker may take it up while the first one dies
        assert await alarms(tmp_path) == ["inbound-unread"]
        assert await relay.terminate() == 0
    finally:
        await relay.clean_up()
