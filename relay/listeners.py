"""The node's listening sockets: bound once without `SO_REUSEPORT`, so that a taken port is an error, then shared.

The supervisor opens one `SO_REUSEPORT` socket a worker and address, keeps them open and passes them on: the
restart of a worker loses no connection that waits in its backlog.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from relay.errors import ConfigurationError
from relay.settings import Listen, Settings

Purpose = Literal["submission", "inbound", "http", "admin"]

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address somebody listens on: for what, and the setting that names it."""

    purpose: Purpose
    listen: Listen
    setting: str


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket and what it is for."""

    purpose: Purpose
    listen: Listen
    socket: socket.socket


def wanted_listeners(settings: Settings) -> tuple[Wanted, ...]:
    """Every address of the node's roles; one address of web and api is one server."""
    wanted: list[Wanted] = []
    roles = settings.node.roles
    if "submission" in roles:
        wanted += [Wanted("submission", listen, "submission.listen") for listen in settings.submission.listen]
    if "inbound" in roles:
        wanted += [Wanted("inbound", listen, "inbound.listen") for listen in settings.inbound.listen]
    http: dict[str, Wanted] = {}
    for role, listen in (("web", settings.web.listen), ("api", settings.api.listen)):
        if role in roles and listen is not None:
            http.setdefault(str(listen), Wanted("http", listen, f"{role}.listen"))
    if settings.api.admin_listen is not None:
        wanted.append(Wanted("admin", settings.api.admin_listen, "api.admin_listen"))
    return (*wanted, *http.values())


def clashes(wanted: Sequence[Wanted]) -> Iterator[str]:
    """Each pair that cannot be bound side by side: one port, and one address or any.

    Workers share their ports, so the system would not refuse it: it would give each half of the connections.
    """
    for number, one in enumerate(wanted):
        for other in wanted[:number]:
            if (
                one.listen.port
                and one.listen.port == other.listen.port
                and _overlap(one.listen.host, other.listen.host)
            ):
                yield f"{one.setting}: {one.listen} is taken by {other.setting}: {other.listen}; use another port"


def _overlap(one: str, other: str) -> bool:
    first, second = _numeric(one), _numeric(other)
    if first is None or second is None:
        return one == other
    any_of_them = first.is_unspecified or second.is_unspecified
    return first == second or (any_of_them and first.version == second.version)


def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a host stands for here, None when the system knows none."""
    try:
        return ipaddress.ip_address(str(next(_resolve(Listen(host=host, port=0)))[4][0]).partition("%")[0])
    except OSError:
        return None


def bind_all(wanted: Sequence[Wanted], copies: int, patience: float = 0.0) -> list[list[Listener]]:
    """For each of `copies` workers one listener an address. ConfigurationError names a port that is taken.

    For up to `patience` seconds a taken port is tried again: the workers of a node that was killed may still end.
    """
    if clash := next(clashes(wanted), None):
        raise ConfigurationError(clash)
    deadline = time.monotonic() + patience
    for one in wanted:
        if one.listen.port:
            _wait_for(one, deadline)
    shared = copies > 1
    return [[Listener(one.purpose, one.listen, _bind(one, shared=shared)) for one in wanted] for _ in range(copies)]


def _wait_for(wanted: Wanted, deadline: float) -> None:
    while True:
        try:
            _bind(wanted, shared=False).close()
        except ConfigurationError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _bind(wanted: Wanted, *, shared: bool) -> socket.socket:
    listen = wanted.listen
    try:
        family, kind, protocol, _, address = next(_resolve(listen))
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"{wanted.setting}: {listen}: {error.strerror or error}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigurationError(_explain(wanted, error)) from None
    return bound


def _resolve(listen: Listen) -> Iterator[tuple[int, int, int, str, tuple[object, ...]]]:
    yield from socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)


def _explain(wanted: Wanted, error: OSError) -> str:
    section, _, key = wanted.setting.partition(".")
    variable = f"LEAK_{section.upper()}__{key.upper()}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {wanted.listen.port} on {wanted.listen.host} is taken by another program; set {wanted.setting}"
            f" in the configuration, or {variable} in the environment, to another one"
        )
    if error.errno == errno.EACCES:
        return (
            f"port {wanted.listen.port} needs the right to bind it: give the program CAP_NET_BIND_SERVICE"
            f" or set {wanted.setting} ({variable}) to a port above 1023"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{wanted.setting}: this machine has no address {wanted.listen.host}"
    return f"{wanted.setting}: {wanted.listen}: {error.strerror}"
