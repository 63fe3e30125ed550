"""What the doctor looks at, as plain values: where mail leaves, for which domains, where it comes in, and how to ask.

Built from the settings by `relay.checkup`; nothing here knows the configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from relay.clock import Clock
from relay.egress.certificates import TrustAnchors
from relay.policy.mta_sts import StsPolicy
from relay.policy.tls import Fault
from relay.resolver.contract import Resolver


@dataclass(frozen=True, slots=True)
class Place:
    """A host, by name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where mail leaves: the local address to bind ("" = the system's choice), and what the world sees of it."""

    name: str
    ehlo: str
    bind: str
    addresses: tuple[str, ...]
    """The addresses receivers see; empty when nothing tells them."""


@dataclass(frozen=True, slots=True)
class MailDomain:
    """A From domain: the files of the keys that sign for it, by selector, and where its bounces go ("" = nowhere)."""

    name: str
    keys: tuple[tuple[str, Path], ...]
    return_domain: str


@dataclass(frozen=True, slots=True)
class Door:
    """A port of ours that takes mail."""

    purpose: str
    place: Place
    tls: bool


@dataclass(frozen=True, slots=True)
class TlsPair:
    """A certificate and its key, and the setting that names them."""

    setting: str
    certificate: Path
    key: Path
    strict: bool
    """Whether who connects there verifies it: mail programs do, other mail hosts hardly ever."""


@dataclass(frozen=True, slots=True)
class Blocklists:
    """Lists to ask. `dqs_key` is the key of Spamhaus' own servers, "" = its public ones; it is never shown."""

    addresses: tuple[str, ...]
    domains: tuple[str, ...]
    dqs_key: str = ""


@dataclass(frozen=True, slots=True)
class Spool:
    """The database. `folder` is None when it is a server's; `now` its clock, None where it is the machine's own."""

    folder: Path | None
    minimum_free: int
    now: Callable[[], Awaitable[datetime]] | None
    version: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class ResolverFacts:
    """How the node asks the DNS."""

    servers: tuple[str, ...]
    trust_ad: bool
    signed_name: str
    """A name that is signed with DNSSEC; "" = do not ask."""


@dataclass(frozen=True, slots=True)
class Examined:
    """Everything the doctor looks at."""

    node: str
    outlets: tuple[Outlet, ...]
    targets: tuple[Place, ...]
    """Mail hosts of others that should be reachable; the smarthost alone where there is one."""
    smarthost: bool
    domains: tuple[MailDomain, ...]
    return_domains: tuple[str, ...]
    """Those whose mail this node takes."""
    own_names: frozenset[str]
    returns_port: int
    mail_port: int
    doors: tuple[Door, ...]
    trusted_networks: tuple[str, ...]
    tls: tuple[TlsPair, ...]
    sts: Mapping[str, StsPolicy]
    blocklists: Blocklists
    spool: Spool
    resolver: ResolverFacts
    private_files: tuple[Path, ...]
    configuration: Path | None
    """The configuration's file, where it holds a password."""
    time_server: Place | None
    sealed_keys: Path | None
    """The folder to whose keys a front's sender records are sealed; None where no front is."""


Dial = Callable[[Place, str, bool], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connects to an address from a local one ("" = any), with TLS at once or not. Raises OSError."""
Fetch = Callable[[str], Awaitable[StsPolicy | Fault]]


@dataclass(frozen=True, slots=True)
class Means:
    """How the doctor asks the world. `resolver` shows the AD bit whether the node trusts it or not."""

    resolver: Resolver
    dial: Dial
    fetch_policy: Fetch
    anchors: TrustAnchors
    clock: Clock
    private: bool
    """Whether loopback and private addresses may be connected to as mail hosts (the lab, tests)."""
