"""What the crash tests share: a ledger of what was promised, clients that fill it, the lab outside, the relay inside.

The ledger and the far side live in the test's process; the relay in processes of its own, which may be killed.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from relay.account.credential import NewUser
from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.lab.lab import Lab, LabPlan
from relay.opening import open_stores
from relay.settings import load_settings
from relay.signing.keys import KeyType, make_key
from relay.spool.inquiry import QueueFilter
from tests.support.ports import free_port
from tests.support.relay_process import RelayProcess, write_toml

CLIENTS = 8
SUBNET = 230 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
MAX_MAILS = 200_000


@dataclass
class Ledger:
    """What the relay acknowledged, by serial number; `uncertain` was sent and never answered."""

    messages: int
    acknowledged: set[str] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)
    next_serial: int = 0
    returned: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    """How often which code said: not now."""
    pause: float = 0.0
    """Seconds a client rests between two submissions."""

    def end(self) -> None:
        """No more are to be sent."""
        self.messages = self.next_serial
        self.returned.clear()

    def take(self) -> str | None:
        """The next serial number, None when all are used."""
        if self.returned:
            return self.returned.pop()
        if self.next_serial >= self.messages:
            return None
        self.next_serial += 1
        return f"serial-{self.next_serial:06}"

    def give_back(self, serial: str) -> None:
        """Nobody listened, or it was refused for now: nothing was promised."""
        self.returned.append(serial)


def mail(serial: str) -> bytes:
    header = f"From: ann@leak.lab.test\r\nTo: {serial}@plain.lab.test\r\nSubject: {serial}\r\n"
    return header.encode() + b"\r\n" + b"A letter of a few lines.\r\n" * 20


async def smtp_client(port: int, ledger: Ledger) -> None:
    """Submit over SMTP until the ledger is full; a broken connection is opened anew."""
    while (serial := ledger.take()) is not None:
        try:
            async with asyncio.timeout(20):
                await submit(port, serial)
        except (ConnectionRefusedError, RefusedError) as error:
            ledger.give_back(serial)
            if isinstance(error, RefusedError):
                ledger.refused[str(error)[:3]] += 1
            await asyncio.sleep(0.1)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            ledger.uncertain.add(serial)
            await asyncio.sleep(0.05)
        else:
            ledger.acknowledged.add(serial)
        await asyncio.sleep(ledger.pause)


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
            body: dict[str, Any] = {"from": "ann@leak.lab.test", "to": [f"{serial}@plain.lab.test"]}
            if int(serial[-1]) % 2:  # half of them later: these are claimed, and get their prelude then
                body["send_at"] = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
            body["raw"] = base64.b64encode(mail(serial)).decode()
            try:
                async with client.post(f"http://127.0.0.1:{port}/api/v1/messages", json=body) as answer:
                    if answer.status == 202:
                        ledger.acknowledged.add(serial)
                    elif answer.status in (503, 507):
                        ledger.give_back(serial)
                        ledger.refused[str(answer.status)] += 1
                        await asyncio.sleep(0.1)
            except aiohttp.ClientConnectorError:
                ledger.give_back(serial)
                await asyncio.sleep(0.1)
            except (aiohttp.ClientError, TimeoutError):
                ledger.uncertain.add(serial)
                await asyncio.sleep(0.05)
            await asyncio.sleep(ledger.pause)


@dataclass(frozen=True)
class CrashNode:
    """A node and its doors."""

    relay: RelayProcess
    smtp_port: int
    http_port: int


@dataclass
class World:
    """The lab outside, the nodes in their processes, and the key of an API user."""

    lab: Lab
    nodes: tuple[CrashNode, ...]
    key: str

    @property
    def relay(self) -> RelayProcess:
        """The first node, which is the only one on SQLite."""
        return self.nodes[0].relay

    def arrived(self) -> Counter[str]:
        return Counter(one.posting.recipients[0].partition("@")[0] for one in self.lab.inbox.newest_first())

    async def until_empty(self, seconds: float) -> None:
        """Wait until no delivery is left that is not final."""
        # Opened once: each opening asks for the whole schema, and takes its turn with the relay's commits.
        stores = await open_stores(load_settings(self.relay.config), SystemClock(), SystemEntropy())
        try:
            async with asyncio.timeout(seconds):
                while await stores.spool.deliveries(QueueFilter(limit=1)):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            left = Counter(one.state.label for one in await stores.spool.deliveries(QueueFilter(limit=1000)))
            raise AssertionError(f"not finished after {seconds:.0f} s: {dict(left)}, 1,000 looked at") from None
        finally:
            await stores.close()

    async def until_acknowledged(self, ledger: Ledger, count: int, seconds: float = 60) -> None:
        """Wait until so many were acknowledged in all."""
        async with asyncio.timeout(seconds):
            while len(ledger.acknowledged) < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def world(
    folder: Path,
    *,
    workers: int,
    started: bool = True,
    spool: str = "sqlite:spool.db",
    nodes: int = 1,
    far: str = "",
) -> AsyncIterator[World]:
    """The lab, and nodes of `workers` processes each on one spool, started unless `started` is False.

    `far` is a next hop that gets all mail in the lab's place.
    """
    lab = Lab(
        folder,
        SystemClock(),
        SystemEntropy(),
        LabPlan(dns_port=0, http_port=0, smtp_port=0, subnet=SUBNET, max_mails=MAX_MAILS, judge_all=False),
    )
    await lab.start()
    make_key(folder / "dkim_keys", "leak.lab.test", "s1", KeyType.ED25519)
    outside = World(lab, tuple(make_node(folder, lab, n, workers, spool, far) for n in range(nodes)), "")
    stores = await open_stores(load_settings(outside.relay.config), SystemClock(), SystemEntropy())
    created = await stores.accounts.add_user(NewUser("loader", tenant="load", senders=["leak.lab.test"], api_key=True))
    await stores.close()
    outside.key = created.api_key or ""
    try:
        if started:
            await asyncio.gather(*(node.relay.start() for node in outside.nodes))
        yield outside
    finally:
        for node in outside.nodes:
            await node.relay.clean_up()
        await lab.stop()


def make_node(folder: Path, lab: Lab, number: int, workers: int, spool: str, far: str = "") -> CrashNode:
    """The configuration of a node."""
    smtp_port, http_port = free_port(), free_port()
    config = folder / f"relay{number}.toml"
    write_toml(
        config,
        {
            "node": {
                "name": f"mail{number}.leak.lab.test",
                "workers": workers,
                "roles": ["submission", "api", "delivery"],
            },
            "spool": {"url": spool, "minimum_free": 0},
            "submission": {"listen": [f"127.0.0.1:{smtp_port}"], "trusted_networks": ["127.0.0.1/32"]},
            "api": {"listen": f"127.0.0.1:{http_port}"},
            "resolver": {"nameservers": [lab.nameserver]},
            "delivery": {"port": lab.smtp_port, "allow_private_addresses": True, "retry": ["1s"], "smarthost": far},
            "signing": {"keys": "dkim_keys", "domain": [{"domain": "leak.lab.test", "selectors": ["s1"]}]},
            "log": {"level": "warning"},
        },
    )
    return CrashNode(RelayProcess(config, http_port, folder / f"relay{number}.log"), smtp_port, http_port)


async def load(world: World, ledger: Ledger) -> None:
    """Submit over SMTP and HTTP until the ledger is full, across crashes and restarts."""
    nodes = itertools.cycle(world.nodes)
    clients = [smtp_client(next(nodes).smtp_port, ledger) for _ in range(CLIENTS - 2)]
    clients += [http_client(next(nodes).http_port, world.key, ledger) for _ in range(2)]
    await asyncio.gather(*clients)
