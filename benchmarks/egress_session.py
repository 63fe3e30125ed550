"""CPU of one pipelined transaction on a warm session: our side and a tiny sink in one process, over loopback.

    python benchmarks/egress_session.py [--messages 5000] [--loop asyncio]

Prints microseconds of CPU and of wall time a transaction; bounded, a few seconds. The sink answers a whole group
with one write and counts final dots, so that what is measured is nearly all ours.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import cast

from relay.clock import SystemClock
from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.contract import Session, Transaction
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.egress.timeouts import Timeouts
from relay.mail.address import parse_address
from relay.mail.envelope import Recipient
from relay.policy.outcome import Outcome, Result
from relay.policy.route import Candidate
from relay.policy.way import Source
from relay.smtp.transcript import Transcript

HEADER = b"".join(b"X-Header-%d: some words of a plausible length\r\n" % n for n in range(12)) + b"\r\n"
BODY = b"A line of a letter, as long as lines of letters are.\r\n" * 45


class Sink(asyncio.Protocol):
    """Answers what a pipelining client sends, without looking closely."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._in_content = False
        self._taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._say(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        if self._in_content:
            if data.endswith(b"\r\n.\r\n"):
                self._in_content = False
                self._taken += 1
                self._say(b"250 2.0.0 Ok: queued as %08X\r\n" % self._taken)
        elif data.startswith(b"EHLO"):
            self._say(b"250-sink\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n")
        elif data.startswith(b"QUIT"):
            self._say(b"221 bye\r\n")
        else:
            self._in_content = True
            self._say(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n")

    def _say(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def measure(messages: int) -> tuple[float, float]:
    """CPU and wall seconds of `messages` transactions after a warm-up."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = SystemClock()
    dialer = SmtpDialer(TlsMeans(client_context(), TrustAnchors(())), timeouts=Timeouts(), clock=clock)
    candidate, source = Candidate("mx.example", "127.0.0.1", port), Source("one", "", "out.example")
    session = await dialer.dial(candidate, source, Transcript(clock.monotonic(), []))
    if isinstance(session, Outcome):
        raise SystemExit(f"no session: {session.reply}")
    await send(session, clock, messages // 10)
    cpu, wall = time.process_time(), time.perf_counter()
    await send(session, clock, messages)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await session.quit()
    server.close()
    await server.wait_closed()
    return cpu, wall


async def send(session: Session, clock: SystemClock, count: int) -> None:
    """`count` messages to one recipient each."""
    sender = parse_address("token+abc@bounces.example")
    recipients = (Recipient(parse_address("someone@example.org")),)
    content = (HEADER, BODY)
    size = len(HEADER) + len(BODY)
    for _ in range(count):
        transaction = Transaction(sender, recipients, content, size, lambda: True)
        (outcome,) = await session.send(transaction, Transcript(clock.monotonic(), []))
        if outcome.result is not Result.DELIVERED:
            raise SystemExit(f"not delivered: {outcome.reply}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    options = parser.parse_args()
    if options.loop == "uvloop":
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    else:
        runner = asyncio.Runner()
    with runner:
        cpu, wall = runner.run(measure(options.messages))
    count, size = options.messages, len(HEADER) + len(BODY)
    sys.stdout.write(
        f"{options.loop}: {count} transactions of {size} octets: "
        f"{cpu / count * 1e6:.0f} us CPU, {wall / count * 1e6:.0f} us wall each\n"
    )


if __name__ == "__main__":
    main()
