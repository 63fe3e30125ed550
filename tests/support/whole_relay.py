"""A whole relay against the lab, in one process and on free ports: what the scenarios and the end-to-end tests use.

The node is the production one; only resolver, port, `allow_private_addresses` and the retry waits differ.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import smtplib
import ssl
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from relay.cli.front import load_front
from relay.clock import SystemClock
from relay.ids import SpoolId, SystemEntropy
from relay.lab.lab import Lab, LabPlan
from relay.lab.mailbox import Arrival
from relay.lab_node import equip, point_returns
from relay.listeners import Listener, bind_all, wanted_listeners
from relay.node import Node, NodeParts
from relay.opening import Stores
from relay.policy.state import State
from relay.private_file import make_private_folder, write_private_file
from relay.settings import Settings, settings_from
from relay.signing.keys import KeyType, key_path, make_key
from relay.spool.inquiry import MessageView
from tests.support.moderation import sharing_moderator

_SUBNETS = itertools.count(10 + 40 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:] or 0) % 200)


@dataclass
class WholeRelay:
    """A running lab and node."""

    settings: Settings
    lab: Lab
    node: Node
    smtp_port: int
    smtps_port: int
    http_port: int
    inbound_port: int = 0
    desk_port: int = 0

    @property
    def stores(self) -> Stores:
        assert self.node._stores is not None
        return self.node._stores

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def trust(self) -> ssl.SSLContext:
        """A client context that trusts the lab's authority."""
        return ssl.create_default_context(cafile=str(self.lab.ca_file))

    async def send(self, sender: str, recipients: Sequence[str], content: bytes, **options: Any) -> SpoolId:
        """Submit over SMTP with STARTTLS and AUTH; the id of the reply to the dot."""
        return await asyncio.to_thread(self._send, sender, recipients, content, options)

    def _send(self, sender: str, recipients: Sequence[str], content: bytes, options: dict[str, Any]) -> SpoolId:
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as client:
            client.starttls(context=self.trust())
            client.login("lab", "lab")
            code, text = client.mail(sender, options.get("mail", []))
            assert code == 250, (code, text)
            for recipient in recipients:
                code, text = client.rcpt(recipient, options.get("rcpt", []))
                assert code == 250, (code, text)
            code, text = client.data(content)
            assert code == 250, (code, text)
            return SpoolId(text.decode().rpartition(" ")[2])

    async def view(self, message: str) -> MessageView:
        view = await self.stores.spool.message(SpoolId(message))
        assert view is not None
        return view

    async def until(self, message: str, *states: State, seconds: float = 30) -> MessageView:
        """Wait until every delivery of the message is in one of `states` (default: any final one)."""
        async with asyncio.timeout(seconds):
            while True:
                view = await self.view(message)
                if all(d.state in states if states else d.state.final for d in view.deliveries):
                    return view
                await asyncio.sleep(0.02)

    async def arrivals(self, recipient: str, count: int = 1, seconds: float = 30) -> list[Arrival]:
        """What the lab's hosts took for `recipient`, oldest first, once there are `count`."""
        async with asyncio.timeout(seconds):
            while True:
                found = [a for a in self.lab.inbox.newest_first() if recipient in a.posting.recipients]
                if len(found) >= count:
                    return found[::-1]
                await asyncio.sleep(0.02)


def relay_settings(folder: Path, lab: Lab, **sections: dict[str, Any]) -> Settings:
    """The settings of a relay that lives against `lab`; `sections` overlay ours key by key."""
    return settings_from(relay_data(lab, **sections), folder)


def relay_data(lab: Lab, **sections: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same as they stand in a file."""
    data: dict[str, dict[str, Any]] = {
        "node": {"name": "mail.leak.lab.test", "workers": 1, "secrets": "secrets"},
        "spool": {"url": "sqlite:spool.db", "minimum_free": 0},
        "submission": {
            "listen": ["127.0.0.1:0", "127.0.0.1:0/tls"],
            "tls": {"certificate": "relay.pem", "key": "relay.key"},
        },
        "api": {"listen": "127.0.0.1:0"},
        "resolver": {"nameservers": [lab.nameserver], "timeout": "5s", "trust_ad": True},
        "delivery": {
            "port": lab.smtp_port,
            "mta_sts_port": lab.policy_port,
            "allow_private_addresses": True,
            "ca_file": "ca.pem",
            "retry": ["300ms"],
            "expire_after": "1h",
            "time_scale": 0.1,
        },
        "signing": {
            "keys": "dkim_keys",
            "domain": [{"domain": "leak.lab.test", "selectors": ["lab-rsa", "lab-ed25519"]}],
        },
        "web": {"listen": "127.0.0.1:0", "limits": False, "cool_down": "0s", "jitter": "0s", "failure_delay": "0s"},
        "webhooks": {"allow_private_addresses": True, "allow_http": True},
        "log": {"level": "error", "format": "text"},
    }
    for name, values in sections.items():
        data[name] = {**data.get(name, {}), **values}
    return data


def lend_keys(settings: Settings) -> None:
    """Put an RSA key where the lab would make one: one of this process, since making one takes a tenth of a second."""
    folder = settings.path(settings.signing.keys)
    for entry in settings.signing.domain:
        path = key_path(folder, entry.domain, "lab-rsa")
        if "lab-rsa" in entry.selectors and not path.exists():
            make_private_folder(path.parent)
            write_private_file(path, _rsa_key())


@cache
def _rsa_key() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make_key(Path(folder), "leak.lab.test", "lab-rsa", KeyType.RSA).read_bytes()


@asynccontextmanager
async def whole_relay(folder: Path, keyless: str = "", **sections: dict[str, Any]) -> AsyncIterator[WholeRelay]:
    """Start lab and node in `folder`; both are stopped at the end. The keys of the domain `keyless` are lost."""
    async with running_lab(folder) as lab:
        settings = relay_settings(folder, lab, **sections)
        lend_keys(settings)
        equip(lab, settings)
        if keyless:
            shutil.rmtree(folder / "dkim_keys" / keyless)
        async with relay_against(lab, settings) as relay:
            yield relay


@asynccontextmanager
async def relay_against(lab: Lab, settings: Settings) -> AsyncIterator[WholeRelay]:
    """Start a node in a lab that runs; it is stopped at the end."""
    listeners = bind_all(wanted_listeners(settings), 1)[0]
    point_returns(lab, listeners)
    node = Node(settings, NodeParts(0, 1, listeners, SystemClock(), SystemEntropy(), load_front, lab=True))
    try:
        with sharing_moderator():
            await node.start()
        yield WholeRelay(settings, lab, node, *_ports(listeners))
    finally:
        await node.stop()


@asynccontextmanager
async def running_lab(folder: Path) -> AsyncIterator[Lab]:
    """A lab without a relay."""
    plan = LabPlan(dns_port=0, http_port=0, smtp_port=0, policy_port=0, subnet=next(_SUBNETS))
    lab = Lab(folder, SystemClock(), SystemEntropy(), plan)
    await lab.start()
    try:
        yield lab
    finally:
        await lab.stop()


def _ports(listeners: Sequence[Listener]) -> tuple[int, int, int, int, int]:
    def port(purpose: str, tls: bool) -> int:
        return next(
            (int(one.socket.getsockname()[1]) for one in listeners if one.purpose == purpose and one.listen.tls == tls),
            0,
        )

    clear = [port(purpose, False) for purpose in ("http", "inbound", "admin")]
    return port("submission", False), port("submission", True), clear[0], clear[1], clear[2]
