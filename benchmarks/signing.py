"""How fast the signer is: `python -m benchmarks.signing [--messages 1000]`; a few seconds.

RSA-2048 and Ed25519 signatures on 4 KiB messages, on the loop and in threads, alone and with 20 under way, then
canonicalisation of clean and of hostile bodies.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from relay.signing.canonical import relaxed_body
from relay.signing.keys import KeyType, make_key
from relay.signing.signer import DkimSigner, DomainKeys

_HEADER = (
    b"From: hello@leak.example\r\nTo: ann@example.org\r\nSubject: A letter\r\n"
    b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <abc@leak.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)
_BODY = b"You left the tap open again, and everybody in the office knows it but you.\r\n" * 52
_NOW = datetime(2026, 11, 21, tzinfo=UTC)


async def _sign(folder: Path, selectors: Sequence[str], threads: int, together: int, messages: int) -> None:
    signer = DkimSigner(folder, [DomainKeys("leak.example", tuple(selectors))], threads)
    left = messages

    async def lane() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await signer.sign("leak.example", _HEADER, _BODY, _NOW)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(lane() for _ in range(together)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    signer.close()
    place = f"{threads} threads" if threads else "on the loop"
    figures = f"{messages / wall:8.0f}/s  wall {wall / messages * 1e6:5.0f} us  cpu {cpu / messages * 1e6:5.0f} us"
    print(f"{'+'.join(selectors):14} {place:12} {together:3} together {figures}")


def _canonical(name: str, body: bytes) -> None:
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < 0.3:
        relaxed_body(body)
        rounds += 1
    print(f"relaxed body, {name:26} {(time.perf_counter() - started) / rounds * 1e6:8.1f} us")


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1000)
    messages = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_key(folder, "leak.example", "rsa", KeyType.RSA)
        make_key(folder, "leak.example", "ed25519", KeyType.ED25519)
        for selectors in (["rsa"], ["ed25519"], ["rsa", "ed25519"]):
            for threads, together in ((0, 1), (1, 1), (1, 20), (2, 20)):
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_sign(folder, selectors, threads, together, messages))
    bodies = {
        "4 KiB clean": _BODY,
        "1 MiB clean": (b"x" * 76 + b"\r\n") * 13_443,
        "1 MiB of double spaces": b"a  b" * 262_144,
        "1 MiB of 990-space lines": (b" " * 990 + b"x\r\n") * 1056,
        "1 MiB of spaces": b" " * 1_048_576,
    }
    for name, body in bodies.items():
        _canonical(name, body)


if __name__ == "__main__":
    main()
