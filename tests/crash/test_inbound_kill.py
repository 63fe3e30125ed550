"""kill -9 right after the inbound door's 250: what it took is on disk, and the next life sorts it (C05)."""

from __future__ import annotations

import asyncio
import smtplib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock, to_millis
from relay.database.sqlite import SqliteDatabase
from relay.ids import SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.node_secrets import token_keys
from relay.policy.hearing import Purpose
from relay.spool.inbound import InboundStore
from relay.spool.inbound_values import InboundFilter, InboundView
from relay.spool.letter_replies import Customer, LetterReplies
from relay.spool.sqlite import SqliteSpool
from relay.spool.work import Door, NewMessage
from relay.tokens import TokenKind, Tokens, delivery_subject
from tests.support.dns_server import DnsServer, Zone
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


def answer(port: int, to: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("bob@x.example", [to], f"From: <bob@x.example>\r\nTo: <{to}>\r\nSubject: Re\r\n\r\nYes.\r\n")


async def letter(folder: Path) -> SpoolId:
    """A message to bob@x.example in the spool of a relay that runs."""
    database = await SqliteDatabase.open(folder / "spool.db")
    clock = SystemClock()
    try:
        now, number = clock.now(), new_spool_id(to_millis(clock.now()), SystemEntropy())
        envelope = Envelope(parse_address("letter@leak.example"), (Recipient(parse_address("bob@x.example")),))
        later = now + timedelta(days=5)
        new = NewMessage(number, 1, None, Door.WEB, envelope, b"a: b\r\n\r\n", b"", now, later, later)
        await SqliteSpool(database, clock, 0).accept(new)
        return number
    finally:
        await database.close()


async def told(folder: Path) -> list[tuple[str, str]]:
    """What a front hears that asks twice."""
    database = await SqliteDatabase.open(folder / "spool.db")
    try:
        replies = LetterReplies(database, SystemClock())
        return [(one.message, one.words) for _ in range(2) for one in await replies.waiting(Customer(1, None), 9)]
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


async def test_a_reply_that_was_acknowledged_is_passed_on_once(tmp_path: Path) -> None:  # C05, RCP 10
    """Killed between its 250 and the sorting: its words reach the front, and nothing else of it is left."""
    config, port, http = configure(tmp_path)
    zone: Zone = {"x.example": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]}}
    async with DnsServer(zone) as dns:
        with config.open("a", encoding="utf-8") as file:
            file.write(f'[resolver]\nnameservers = ["{dns.address[0]}:{dns.address[1]}"]\n')
        relay = RelayProcess(config, http, tmp_path / "relay.log")
        try:
            await relay.start()
            message = await letter(tmp_path)
            tokens = Tokens(token_keys(tmp_path / "secrets"), SystemClock())
            token = tokens.mint(TokenKind.REPLY, delivery_subject(message, 0), datetime.now(UTC) + timedelta(days=1))
            await asyncio.to_thread(answer, port, f"{token}@bounces.leak.example")
            await relay.kill_supervisor()
            assert [one.purpose for one in await items(tmp_path)] == [Purpose.REPLY]
            await relay.start()
            async with asyncio.timeout(60):
                while not (found := await items(tmp_path))[0].followed:
                    await asyncio.sleep(0.2)
            assert (found[0].followed, found[0].peer, found[0].size) == ("passed-on", "", 0)
            await relay.kill_supervisor()
            assert await told(tmp_path) == [(message, "Yes.")] * 2, "until the front has them"
        finally:
            await relay.clean_up()
