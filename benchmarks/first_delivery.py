"""From `leak run` to the first delivery: `python -m benchmarks.first_delivery [--waiting 10000]`.

Kills a relay with a full queue with -9 and starts it again: how long until it is ready, until the first letter reaches
the far side, what the relay holds in memory then, and how long `leak queue` takes to sum the queue up.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from relay.lab.dns import NameServer
from relay.lab.zone import Zone
from tests.support.ports import free_port
from tests.support.relay_process import COMMAND, ROOT, RelayProcess, write_toml

WORKERS = 2
DOMAINS = 200


@dataclass(frozen=True)
class Start:
    """Seconds since the start, megabytes of the largest process, seconds of the whole command.

    `processor` is what supervisor and one worker had used by the first delivery: the least the start can take, however
    little of the machine was ours.
    """

    ready: float
    first_delivery: float
    processor: float
    memory: float
    queue: float

    def __str__(self) -> str:
        return (
            f"started again after kill -9: ready in {self.ready:.1f} s, first delivery in {self.first_delivery:.1f} s"
            f" (processor time {self.processor:.1f} s), {self.memory:.0f} MB the largest process;"
            f" `leak queue` {self.queue:.1f} s"
        )


class SlowSink(asyncio.Protocol):
    """Takes a letter a connection and remembers when the first came."""

    first: asyncio.Future[float]

    def __init__(self) -> None:
        self._in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        for line in data.split(b"\r\n")[:-1]:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if self._in_content:
            if line == b".":
                self._in_content = False
                if not self.first.done():
                    self.first.set_result(time.monotonic())
                self._transport.write(b"250 2.0.0 Ok\r\n")
        elif line == b"DATA":
            self._in_content = True
            self._transport.write(b"354 go on\r\n")
        else:
            self._transport.write(b"221 bye\r\n" if line == b"QUIT" else b"250 Ok\r\n")


async def start_relay(folder: Path, url: str) -> Start:
    """Start on the spool at `url`, kill, start again; the figures of the second start."""
    zone = Zone()
    for number in range(DOMAINS):
        zone.publish(f"d{number}.lab.test", "MX", f"10 mx{number}.lab.test.")
        zone.publish(f"mx{number}.lab.test", "A", "127.0.0.1")
    names = NameServer(zone, "127.0.0.1", 0)
    await names.start()
    loop = asyncio.get_running_loop()
    SlowSink.first = loop.create_future()
    sink = await loop.create_server(SlowSink, "127.0.0.1", 0)
    http = free_port()
    relay = RelayProcess(
        configure(folder, url, names.port, sink.sockets[0].getsockname()[1], http), http, folder / "log"
    )
    try:
        await relay.start()
        await asyncio.wait_for(SlowSink.first, 60)
        for orphan in await relay.kill_supervisor():
            os.kill(orphan, signal.SIGKILL)
        await asyncio.sleep(0.2)  # what they had sent has arrived
        SlowSink.first = loop.create_future()
        begun = time.monotonic()
        await relay.start()
        ready = time.monotonic() - begun
        first = await asyncio.wait_for(SlowSink.first, 120) - begun
        assert relay.process is not None
        processor = processor_seconds(relay.process.pid) + min(map(processor_seconds, relay.workers))
        await asyncio.sleep(5)
        memory = max(map(anonymous_megabytes, relay.workers))
        return Start(ready, first, processor, memory, await queue_seconds(relay.config))
    finally:
        await relay.kill_supervisor()
        await relay.clean_up()
        sink.close()
        await names.stop()


def configure(folder: Path, url: str, dns: int, smtp: int, http: int) -> Path:
    config = folder / "relay.toml"
    write_toml(
        config,
        {
            "node": {"name": "mail.leak.lab.test", "workers": WORKERS, "roles": ["submission", "api", "delivery"]},
            "spool": {"url": url, "minimum_free": 0},
            "submission": {"listen": [f"127.0.0.1:{free_port()}"]},
            "api": {"listen": f"127.0.0.1:{http}"},
            "resolver": {"nameservers": [f"127.0.0.1:{dns}"]},
            "delivery": {"port": smtp, "allow_private_addresses": True},
            "log": {"level": "warning"},
        },
    )
    return config


def anonymous_megabytes(pid: int) -> float:
    """Memory of a process that is its own, not the shared libraries'."""
    found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def queue_seconds(config: Path) -> float:
    """How long the command takes, its start included."""
    begun = time.monotonic()
    command = await asyncio.create_subprocess_exec(
        *COMMAND, "queue", "--config", str(config), cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    if await command.wait() != 0:
        raise SystemExit("leak queue failed")
    return time.monotonic() - begun


def main() -> None:
    from benchmarks.growth import grow

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=10_000)
    waiting = parser.parse_args().waiting
    with tempfile.TemporaryDirectory(dir=os.environ.get("LEAK_BENCH_FOLDER")) as name:
        url = f"sqlite:{name}/spool.db"
        asyncio.run(grow(Path(name), url, None, [waiting]))
        print(f"  {asyncio.run(start_relay(Path(name), url))}")


if __name__ == "__main__":
    main()
