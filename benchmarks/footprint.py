"""What a node costs while it idles, and what a letter costs it: memory, processor, wake-ups.

    python -m benchmarks.footprint [--workers 1] [--seconds 60] [--letters 100]

Real processes as an operator runs them, all roles, held to one processor, on a configuration by `leak init`; letters go
by SMTP to the node and from it to a receiver here, its smarthost. Linux only: the figures are those of /proc.
"""

from __future__ import annotations

import argparse
import os
import smtplib
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.ports import free_port

TICKS = os.sysconf("SC_CLK_TCK")
LETTER = b"From: me@foot.example\r\nTo: you@far.example\r\nSubject: Hello\r\n\r\n" + b"A line of a letter.\r\n" * 60
PROGRAM = "import sys; from relay.cli import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all processes of a node together."""

    processes: int
    resident: int
    """Octets, each shared page counted by its share (PSS)."""
    processor: float
    """Seconds since they began."""
    wakes: int


class Receiver:
    """Takes everything and counts."""

    def __init__(self) -> None:
        self.taken = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.taken += 1
        return "250 taken"


def cost(pid: int) -> Cost:
    """What `pid` and its children have cost."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pids = [pid, *map(int, children)]
    resident, processor, wakes = 0, 0.0, 0
    for one in pids:
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        resident += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        processor += (int(fields[11]) + int(fields[12])) / TICKS
        for thread in Path(f"/proc/{one}/task").iterdir():
            status = (thread / "status").read_text()
            wakes += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt"))
    return Cost(len(pids), resident, processor, wakes)


def wait_ready(port: int) -> None:
    """Until the node answers."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return
        time.sleep(0.2)
    raise SystemExit("the node did not start")


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--letters", type=int, default=100)
    given = parser.parse_args()
    receiver = Receiver()
    sink = Controller(receiver, hostname="127.0.0.1", port=free_port())
    sink.start()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    smtp, http, inbound = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="leak-footprint-") as folder:
        leak = [sys.executable, "-c", PROGRAM]
        init = ["init", "--yes", "--domain", "foot.example", "--folder", folder, "--listen", f"127.0.0.1:{smtp}"]
        subprocess.run(
            [*leak, *init, "--inbound", f"127.0.0.1:{inbound}", "--http", f"127.0.0.1:{http}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        environment = {
            **os.environ,
            "LEAK_NODE__WORKERS": str(given.workers),
            "LEAK_RESOLVER__NAMESERVERS": "127.0.0.1:9",
            "LEAK_SUBMISSION__TRUSTED_NETWORKS": '["127.0.0.1/32"]',
            "LEAK_DELIVERY__SMARTHOST": f"127.0.0.1:{sink.port}",
            "LEAK_DELIVERY__ALLOW_PRIVATE_ADDRESSES": "true",
        }
        with Path(folder, "log").open("wb") as log:
            node = subprocess.Popen(
                [*leak, "run", "--config", f"{folder}/relay.toml"], env=environment, stdout=log, stderr=log
            )
        try:
            wait_ready(http)
            time.sleep(5)
            begun = cost(node.pid)
            time.sleep(given.seconds)
            idle = cost(node.pid)
            for _ in range(given.letters):
                with smtplib.SMTP("127.0.0.1", smtp, timeout=60) as client:
                    client.sendmail("me@foot.example", ["you@far.example"], LETTER)
            give_up = time.monotonic() + 120
            while receiver.taken < given.letters and time.monotonic() < give_up:
                time.sleep(0.1)
            busy = cost(node.pid)
        finally:
            node.terminate()
            node.wait()
            sink.stop()
    share = (idle.processor - begun.processor) / given.seconds
    each = (busy.processor - idle.processor) / max(1, given.letters)
    print(
        f"{idle.processes} processes, idle: {idle.resident / 1e6:.0f} MB, {100 * share:.2f} % of one processor, ",
        end="",
    )
    print(f"{(idle.wakes - begun.wakes) / given.seconds:.0f} wake-ups a second")
    print(f"{receiver.taken} letters: {1000 * each:.1f} ms of processor each, {busy.resident / 1e6:.0f} MB after them")
    print(f"500 letters a day: {100 * (share + 500 * each / 86_400):.2f} % of one processor")


if __name__ == "__main__":
    main()
