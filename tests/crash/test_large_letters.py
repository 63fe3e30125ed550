"""Many large letters at once, in at the door and out again, in a process whose memory is watched from outside (R08).

`LEAK_LARGE_LETTERS=100 LEAK_LARGE_OCTETS=25000000` are the figures of docs/durability.md; the peak is the kernel's own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.settings import load_settings
from tests.support.crash_world import reply
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer
from tests.support.relay_process import RelayProcess, write_toml
from tests.support.watching_sink import WatchingSink

LETTERS = int(os.environ.get("LEAK_LARGE_LETTERS", "8"))
OCTETS = int(os.environ.get("LEAK_LARGE_OCTETS", "6000000"))
SINGLE = int(os.environ.get("LEAK_LARGE_EIGHT_BIT", "1"))
"""So many of them hold octets above 127, and are converted."""
LIMIT_MEGABYTES = 256
LINE = b"%07d a line of an attachment, as long as base64 makes its lines, at the end.\r\n"
EIGHT_BIT = "%07d a line of an attachment, as long as base64 makes its lines, à la fin.\r\n"


def peak(pid: int) -> int:
    """The most memory a process has had resident, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@dataclass
class Sent:
    """What the clients were told, and what the bodies' digests are."""

    answers: Counter[str] = field(default_factory=Counter)
    digests: dict[str, str] = field(default_factory=dict)


async def submit(port: int, number: int, sent: Sent) -> None:
    """One letter; its body is made while it is sent."""
    name = f"letter{number}"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    header = f"From: ann@sender.example\r\nTo: {name}@far.example\r\nSubject: {name}\r\n\r\n"
    try:
        await reply(reader)
        for command in (
            "EHLO client.example",
            "MAIL FROM:<ann@sender.example>",
            f"RCPT TO:<{name}@far.example>",
            "DATA",
        ):
            writer.write(f"{command}\r\n".encode())
            await reply(reader)
        writer.write(header.encode())
        digest = hashlib.sha256()
        lines = (OCTETS - 500) // max(len(LINE % 0), len(EIGHT_BIT.encode() % 0))
        for start in range(0, lines, 3000):
            rows = range(start, min(start + 3000, lines))
            block = b"".join(EIGHT_BIT.encode() % n if number < SINGLE else LINE % n for n in rows)
            digest.update(block)
            writer.write(block)
            await writer.drain()
        writer.write(b".\r\n")
        answer = (await reader.readuntil(b"\r\n"))[:3].decode()
        sent.answers[answer] += 1
        if answer == "250":
            sent.digests[name] = digest.hexdigest()
    finally:
        writer.close()


def configure(folder: Path, spool: str, far: str) -> tuple[RelayProcess, int]:
    smtp_port, http_port = free_port(), free_port()
    config = folder / "relay.toml"
    write_toml(
        config,
        {
            "node": {"name": "relay.example", "workers": 1, "roles": ["submission", "api", "delivery"]},
            "spool": {"url": spool, "minimum_free": 0},
            "submission": {"listen": [f"127.0.0.1:{smtp_port}"], "trusted_networks": ["127.0.0.1/32"]},
            "api": {"listen": f"127.0.0.1:{http_port}"},
            "delivery": {"smarthost": far, "allow_private_addresses": True, "retry": ["1s"]},
            "log": {"level": "warning"},
        },
    )
    return RelayProcess(config, http_port, folder / "relay.log"), smtp_port


@pytest.mark.parametrize("database", ["sqlite", "postgres"] if "LEAK_LARGE_LETTERS" in os.environ else ["sqlite"])
@pytest.mark.timeout(120 + 20 * LETTERS)
async def test_large_letters_at_once_stay_within_bounds(
    tmp_path: Path, database: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = "sqlite:spool.db"
    if database == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        spool = await server.create()
    async with WatchingSink() as sink:
        relay, port = configure(tmp_path, spool, sink.address)
        await relay.start()
        try:
            assert relay.process is not None
            before = peak(relay.process.pid)
            sent = Sent()
            await asyncio.gather(*(submit(port, n, sent) for n in range(LETTERS)))
            taken_in = peak(relay.process.pid)
            async with asyncio.timeout(30 + 10 * LETTERS):
                while len(sink.arrived) < len(sent.digests):
                    await asyncio.sleep(0.05)
            whole = peak(relay.process.pid)
            assert await relay.terminate() == 0
        finally:
            await relay.clean_up()
    with capsys.disabled():
        print(
            f"\n{database}: {LETTERS} letters of {OCTETS:,} octets at once, answers {dict(sent.answers)};"
            f" {sink.most} sessions at most to the far side;"
            f" resident {before} MB, at most {taken_in} MB taking in, {whole} MB in all"
        )
    assert set(sent.answers) <= {"250", "452"}
    assert sent.answers["250"] >= LETTERS // 2
    same = [name for name, digest in sent.digests.items() if sink.digests[name] == digest]
    assert len(same) == len(sent.digests) - SINGLE  # what was converted decodes to the same, and is other octets
    assert not [name for name, times in sink.arrived.items() if times != 1]
    assert whole <= LIMIT_MEGABYTES
    assert whole - before <= 64 + 6 * OCTETS // 1_000_000  # one is converted at a time, and held whole for that


async def post(port: int, key: str, number: int, sent: Sent) -> None:
    """One letter over HTTP, sent again while there is no room for it."""
    name = f"letter{number}"
    lines = b"".join(LINE % n for n in range((OCTETS - 500) // len(LINE % 0)))
    raw = f"From: ann@sender.example\r\nTo: {name}@far.example\r\nSubject: {name}\r\n\r\n".encode() + lines
    document = {"from": "ann@sender.example", "to": [f"{name}@far.example"], "raw": base64.b64encode(raw).decode()}
    body = json.dumps(document).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as client:
        while name not in sent.digests:
            # A request that is refused before it was read ends with its connection.
            with suppress(aiohttp.ClientError):
                async with client.post(f"http://127.0.0.1:{port}/api/v1/messages", data=io.BytesIO(body)) as answer:
                    sent.answers[str(answer.status)] += 1
                    if answer.status == 202:
                        sent.digests[name] = hashlib.sha256(lines).hexdigest()
            await asyncio.sleep(0.5)


if "LEAK_LARGE_LETTERS" in os.environ:

    @pytest.mark.timeout(120 + 30 * LETTERS)
    async def test_large_letters_over_http_stay_within_bounds(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with WatchingSink() as sink:
            relay, _ = configure(tmp_path, "sqlite:spool.db", sink.address)
            stores = await open_stores(load_settings(relay.config), SystemClock(), SystemEntropy())
            user = await stores.accounts.add_user("loader", tenant="load", senders=["sender.example"], api_key=True)
            await stores.close()
            await relay.start()
            try:
                assert relay.process is not None
                before, sent = peak(relay.process.pid), Sent()
                await asyncio.gather(*(post(relay.http_port, user.api_key or "", n, sent) for n in range(LETTERS)))
                async with asyncio.timeout(30 + 10 * LETTERS):
                    while len(sink.arrived) < LETTERS:
                        await asyncio.sleep(0.05)
                whole = peak(relay.process.pid)
                assert await relay.terminate() == 0
            finally:
                await relay.clean_up()
        with capsys.disabled():
            print(
                f"\n{LETTERS} letters of {OCTETS:,} octets at once over HTTP, answers {dict(sent.answers)};"
                f" resident {before} MB, at most {whole} MB"
            )
        assert set(sent.answers) <= {"202", "503", "507"}
        assert sent.digests == sink.digests
        assert set(sink.arrived.values()) == {1}
        assert whole <= LIMIT_MEGABYTES
