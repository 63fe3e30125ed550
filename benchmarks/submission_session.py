"""CPU time of the submission door for messages of 3 kB over one connection, and the memory of an idle session.

Run it as `python -m benchmarks.submission_session`; it takes some seconds. Intake answers at once, so the
figure is the cost of door and client together, in one loop: protocol, parsing, DATA and the reply. Lockstep
waits for each reply, pipelined sends MAIL, RCPT and DATA in one write.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
import tracemalloc
from collections.abc import Callable

import uvloop

from relay.account.identity import Access, Identity
from relay.clock import SystemClock
from relay.engine.submission import Accepted, Refusal, Submission
from relay.ids import SpoolId
from relay.submission.context import SubmissionContext
from relay.submission.options import SubmissionOptions
from relay.submission.server import SubmissionServer
from relay.submission.session import SubmissionSession

MESSAGES = 3000
SESSIONS = 400
CONTENT = b"Subject: bench\r\n\r\n" + b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\r\n" * 46
MAIL = b"MAIL FROM:<ann@leak.example> SIZE=3100 BODY=8BITMIME\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
DATA = b"DATA\r\n"
TRUSTED = Identity(1, "bench", None, "trusted", ("*",))


class InstantIntake:
    """Takes everything, keeps nothing."""

    async def submit(self, submission: Submission) -> Accepted | Refusal:
        return Accepted(SpoolId("0" * 26), ())

    def may_send_from(self, identity: Identity, envelope_sender: str) -> Refusal | None:
        return None

    def receive(self) -> None:
        return None

    def has_room(self, size: int) -> Refusal | None:
        return None


class NoAccounts:
    """Nobody has a password."""

    async def by_password(self, name: str, password: str, peer: str) -> Identity | None:
        return None

    async def by_key(self, key: str, peer: str, access: Access = Access.TENANT) -> Identity | None:
        return None


async def _expect(reader: asyncio.StreamReader, *codes: bytes) -> None:
    for code in codes:
        line = await reader.readuntil(b"\r\n")
        if not line.startswith(code):
            raise RuntimeError(f"expected {code!r}, got {line!r}")


async def _lockstep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for command, code in ((MAIL, b"250"), (RCPT, b"250"), (DATA, b"354"), (CONTENT + b".\r\n", b"250")):
        writer.write(command)
        await _expect(reader, code)


async def _pipelined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(MAIL + RCPT + DATA)
    await _expect(reader, b"250", b"250", b"354")
    writer.write(CONTENT + b".\r\n")
    await _expect(reader, b"250")


async def _measure() -> dict[str, float]:
    options = SubmissionOptions(
        "bench.example", False, (ipaddress.ip_network("127.0.0.0/8"),), 25_000_000, 1000, 1000, 1000, 300.0, None
    )
    server = SubmissionServer(options, InstantIntake(), NoAccounts(), SystemClock(), TRUSTED)
    listener = socket.create_server(("127.0.0.1", 0))
    await server.start([(listener, False)])
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    await _expect(reader, b"220")
    writer.write(b"EHLO bench.example\r\n")
    while not (await reader.readuntil(b"\r\n")).startswith(b"250 "):
        pass
    figures = {}
    for name, one in (("lockstep", _lockstep), ("pipelined", _pipelined)):
        for _ in range(200):
            await one(reader, writer)
        began = time.process_time()
        for _ in range(MESSAGES):
            await one(reader, writer)
        figures[name] = (time.process_time() - began) / MESSAGES * 1e6
    writer.close()
    await server.drain(1.0)
    return figures


async def _idle_memory() -> float:
    """KiB an idle session takes in this process, without the kernel's buffers."""
    context = SubmissionContext(
        SubmissionOptions("bench.example", False, (), 25_000_000, 1000, 5000, 5000, 300.0, None),
        InstantIntake(),
        NoAccounts(),
        SystemClock(),
        TRUSTED,
    )
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    server = await loop.create_server(lambda: SubmissionSession(context, loop), sock=listener, backlog=2 * SESSIONS)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    clients = []
    for _ in range(SESSIONS):
        client = socket.create_connection(listener.getsockname())
        clients.append(client)
    while len(context.sessions) < SESSIONS:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for client in clients:
        client.close()
    server.close()
    while context.sessions:
        await asyncio.sleep(0.05)
    return (after - before) / SESSIONS / 1024


def _report(loop: str, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        figures = runner.run(_measure())
        memory = runner.run(_idle_memory())
    for name, micros in figures.items():
        print(f"{loop:8} {name:10} {micros:6.1f} µs CPU a message of {len(CONTENT)} octets")
    print(f"{loop:8} idle       {memory:6.1f} KiB a session")


if __name__ == "__main__":
    _report("uvloop", uvloop.new_event_loop)
    _report("asyncio", None)
