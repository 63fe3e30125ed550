"""A real submission server on loopback for tests, with a small intake behind it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trustme

from relay.clock import Clock, SystemClock
from relay.submission.options import SubmissionOptions
from relay.submission.server import SubmissionServer
from tests.support.recording_intake import TRUSTED, RecordingIntake, SmallAccounts

STRANGER = "127.0.0.9"
"""An address that is not trusted."""

OPTIONS = SubmissionOptions(
    hostname="mail.leak.example",
    require_auth=True,
    trusted_networks=(ipaddress.ip_network("127.0.0.1/32"),),
    max_message_size=100_000,
    max_recipients=100,
    max_connections=50,
    max_connections_per_address=20,
    idle_timeout=30.0,
    tls=None,
)


@dataclass(slots=True)
class Door:
    """The server, what stands behind it, and its ports: `port` in clear, `tls_port` with implicit TLS (or 0)."""

    server: SubmissionServer
    intake: RecordingIntake
    accounts: SmallAccounts
    port: int
    tls_port: int


def tls_pair() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context that trust each other."""
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


@asynccontextmanager
async def open_door(
    options: SubmissionOptions = OPTIONS, clock: Clock | None = None, **changes: object
) -> AsyncIterator[Door]:
    """A running door; `changes` are fields of its options."""
    options = replace(options, **changes)  # type: ignore[arg-type]
    intake, accounts = RecordingIntake(), SmallAccounts()
    server = SubmissionServer(options, intake, accounts, clock or SystemClock(), TRUSTED)
    listeners = [(socket.create_server(("127.0.0.1", 0)), False)]
    if options.tls is not None:
        listeners.append((socket.create_server(("127.0.0.1", 0)), True))
    ports = [listener.getsockname()[1] for listener, _ in listeners]
    await server.start(listeners)
    try:
        yield Door(server, intake, accounts, ports[0], ports[1] if len(ports) > 1 else 0)
    finally:
        intake.gate.set()
        await server.drain(2.0)
