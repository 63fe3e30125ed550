"""kill -9 right after the inbound door's 250: what it took is on disk, and the next life sorts it (C05)."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from relay.clock import SystemClock
from relay.database.sqlite import SqliteDatabase
from relay.spool.inbound import InboundStore
from relay.spool.inbound_values import InboundFilter, InboundView
from tests.support.relay_process import RelayProcess, free_port, write_toml

MAILS = 20
EVERYTHING = InboundFilter(waiting=False)


def configure(folder: Path) -> tuple[Path, int, int]:
    inbound, http = free_port(), free_port()
    config = folder / "relay.toml"
    write_toml(
        config,
        {
            "node": {"name": "mail.leak.example", "workers": 1, "roles": ["inbound", "api"]},
            "spool": {"url": "sqlite:spool.db", "minimum_free": 0},
            "inbound": {"listen": [f"127.0.0.1:{inbound}"], "domain": "bounces.leak.example"},
            "api": {"listen": f"127.0.0.1:{http}"},
        },
    )
    return config, inbound, http


def send(port: int) -> None:
    """Mails to postmaster, each acknowledged."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        for number in range(MAILS):
            client.sendmail("", ["postmaster@bounces.leak.example"], f"Subject: {number}\r\n\r\nHello\r\n")


async def items(folder: Path) -> list[InboundView]:
    database = await SqliteDatabase.open(folder / "spool.db")
    try:
        return await InboundStore(database, SystemClock()).listing(EVERYTHING)
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
