"""A node with many idle clients, then with clients that come and go: memory and open files stay bounded (R29, R30).

`LEAK_IDLE=10000` and `LEAK_CHURN_SECONDS=600` are the targets' sizes; docs/durability.md has the figures.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash_world import mail, reply
from tests.support.ports import free_port
from tests.support.relay_process import RelayProcess, open_files, resident, write_toml
from tests.support.watching_sink import WatchingSink

IDLE = int(os.environ.get("LEAK_IDLE", "300"))
CHURN_SECONDS = float(os.environ.get("LEAK_CHURN_SECONDS", "1.5"))
A_SECOND = 200
AT_ONCE = 100
SLACK_KB = 6_000
"""What a process may take beside, whatever the size of the test: a garbage collection that did not happen yet."""

_numbers = itertools.count()


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A greeted session from one of many addresses: each has a cap of its own."""
    address = f"127.0.{1 + next(_numbers) % 200}.1"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    assert (await reader.readline()).startswith(b"220 ")
    return reader, writer


async def letter(port: int, number: int) -> float:
    """Hand in a letter; the seconds to its 250."""
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reply(reader)
    for command in (b"EHLO c.example", b"MAIL FROM:<ann@leak.lab.test>", b"RCPT TO:<bob@far.example>", b"DATA"):
        writer.write(command + b"\r\n")
        await reply(reader)
    writer.write(mail(f"serial-{number}") + b".\r\n")
    await reply(reader)
    writer.close()
    return time.monotonic() - begun


async def come_and_go(port: int) -> None:
    reader, writer = await connect(port)
    writer.write(b"QUIT\r\n")
    assert (await reader.readline()).startswith(b"221 ")
    writer.close()
    await writer.wait_closed()


async def churn(port: int, seconds: float) -> int:
    """Clients at the pace of `A_SECOND`, as far as the machine keeps it; how many."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        next_round = time.monotonic() + 0.1
        await asyncio.gather(*(come_and_go(port) for _ in range(A_SECOND // 10)))
        count += A_SECOND // 10
        await asyncio.sleep(max(0.0, next_round - time.monotonic()))
    return count


async def until_closed(pid: int, files: int) -> int:
    """Wait until the node has noticed who left; its open files."""
    async with asyncio.timeout(30):
        while (now := open_files(pid)) > files:
            await asyncio.sleep(0.05)
    return now


@pytest.fixture
def files() -> None:
    """As many open files here as may be: a connection is one on each side."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < IDLE + 500:
        pytest.skip(f"{IDLE} connections need as many open files; the hard limit is {hard}")


@pytest.mark.usefixtures("files")
@pytest.mark.timeout(180 + IDLE // 50 + 2 * CHURN_SECONDS)
async def test_many_connections_cost_little_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, http_port = free_port(), free_port()
    async with WatchingSink() as sink:
        config: dict[str, dict[str, Any]] = {
            "node": {"name": "relay.example", "workers": 1, "roles": ["submission", "api", "delivery"]},
            "spool": {"url": "sqlite:spool.db", "minimum_free": 0},
            "submission": {
                "listen": [f"127.0.0.1:{port}"],
                "trusted_networks": ["127.0.0.0/8"],
                "max_connections": IDLE + 200,
                "max_connections_per_address": IDLE + 200,
            },
            "api": {"listen": f"127.0.0.1:{http_port}"},
            "delivery": {"smarthost": sink.address, "allow_private_addresses": True},
            "log": {"level": "warning"},
        }
        write_toml(tmp_path / "relay.toml", config)
        relay = RelayProcess(tmp_path / "relay.toml", http_port, tmp_path / "relay.log")
        await relay.start()
        try:
            assert relay.process is not None
            pid = relay.process.pid
            await letter(port, 0)
            await churn(port, 0.5)
            files, before = await until_closed(pid, open_files(pid)), resident(pid)

            clients = []
            for _ in range(0, IDLE, AT_ONCE):
                clients += await asyncio.gather(*(connect(port) for _ in range(AT_ONCE)))
            each = (resident(pid) - before) / IDLE
            held = open_files(pid) - files
            times = sorted([await letter(port, number) for number in range(1, 41)])
            for _, writer in clients:
                writer.close()
            await until_closed(pid, files + 20)  # beside those of the letters under way

            quiet = resident(pid)
            come = await churn(port, CHURN_SECONDS)
            grown = resident(pid) - quiet
            left = await until_closed(pid, files + 20) - files
            assert await relay.terminate() == 0
        finally:
            await relay.clean_up()
    with capsys.disabled():
        print(
            f"\n{IDLE:,} idle connections: {each:.0f} KiB each; new letters among them: median"
            f" {statistics.median(times) * 1000:.0f} ms, slowest of {len(times)} {times[-1] * 1000:.0f} ms."
            f" {come:,} came and went: resident {quiet:,} kB {grown:+,}, open files {left:+}"
        )
    assert held >= IDLE - 20  # a client of before may have been counted in `files` still
    assert each <= 50 + SLACK_KB / IDLE
    assert times[-1] < 20
    assert grown <= 0.05 * quiet + SLACK_KB
