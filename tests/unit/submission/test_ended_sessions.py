"""An ended session is freed by its reference counts, however it ended: what waits for the collector is memory (R30)."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop

from relay.submission.session import SubmissionSession
from tests.support.smtp_client import connected
from tests.support.smtp_door import STRANGER, Door, open_door, tls_pair

LETTER = b"Subject: hi\r\n\r\nhello\r\n"
End = Callable[[Door, ssl.SSLContext], Awaitable[None]]


async def quits(door: Door, _: ssl.SSLContext) -> None:
    async with connected(door.port) as client:
        await client.ehlo()
        assert (await client.deliver(LETTER)).code == 250
        assert (await client.ask("QUIT")).code == 221
        assert await client.ended()


async def quits_after_starttls(door: Door, tls: ssl.SSLContext) -> None:
    async with connected(door.port) as client:
        await client.ehlo()
        await client.starttls(tls)
        await client.ehlo()
        assert (await client.ask("QUIT")).code == 221


async def quits_over_tls(door: Door, tls: ssl.SSLContext) -> None:
    async with connected(door.tls_port, tls=tls) as client:
        assert (await client.ask("QUIT")).code == 221


async def leaves(door: Door, _: ssl.SSLContext) -> None:
    async with connected(door.port) as client:
        await client.ehlo()


async def leaves_in_the_middle(door: Door, _: ssl.SSLContext) -> None:
    async with connected(door.port) as client:
        await client.ehlo()
        for command in ("MAIL FROM:<ann@leak.example>", "RCPT TO:<bob@example.org>", "DATA"):
            await client.ask(command)
        await client.send(b"Subject: hi\r\n\r\nhel")
        client.writer.transport.abort()


async def is_turned_away(door: Door, _: ssl.SSLContext) -> None:
    async with connected(door.port, STRANGER), connected(door.port, STRANGER, greeting=False) as client:
        assert (await client.answer()).code == 421


async def fails_its_handshake(door: Door, _: ssl.SSLContext) -> None:
    async with connected(door.tls_port, greeting=False) as client:
        await client.send(b"EHLO there\r\n")
        await client.ended()


async def is_too_slow(door: Door, _: ssl.SSLContext) -> None:
    async with connected(door.port) as client:
        assert (await client.answer()).code == 421


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "end",
    [
        quits,
        quits_after_starttls,
        quits_over_tls,
        leaves,
        leaves_in_the_middle,
        is_turned_away,
        fails_its_handshake,
        is_too_slow,
    ],
)
def test_an_ended_session_waits_for_no_collector(end: End) -> None:
    """On the loop that a node runs on; asyncio's own keeps a failed TLS handshake in a cycle of its own."""
    server_tls, client_tls = tls_pair()
    timeout = 0.3 if end is is_too_slow else 30.0

    async def go() -> None:
        async with open_door(tls=server_tls, max_connections_per_address=1, idle_timeout=timeout) as door:
            await end(door, client_tls)
            async with asyncio.timeout(10):
                while any(isinstance(one, SubmissionSession) for one in gc.get_objects()):
                    await asyncio.sleep(0.02)

    uvloop.run(go())
