"""What would stop a start of the node, tried as the node would and without leaving a mark.

Each obstacle is one text that names the setting; none of them is found by reading the file alone.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from relay.alarming import check_ways
from relay.database.postgres_url import hosts_of
from relay.egress.certificates import TrustAnchors
from relay.errors import ConfigurationError
from relay.front_node import key_of, way_of
from relay.listeners import clashes, wanted_listeners
from relay.opening import POSTGRES_SCHEMES
from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.shaping_file import load_shaping
from relay.sending import static_routes
from relay.settings import Settings
from relay.tls_files import server_context


def find_obstacles(settings: Settings) -> Iterator[str]:
    """Everything that keeps a node with these settings from starting, or from sending anything at all."""
    yield from _spool(settings)
    if obstacle := _folder_obstacle(settings.path(settings.node.secrets)):
        yield f"node.secrets: {obstacle}"
    wanted = wanted_listeners(settings)
    yield from clashes(wanted)
    for one in wanted:
        if obstacle := _address_obstacle(one.listen.host):
            yield f"{one.setting}: {one.listen}: {obstacle}"
    for source in settings.egress.source:
        if source.address and (obstacle := _address_obstacle(source.address)):
            yield f"egress.source.address: {source.name}: {obstacle}"
    tls = settings.submission.tls
    if tls is not None and any(one.purpose == "submission" for one in wanted):
        yield from _refusal(lambda: server_context(settings, tls, "submission.tls"))
    inbound = settings.inbound.tls
    if inbound is not None and any(one.purpose == "inbound" for one in wanted):
        yield from _refusal(lambda: server_context(settings, inbound, "inbound.tls"))
    if settings.delivery.ca_file is not None:
        file = settings.path(settings.delivery.ca_file)
        yield from (f"delivery.ca_file: {text}" for text in _refusal(lambda: TrustAnchors.load(file)))
    yield from _refusal(lambda: static_routes(settings))
    yield from _refusal(lambda: check_ways(settings))
    yield from (text for lines in _refusal(lambda: load_diagnoser(settings.folder)) for text in lines.splitlines())
    yield from (text for lines in _refusal(lambda: load_shaping(settings.folder)) for text in lines.splitlines())
    if (settings.folder / "moderation").is_dir():  # the packs that come along were read before they were published
        rulebook = import_module("web.moderation.pack").load_rulebook  # by name: the relay does not know the front
        yield from (text for lines in _refusal(lambda: rulebook(settings.folder)) for text in lines.splitlines())
    if settings.web.relay.url:
        yield from _refusal(lambda: way_of(settings))
        yield from _refusal(lambda: key_of(settings))
    front = "web" in settings.node.roles and settings.web.listen is not None
    if front and settings.web.sender_domain is None and not settings.signing.domain:
        yield "web.sender_domain: missing; the front needs a domain for its letters' From"
    if front:
        sealing = import_module("web.sealing").SealingKeys
        folder = settings.path(settings.web.sealed_keys)
        yield from (f"web.sealed_keys: {text}" for text in _refusal(lambda: sealing(folder)))


def _refusal(build: Callable[[], object]) -> Iterator[str]:
    try:
        build()
    except ConfigurationError as error:
        yield str(error)


def _spool(settings: Settings) -> Iterator[str]:
    path = settings.sqlite_path
    if path is None:
        scheme = settings.spool.url.partition(":")[0]
        if scheme not in POSTGRES_SCHEMES:
            yield f"spool.url: {scheme}: is not a spool this version has; write sqlite:///PATH or postgresql://…"
        elif find_spec("asyncpg") is None:
            yield "spool.url: PostgreSQL needs the package asyncpg; install it with: pip install 'leak-relay[postgres]'"
        else:
            yield from _refusal(lambda: hosts_of(settings.spool.url, os.environ))
    elif path.is_dir():
        yield f"spool.url: {path} is a folder; name a file in it"
    elif obstacle := _folder_obstacle(path.parent):
        yield f"spool.url: {obstacle}"


def _folder_obstacle(folder: Path) -> str:
    """Why nothing can be written in `folder`, nor it be made; "" when it can. Tried, for root may much and not all."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    verb = "be written in" if there == folder else "be made"
    if not there.is_dir():
        return f"{folder} cannot {verb}: {there} is no folder"
    try:
        with tempfile.TemporaryDirectory(prefix=".leak-check-", dir=there):
            return ""
    except OSError as error:
        return f"{folder} cannot {verb}: {there}: {error.strerror}"


def _address_obstacle(host: str) -> str:
    """Why this machine cannot use an address of its own; "" when it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.bind(address)
    except OSError as error:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return f"{host} is no address of this machine: {error.strerror or error}"
        return f"this machine has no address {host}"
    return ""
