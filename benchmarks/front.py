"""The front under the load of the launch's busiest hour: how long its pages take, and what a letter costs.

Letters come at an even pace, each by a visitor who opens the form, looks at the preview and sends; node and lab are
those of `leak lab scenario launch-2014`. Reported: percentiles of the answers as a visitor behind no network sees
them, fsync included, and the processor time of the node, and of all that is played around it, for a letter from form
to far side. Another version is measured in the same way by `PYTHONPATH=its-folder python -P benchmarks/front.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import aiohttp

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.lab.lab import Lab, LabPlan
from relay.lab.launch.plan import Kind, letters
from relay.lab.launch.report import share
from relay.lab.launch.time import ReplayClock
from relay.lab.launch.visitors import Fate, Visitors
from relay.launch_node import LaunchPlan, prepare, start_node, stop_node

WARM_UP = 20
"""Letters that are not counted: a process's first pages compile their templates."""


async def measure(folder: Path, per_minute: int, count: int) -> None:
    """Send `count` letters, `per_minute` a minute, and print what was measured."""
    plan = LaunchPlan(folder, admission_per_day=1_000_000)
    lab = Lab(
        folder,
        SystemClock(),
        SystemEntropy(),
        LabPlan(dns_port=0, http_port=0, smtp_port=0, subnet=15, max_mails=50, judge_all=False),
    )
    clock = ReplayClock.make(folder / "clock")
    await lab.start()
    try:
        _, port = prepare(plan, lab)
        node = await start_node(plan, port)
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                await _send(Visitors(f"http://127.0.0.1:{port}", session), clock, per_minute, count, node.pid)
        finally:
            await stop_node(node)
    finally:
        await lab.stop()


async def _send(visitors: Visitors, clock: ReplayClock, per_minute: int, count: int, pid: int) -> None:
    source = (one for one in letters(1, 20 * (count + WARM_UP)) if one.kind is Kind.ORDINARY)
    # Every visitor opens the form, and nobody is the reader of two letters.
    written = [replace(next(source), number=5 * n, to=f"reader{n}@inbox.lab.test") for n in range(count + WARM_UP)]
    for letter in written[:WARM_UP]:
        await visitors.play(letter)
    visitors.times.gets.clear()
    visitors.times.posts.clear()
    before, ours, began = _cpu(pid), time.process_time(), time.monotonic()
    playing = []
    for n, letter in enumerate(written[WARM_UP:]):
        await asyncio.sleep(max(0.0, began + n * 60 / per_minute - time.monotonic()))
        clock.advance(time.monotonic() - began)
        playing.append(asyncio.create_task(visitors.play(letter)))
    sent = sum(one.fate is Fate.SENT for one in await asyncio.gather(*playing))
    seconds, spent, beside = time.monotonic() - began, _cpu(pid) - before, time.process_time() - ours
    print(f"{sent} of {count} letters sent in {seconds:.0f} s, {60 * sent / seconds:.0f} a minute")
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, values in (("GET the form", visitors.times.gets), ("POST preview or send", visitors.times.posts)):
        marks = ", ".join(f"p{round(100 * part)} {share(values, part):.0f} ms" for part in (0.5, 0.95, 0.99))
        print(f"{name:<22} {len(values):>6} answers: {marks}")
    each = spent / max(sent, 1)
    print(f"the node's processor time: {1000 * each:.1f} ms a letter, {100 * spent / seconds:.0f} % of a core")
    print(f"that of the visitors, the name servers and the hosts: {1000 * beside / max(sent, 1):.1f} ms a letter")
    print(f"20,000 letters a day are {20_000 * each / 60:.0f} minutes of a core")


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-minute", type=int, default=140)
    parser.add_argument("--letters", type=int, default=140)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leak-front-") as folder:
        asyncio.run(measure(Path(folder), options.per_minute, options.letters))


if __name__ == "__main__":
    main()
