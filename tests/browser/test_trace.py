"""Two letters from two browsers at two places are one mail but for what is drawn by lot, and nothing else is kept.

SND 1, 2 and 4: the mails are compared field by field; then database, WAL, log, webhooks and a backup are searched for
every octet that told of who wrote.
"""

from __future__ import annotations

import asyncio
import re
import struct
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import aiohttp
import pytest

from relay.account.identity import FRONT_TENANT
from relay.clock import SystemClock
from relay.database.backup import backup
from relay.event.feed import BEGINNING
from relay.ids import SystemEntropy
from relay.node_secrets import ensure_secrets
from relay.notify.book import WebhookBook
from relay.notify.webhook import Form, NewWebhook
from tests.support.form import PageReader
from tests.support.log_text import log_text
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.whole_relay import WholeRelay, whole_relay
from tests.unit.web.test_sealed import make_keys
from web.sealing import month_of

LETTER = {"signature": "someone", "pseudonym": "", "message": "Thank you for the evening.", "rules": "on"}
BROWSERS = (
    {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept-Language": "en-GB",
        "X-Forwarded-For": "203.0.113.17",
        "Cookie": "session=s3cr3t",
    },
    {
        "User-Agent": "Lynx/2.9.2 libwww-FM/2.14",
        "Accept-Language": "en;q=0.5,fr;q=0.1",
        "Forwarded": 'for="[2001:db8::77]:4711"',
        "Referer": "https://elsewhere.example/page",
    },
)
BY_LOT = {"message-id", "date", "dkim-signature", "feedback-id", "list-unsubscribe", "to", "content-type"}
"""Fields whose values hold random tokens, the time of departure, or the recipient."""
CROWD = "127.0.0.78"
"""Where more connections come from than one address may have."""


async def _write(relay: WholeRelay, browser: dict[str, str], recipient: str) -> bytes:
    """Write a letter with `browser`; the mail as the recipient's host took it."""
    async with aiohttp.ClientSession(headers=browser) as session:

        async def post(fields: dict[str, str]) -> aiohttp.ClientResponse:
            async with session.post(f"{relay.http}/en/preview", data=fields, allow_redirects=False) as response:
                await response.read()
                return response

        page = PageReader(await (await post(LETTER | {"to": recipient})).text())
        assert (await post({"token": page.fields["token"], "action": "send"})).status == 303
    (arrival,) = await relay.arrivals(recipient)
    return arrival.posting.content


async def _crowd(relay: WholeRelay) -> None:
    """What makes the HTTP door speak of a client: a request that is none, and a connection too many."""

    async def call() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", relay.http_port, local_addr=(CROWD, 0))

    async with asyncio.timeout(20):
        reader, writer = await call()
        writer.write(b"no request\r\n\r\n")
        assert b" 400 " in await reader.read()
        writers = [writer]
        while True:
            reader, writer = await call()
            writers.append(writer)
            try:
                async with asyncio.timeout(0.1):
                    if b" 503 " in await reader.read():
                        break
            except TimeoutError:
                continue  # it was let in, and waits for a request
    for writer in writers:
        writer.close()


def _without_lot(text: str, recipient: str) -> str:
    """`text` without what is drawn by lot: the recipient's link, and their address."""
    return re.sub(r"/r/[\w-]+", "/r/TOKEN", text.replace(recipient, "RECIPIENT"))


def _parts(message: Message) -> list[str]:
    return [str(part.get_payload(decode=True), "utf-8") for part in message.walk() if not part.is_multipart()]  # type: ignore[arg-type]


async def test_two_letters_from_two_browsers_differ_by_lot_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:  # SND 1, SND 2, SND 4, S53
    caplog.set_level("DEBUG")
    recipients = ("ann@inbox.lab.test", "bob@inbox.lab.test")
    keys = make_keys(tmp_path, month_of(SystemClock().now())) / "public"
    web = {"trusted_proxies": ["127.0.0.1/32"], "sealed_keys": str(keys)}
    api = {"max_connections_per_address": 2}
    async with WebhookReceiver() as receiver, whole_relay(tmp_path, web=web, api=api) as relay:
        await _hook(relay, receiver, tmp_path)
        sent = [
            await _write(relay, browser, recipient) for browser, recipient in zip(BROWSERS, recipients, strict=True)
        ]
        await _crowd(relay)
        told = list(await receiver.until_taken(4))
        sealed = "SELECT count(*) FROM web_sealed"
        assert await relay.stores.database.read(lambda c: list(c.execute(sealed))) == [(2,)]
        backup(tmp_path / "spool.db", tmp_path / "copy.db", lambda *_: None)
    first, second = (message_from_bytes(content) for content in sent)
    assert first.keys() == second.keys(), "the same fields in the same order"
    for (name, value), other in zip(first.items(), second.values(), strict=True):
        if name.lower() not in BY_LOT:
            assert value == other, name
    assert not {"received", "x-originating-ip", "x-mailer", "user-agent"} & {
        name.lower() for name in dict(first.items())
    }
    tags = [dict(re.findall(r"\b(\w+)=([^;]*)", one["DKIM-Signature"])) for one in (first, second)]
    assert (tags[0]["s"], tags[0]["d"], tags[0]["h"].split()) == (tags[1]["s"], tags[1]["d"], tags[1]["h"].split())
    for message in (first, second):
        assert re.fullmatch(r"<[0-9a-z]{20,}@[\w.]+>", message["Message-ID"])
        assert message["Date"].endswith(":00 +0000"), "to the minute"
        assert re.search(r'boundary="=_[0-9a-z]+"', message["Content-Type"])
    bodies = [
        [_without_lot(part, recipient) for part in _parts(message)]
        for message, recipient in zip((first, second), recipients, strict=True)
    ]
    assert bodies[0] == bodies[1]
    for content, browser in zip(sent, BROWSERS, strict=True):
        for trace in (*browser.values(), "203.0.113", "2001:db8"):
            assert trace.encode() not in content
    log = log_text(caplog.records)
    assert all(action in log for action in ("bad-request", "connections-refused"))
    _search(tmp_path, [post.body for post in told], log, capfd.readouterr())


def _search(folder: Path, posts: list[bytes], log: str, printed: tuple[str, str]) -> None:
    """Look for both writers in everything that was written, posted and said."""
    written = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"spool.db", "spool.db-wal", "copy.db"} <= set(written)
    everything = {**written, "log": log.encode(), "printed": "".join(printed).encode()}
    everything |= {f"post {n}": body for n, body in enumerate(posts)}
    assert all(f'"{kind}"'.encode() in b"".join(posts) for kind in ("accepted", "delivered"))
    packed = struct.pack(">HHHHHHHH", 0x2001, 0xDB8, 0, 0, 0, 0, 0, 0x77)
    traces = [value.encode() for browser in BROWSERS for name, value in browser.items() if name != "Accept-Language"]
    for name, content in everything.items():
        for trace in (*traces, CROWD.encode(), b"203.0.113.17", b"2001:db8::77", packed):
            assert trace not in content, (name, trace)


async def _hook(relay: WholeRelay, receiver: WebhookReceiver, folder: Path) -> None:
    """Have every event of the front's letters posted."""
    secrets = ensure_secrets(folder / "secrets", SystemEntropy())
    book = WebhookBook(relay.stores.database, SystemClock(), SystemEntropy(), secrets.webhook)
    tenant = await relay.stores.accounts.ensure_tenant(FRONT_TENANT)
    assert await book.add(NewWebhook(tenant, receiver.url, Form.STANDARD, frozenset(), "", BEGINNING), 1) is not None
