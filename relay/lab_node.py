"""The lab and a node in one process: what `make run` starts, and what the tests of the whole relay start.

The node is the one of production, built from a configuration that points its resolver at the lab. What the
lab must know of it (its DKIM records, its certificate) is prepared here before it starts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from relay.clock import Clock, SystemClock
from relay.door_tokens import ensure_admin_tokens, ensure_desk_tokens
from relay.errors import ConfigurationError
from relay.fronting import Front
from relay.ids import Entropy, SystemEntropy
from relay.lab.hosts import RELAY_NAME
from relay.lab.lab import Lab, LabPlan
from relay.listeners import Listener, bind_all, wanted_listeners
from relay.log import Log, configure_logging
from relay.node import Node, NodeParts
from relay.node_lock import NodeLock
from relay.notify_socket import NotifySocket
from relay.settings import Listen, Settings, load_settings
from relay.settings_effect import warn_without_effect
from relay.signing.keys import KeyType, key_path, load_key, make_key, public_record, record_name
from relay.worker import Reloader, loop_factory

_PRIVILEGED: Final = 1023


def run_lab(file: Path, front: Front, say: Callable[[str], None]) -> int:
    """Run lab and node until SIGINT or SIGTERM, telling `say` how to use them; the exit status.

    Raises ConfigurationError and LeakError.
    """
    settings = load_settings(file)
    check_loopback(settings)
    configure_logging(settings.log.level, settings.log.format)
    warn_without_effect(settings, Log("lab"))
    with NodeLock(settings), asyncio.Runner(loop_factory=loop_factory(settings)) as runner:
        return runner.run(_live(file, settings, front, say))


def check_loopback(settings: Settings) -> None:
    """Refuse a lab that others could reach: its user `lab` has a password that everybody knows."""
    doors: list[tuple[str, Listen | None]] = [("submission.listen", one) for one in settings.submission.listen]
    doors += [("inbound.listen", one) for one in settings.inbound.listen]
    doors += [
        ("api.listen", settings.api.listen),
        ("web.listen", settings.web.listen),
        ("lab.inbox", settings.lab.inbox),
    ]
    for setting, listen in doors:
        if listen is not None and not listen.loopback:
            raise ConfigurationError(f"{setting}: {listen}: the lab listens on loopback only; write 127.0.0.1")
    if len(settings.resolver.nameservers) != 1 or not settings.resolver.nameservers[0].loopback:
        raise ConfigurationError("resolver.nameservers: the lab needs one address on loopback for its own name server")


def lab_plan(settings: Settings) -> LabPlan:
    """Where the lab listens, from the settings the node has of it."""
    return LabPlan(
        dns_port=settings.resolver.nameservers[0].port,
        http_port=settings.lab.inbox.port,
        smtp_port=settings.delivery.port,
        # 443 needs root, and a configuration that does not know of policies keeps it.
        policy_port=settings.delivery.mta_sts_port if settings.delivery.mta_sts_port > _PRIVILEGED else 0,
        subnet=settings.lab.subnet,
    )


def lab_folder(settings: Settings) -> Path:
    """Where the lab keeps its authority and certificates: beside the spool."""
    path = settings.sqlite_path
    if path is None:
        raise ConfigurationError("spool.url: the lab needs a spool on SQLite")
    return path.parent


def equip(lab: Lab, settings: Settings) -> None:
    """Make the keys that are missing, publish them in the lab's DNS, and issue the doors' certificate."""
    folder = settings.path(settings.signing.keys)
    for entry in settings.signing.domain:
        for selector in entry.selectors:
            path = key_path(folder, entry.domain, selector)
            if not path.exists():
                kind = KeyType.ED25519 if "ed25519" in selector else KeyType.RSA
                make_key(folder, entry.domain, selector, kind)
            lab.zone.publish(record_name(entry.domain, selector), "TXT", public_record(load_key(path)))
    lab.issue("relay", RELAY_NAME, "localhost", "127.0.0.1")


def point_returns(lab: Lab, listeners: Sequence[Listener]) -> None:
    """Tell the lab's world where the relay takes bounces, if it does."""
    for listener in listeners:
        if listener.purpose == "inbound" and not listener.listen.tls:
            lab.point_returns(int(listener.socket.getsockname()[1]))
            return


async def _live(file: Path, settings: Settings, front: Front, say: Callable[[str], None]) -> int:
    clock: Clock = SystemClock()
    entropy: Entropy = SystemEntropy()
    lab = Lab(lab_folder(settings), clock, entropy, lab_plan(settings))
    equip(lab, settings)
    listeners = bind_all(wanted_listeners(settings), 1)[0]
    point_returns(lab, listeners)
    node = Node(settings, NodeParts(0, 1, listeners, clock, entropy, front, lab=True))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop_asked.set)
    reloader = Reloader(file, node, NotifySocket.of(os.environ))
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    try:
        await lab.start()
        await node.start()
        reloader.begin()
        say(greeting(settings, lab, file))
        await node.stop_asked.wait()
        say("Stopping: what is under way is finished (25 seconds at most), the rest waits in the spool.")
        await reloader.finish()
    finally:
        await node.stop()
        await lab.stop()
    return 0


def token_doors(settings: Settings) -> tuple[str, str]:
    """Where the operator's pages and the moderators' desk are, and what opens each; "" without them."""
    if settings.api.admin_listen is None:
        return "", ""
    folder, entropy = settings.path(settings.node.secrets), SystemEntropy()
    doors = (("admin", ensure_admin_tokens(folder, entropy)), ("desk", ensure_desk_tokens(folder, entropy)))
    told = (
        f"http://{settings.api.admin_listen}/{path}   token {next(iter(tokens.values()), '')}" for path, tokens in doors
    )
    return next(told), next(told)


def greeting(settings: Settings, lab: Lab, file: Path) -> str:
    """What a newcomer needs to know, once everything runs."""
    program = Path(sys.argv[0]) if Path(sys.argv[0]).name == "leak" else Path("leak")
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    clear = next((one for one in settings.submission.listen if not one.tls), None)
    implicit = next((one for one in settings.submission.listen if one.tls), None)
    admin, desk = token_doors(settings)
    rows = [
        ("Write a letter", f"http://{settings.web.listen}/"),
        ("Read it in the lab's inbox", f"{lab.inbox_url}/"),
        ("The operator's pages", admin),
        ("The moderators' desk", desk),
        ("HTTP API (key: lab)", f"http://{settings.api.listen}/api/v1/messages"),
        ("SMTP submission (STARTTLS)", f"{clear}   user lab, password lab" if clear else ""),
        ("SMTP submission (TLS)", str(implicit).removesuffix("/tls") if implicit else ""),
        ("Bounces come in at", str(settings.inbound.listen[0]) if settings.inbound.listen else ""),
        ("The lab's CA file", str(lab.ca_file.resolve())),
        ("The lab's DNS", lab.nameserver),
        ("Commands", f"{program} --config {file} queue"),
    ]
    lines = "\n".join(f"  {name:<28} {value}" for name, value in rows if value)
    return f"\nThe lab is running. Letters stay on this machine.\n\n{lines}\n\nCtrl-C stops it.\n"
