"""kill -9 of workers and of the supervisor at random moments under load: everything acknowledged arrives (R01).

The ledger of what was acknowledged, and the far side that counts what came, live outside the relay's processes.
The test prints what it found: acknowledged, lost, duplicated, and how much was in flight at the kills.
`LEAK_CRASH_KILLS` and `LEAK_CRASH_MESSAGES` make it longer: 200 and 20000 are the figures of the documents.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.lab.lab import Lab, LabPlan
from relay.opening import open_stores
from relay.settings import load_settings
from relay.signing.keys import KeyType, make_key
from relay.spool.contract import QueueFilter
from tests.support.relay_process import COMMAND, ROOT, RelayProcess, free_port, is_alive, write_toml

KILLS = int(os.environ.get("LEAK_CRASH_KILLS", "10"))
MESSAGES = int(os.environ.get("LEAK_CRASH_MESSAGES", "1000"))
CLIENTS = 8
WORKERS = 2
SESSIONS_PER_WORKER = 10
SUBNET = 230


@dataclass
class Ledger:
    """What the relay acknowledged, by serial number; `uncertain` was sent and never answered."""

    acknowledged: set[str] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)
    next_serial: int = 0

    def take(self) -> str | None:
        if self.next_serial >= MESSAGES:
            return None
        self.next_serial += 1
        return f"serial-{self.next_serial:06}"


def mail(serial: str) -> bytes:
    header = f"From: ann@leak.lab.test\r\nTo: {serial}@plain.lab.test\r\nSubject: {serial}\r\n"
    return header.encode() + b"\r\n" + b"A letter of a few lines.\r\n" * 20


async def smtp_client(port: int, ledger: Ledger) -> None:
    """Submit over SMTP until the ledger is full; a broken connection is opened anew."""
    while (serial := ledger.take()) is not None:
        try:
            async with asyncio.timeout(20):
                await submit(port, serial)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, RefusedError) as error:
            if not isinstance(error, RefusedError):
                ledger.uncertain.add(serial)
            await asyncio.sleep(0.05)
        else:
            ledger.acknowledged.add(serial)


class RefusedError(Exception):
    """The relay said no: nothing was promised."""


async def submit(port: int, serial: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        commands = (
            b"EHLO client.example\r\n",
            b"MAIL FROM:<ann@leak.lab.test>\r\n",
            f"RCPT TO:<{serial}@plain.lab.test>\r\n".encode(),
            b"DATA\r\n",
            mail(serial) + b".\r\n",
        )
        await reply(reader)
        for command in commands:
            writer.write(command)
            await reply(reader)
    finally:
        writer.close()


async def reply(reader: asyncio.StreamReader) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        if line[3:4] == b" ":
            break
    if line[:1] not in b"23":
        raise RefusedError(line.decode())


async def http_client(port: int, key: str, ledger: Ledger) -> None:
    """Submit over HTTP until the ledger is full."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(20)) as client:
        while (serial := ledger.take()) is not None:
            body = {"from": "ann@leak.lab.test", "to": [f"{serial}@plain.lab.test"]}
            body["raw"] = base64.b64encode(mail(serial)).decode()
            try:
                async with client.post(f"http://127.0.0.1:{port}/api/v1/messages", json=body) as answer:
                    if answer.status == 202:
                        ledger.acknowledged.add(serial)
            except (aiohttp.ClientError, TimeoutError):
                ledger.uncertain.add(serial)
                await asyncio.sleep(0.05)


@dataclass
class World:
    """The lab outside, the relay in its processes, and the key of an API user."""

    lab: Lab
    relay: RelayProcess
    smtp_port: int
    http_port: int
    key: str

    def arrived(self) -> Counter[str]:
        return Counter(one.posting.recipients[0].partition("@")[0] for one in self.lab.inbox.newest_first())

    async def unfinished(self) -> int:
        settings = load_settings(self.relay.config)
        stores = await open_stores(settings, SystemClock(), SystemEntropy())
        try:
            return len(await stores.spool.deliveries(QueueFilter(limit=MESSAGES)))
        finally:
            await stores.close()

    async def until_empty(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while await self.unfinished():
                await asyncio.sleep(0.3)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    lab = Lab(
        folder,
        SystemClock(),
        SystemEntropy(),
        LabPlan(dns_port=0, http_port=0, smtp_port=0, subnet=SUBNET, max_mails=10 * MESSAGES, judge_all=False),
    )
    await lab.start()
    smtp_port, http_port = free_port(), free_port()
    config = folder / "relay.toml"
    make_key(folder / "dkim_keys", "leak.lab.test", "s1", KeyType.ED25519)
    write_toml(
        config,
        {
            "node": {"name": "mail.leak.lab.test", "workers": WORKERS, "roles": ["submission", "api", "delivery"]},
            "spool": {"url": "sqlite:spool.db", "minimum_free": 0},
            "submission": {"listen": [f"127.0.0.1:{smtp_port}"], "trusted_networks": ["127.0.0.1/32"]},
            "api": {"listen": f"127.0.0.1:{http_port}"},
            "resolver": {"nameservers": [lab.nameserver]},
            "delivery": {"port": lab.smtp_port, "allow_private_addresses": True, "retry": ["1s"]},
            "signing": {"keys": "dkim_keys", "domain": [{"domain": "leak.lab.test", "selectors": ["s1"]}]},
            "log": {"level": "warning"},
        },
    )
    stores = await open_stores(load_settings(config), SystemClock(), SystemEntropy())
    created = await stores.accounts.add_user("loader", tenant="load", senders=["leak.lab.test"], api_key=True)
    await stores.close()
    relay = RelayProcess(config, http_port, folder / "relay.log")
    try:
        await relay.start()
        yield World(lab, relay, smtp_port, http_port, created.api_key or "")
    finally:
        await relay.clean_up()
        await lab.stop()


async def load(world: World, ledger: Ledger) -> None:
    clients = [smtp_client(world.smtp_port, ledger) for _ in range(CLIENTS - 2)]
    clients += [http_client(world.http_port, world.key, ledger) for _ in range(2)]
    await asyncio.gather(*clients)


async def kill_now_and_then(world: World, chance: random.Random, ledger: Ledger) -> int:
    """Kill workers, and every fifth time the supervisor, while the load goes on; the number of kills."""
    kills = 0
    while kills < KILLS and ledger.next_serial < MESSAGES:
        await asyncio.sleep(chance.uniform(0.1, 0.9))
        kills += 1
        if kills % 5:
            world.relay.kill_worker(chance.randrange(WORKERS))
        else:
            await world.relay.kill_supervisor()
            await world.relay.start()
    return kills


@pytest.mark.timeout(60 + 6 * KILLS + MESSAGES // 20)
async def test_everything_acknowledged_arrives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 30)
    ledger = Ledger()
    async with world(tmp_path) as outside:
        loading = asyncio.create_task(load(outside, ledger))
        kills = await kill_now_and_then(outside, random.Random(seed), ledger)
        await loading
        await outside.until_empty(60 + MESSAGES / 50)
        assert await outside.relay.terminate() == 0
        arrived = outside.arrived()
    lost = ledger.acknowledged - set(arrived)
    duplicated = sum(count - 1 for count in arrived.values())
    bound = kills * WORKERS * SESSIONS_PER_WORKER
    figures = {
        "seed": seed,
        "kills": kills,
        "acknowledged": len(ledger.acknowledged),
        "uncertain": len(ledger.uncertain),
        "lost": len(lost),
        "duplicated": duplicated,
        "in flight at most": bound,
    }
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    assert len(ledger.acknowledged) > MESSAGES / 2
    assert not lost
    assert duplicated <= bound
    assert set(arrived) <= ledger.acknowledged | ledger.uncertain


async def test_workers_end_within_a_second_of_their_supervisor(tmp_path: Path) -> None:
    async with world(tmp_path) as outside:
        orphans = await outside.relay.kill_supervisor()
        assert len(orphans) == WORKERS
        async with asyncio.timeout(3):
            while any(is_alive(pid) for pid in orphans):
                await asyncio.sleep(0.02)


async def test_a_second_node_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as outside:
        second = await asyncio.create_subprocess_exec(
            *COMMAND, "run", "--config", str(outside.relay.config), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(15):
            _, words = await second.communicate()
        assert second.returncode == 1
        assert b"another node" in words
        await outside.relay.ready()


async def test_sigterm_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    # R09
    ledger = Ledger()
    async with world(tmp_path) as outside:
        loading = asyncio.create_task(load(outside, ledger))
        await asyncio.sleep(1.5)
        assert await outside.relay.terminate() == 0
        await outside.relay.start()
        await loading
        await outside.until_empty(60)
        assert await outside.relay.terminate() == 0
        arrived = outside.arrived()
    assert ledger.acknowledged <= set(arrived)
    assert sum(count - 1 for count in arrived.values()) == 0
