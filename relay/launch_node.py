"""The node of the scenario `launch-2014`, in a process of its own: its configuration, its start, its end, its program.

It is the node of production; its front alone lives in the replay's time.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp

from relay import garbage
from relay.clock import SystemClock
from relay.errors import LeakError
from relay.fronting import Front, FrontParts
from relay.ids import SystemEntropy
from relay.lab.lab import Lab
from relay.lab.launch.plan import DATA_CENTRES, TOR_EXITS
from relay.lab.launch.time import ReplayClock
from relay.lab_node import equip
from relay.listeners import bind_all, wanted_listeners
from relay.log import configure_logging
from relay.node import Node, NodeParts
from relay.settings import Settings, load_settings
from relay.worker import loop_factory

_PATIENCE: Final = 300.0
_ROUNDS: Final = timedelta(milliseconds=250)
"""Hours pass in a second here: letters of one moment are not to leave with those of the next."""
_COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from relay.cli.lab import serve; sys.exit(serve())")


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """How much of it, how fast, and where: `folder` gets the node's files."""

    folder: Path
    letters: int = 60_000
    minutes: float = 15
    seed: int = 2014
    admission_per_day: int = 0
    """0: a quarter of all letters, so that the last day meets its ceiling."""


def prepare(plan: LaunchPlan, lab: Lab) -> tuple[Settings, int]:
    """The node's configuration and what it needs to find; the port its front will have."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (plan.folder / "sealed" / "public").mkdir(parents=True, exist_ok=True)
    (plan.folder / "tor.txt").write_text("\n".join(TOR_EXITS) + "\n", encoding="ascii")
    (plan.folder / "hosts.txt").write_text("\n".join(DATA_CENTRES) + "\n", encoding="ascii")
    most = plan.admission_per_day or max(20, plan.letters // 4)
    file = plan.folder / "launch.toml"
    file.write_text(_CONFIGURATION.format(port=port, dns=lab.nameserver, smtp=lab.smtp_port, most=most), "utf-8")
    settings = load_settings(file)
    equip(lab, settings)
    return settings, port


_CONFIGURATION: Final = """
[node]
name = "mail.leak.lab.test"
workers = 1
secrets = "secrets"
roles = ["web", "api", "delivery"]
[spool]
url = "sqlite:spool.db"
minimum_free = "20 MB"
[api]
listen = "127.0.0.1:{port}"
[resolver]
nameservers = ["{dns}"]
[delivery]
port = {smtp}
allow_private_addresses = true
ca_file = "ca.pem"
retry = ["2s", "5s"]
expire_after = "20s"
[signing]
keys = "dkim_keys"
threads = 2
[[signing.domain]]
domain = "leak.lab.test"
selectors = ["lab-rsa", "lab-ed25519"]
[web]
listen = "127.0.0.1:{port}"
base_url = "http://127.0.0.1:{port}"
trusted_proxies = ["127.0.0.1/32"]
admission_per_day = {most}
tor_lists = ["tor.txt"]
data_centre_lists = ["hosts.txt"]
large_domains = ["inbox.lab.test", "plain.lab.test", "two-mx.lab.test", "old.lab.test", "no-mx.lab.test"]
sealed_keys = "sealed/public"
[log]
level = "error"
format = "text"
"""


async def start_node(plan: LaunchPlan, port: int) -> asyncio.subprocess.Process:
    """Start the node's process and wait until it is ready. Raises LeakError."""
    log = (plan.folder / "node.log").open("ab")
    try:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            str(plan.folder / "launch.toml"),
            str(plan.folder / "clock"),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    finally:
        log.close()
    end = time.monotonic() + _PATIENCE
    async with aiohttp.ClientSession() as session:
        while process.returncode is None and time.monotonic() < end:
            try:
                async with asyncio.timeout(5), session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return process
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.1)
    await stop_node(process)
    raise LeakError(f"the node did not start; see {plan.folder / 'node.log'}")


async def stop_node(process: asyncio.subprocess.Process) -> None:
    """End it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(45):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def serve(file: Path, clock_file: Path, front: Front) -> int:
    """The node's process: one worker whose front lives in the replay's time. Raises LeakError."""
    settings = load_settings(file)
    configure_logging(settings.log.level, settings.log.format)
    with asyncio.Runner(loop_factory=loop_factory(settings)) as runner:
        return runner.run(_serve(settings, ReplayClock(clock_file), front))


async def _serve(settings: Settings, clock: ReplayClock, front: Front) -> int:
    def in_replay(parts: FrontParts) -> Any:
        return front(replace(parts, clock=clock, rounds=_ROUNDS))

    listeners = bind_all(wanted_listeners(settings), 1)[0]
    node = Node(settings, NodeParts(0, 1, listeners, SystemClock(), SystemEntropy(), in_replay))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop_asked.set)
    # Nothing is ever written to it: it ends when whoever plays the letters is gone, however that came.
    loop.add_reader(sys.stdin.fileno(), node.stop_asked.set)
    try:
        await node.start()
        garbage.settle()
        await node.stop_asked.wait()
    finally:
        await node.stop()
    return 0
