"""The doctor's eyes and hands, built from the settings: for the command `leak doctor`, and for the node's own look.

Stands between the settings and `relay.doctor`, which knows neither the configuration nor the node.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from relay.clock import Clock, from_millis
from relay.database.contract import Database
from relay.database.statements import rows_of
from relay.doctor.subject import (
    Blocklists,
    Door,
    Examined,
    MailDomain,
    Means,
    Outlet,
    Place,
    ResolverFacts,
    Spool,
    TlsPair,
)
from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.sources import system_addresses
from relay.errors import ConfigurationError
from relay.listeners import Wanted, wanted_listeners
from relay.node_secrets import SECRET_NAMES
from relay.policy.addresses import is_public
from relay.private_file import read_private_file
from relay.receiving import return_domains, sts_policies
from relay.resolver.contract import Resolver
from relay.resolver.policy_host import PolicyHosts, https_context
from relay.resolver.resolver import DnsResolver, system_nameservers
from relay.settings import Settings, parse_listen
from relay.signing.keys import KeyFileError, key_path
from relay.signing.rotation import read_rotation
from relay.sources import egress_sources, own_names

_SMTP_PORT: Final = 25
_NAMES_SECONDS: Final = 10.0
_VERSION: Final = {"sqlite": "SELECT 'SQLite ' || sqlite_version()", "postgres": "SELECT version()"}
_NOW: Final = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@asynccontextmanager
async def means(settings: Settings, clock: Clock) -> AsyncIterator[Means]:
    """A resolver of the doctor's own, whose AD bit is shown as it came, and the way out. Raises ConfigurationError."""
    delivery = settings.delivery
    servers = [(server.host, server.port) for server in settings.resolver.nameservers]
    ca_file = settings.path(delivery.ca_file) if delivery.ca_file else None
    context, anchors = https_context(ca_file), TrustAnchors.load(ca_file)
    resolver = DnsResolver(servers, timeout=settings.resolver.timeout.total_seconds(), trust_ad=True, clock=clock)
    private = delivery.allow_private_addresses
    hosts = PolicyHosts(resolver, context, allow_private=private, port=delivery.mta_sts_port)
    try:
        yield Means(resolver, dial, hosts.fetch, anchors, clock, private)
    finally:
        await hosts.close()
        await resolver.close()


async def dial(place: Place, source: str, tls: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, from `source` if it is named. Certificates are judged elsewhere. Raises OSError."""
    context: ssl.SSLContext | None = client_context() if tls else None
    local = (source, 0) if source else None
    return await asyncio.open_connection(place.host, place.port, local_addr=local, ssl=context)


async def examined(
    settings: Settings, resolver: Resolver, database: Spool, listening: Sequence[Wanted] | None = None
) -> Examined:
    """Everything there is to look at. `listening` are the doors as they are open; default: as they are configured."""
    wanted = wanted_listeners(settings) if listening is None else listening
    smarthost = settings.delivery.takes_all
    targets = [parse_listen(smarthost)] if smarthost else settings.doctor.targets
    return Examined(
        node=settings.node.name,
        outlets=await _outlets(settings, resolver),
        targets=tuple(Place(target.host, target.port) for target in targets),
        smarthost=bool(smarthost),
        domains=_domains(settings),
        return_domains=_return_domains(settings, wanted),
        own_names=own_names(settings) | {settings.node.name},
        returns_port=_returns_port(settings, wanted),
        mail_port=settings.delivery.port,
        doors=_doors(wanted),
        trusted_networks=settings.submission.trusted_networks,
        tls=_tls(settings),
        sts=sts_policies(settings),
        blocklists=_blocklists(settings),
        spool=database,
        resolver=_resolver_facts(settings),
        private_files=_private_files(settings),
        configuration=_with_password(settings),
        time_server=_time_server(settings),
        sealed_keys=sealed_keys(settings),
    )


def sealed_keys(settings: Settings) -> Path | None:
    """The folder of the front's sealing keys, None for a node without a front."""
    return settings.path(settings.web.sealed_keys) if "web" in settings.node.roles and settings.web.listen else None


def spool_of(settings: Settings, database: Database) -> Spool:
    """The open database as the doctor asks it."""

    async def version() -> str:
        rows = await rows_of(database, _VERSION[database.dialect])
        return str(rows[0][0])[:100]

    async def now() -> datetime:
        rows = await rows_of(database, _NOW)
        return from_millis(int(rows[0][0]))

    path = settings.sqlite_path
    return Spool(path.parent if path else None, settings.spool.minimum_free, None if path else now, version)


async def _outlets(settings: Settings, resolver: Resolver) -> tuple[Outlet, ...]:
    found: list[Outlet] = []
    for source in egress_sources(settings):
        addresses = await _seen(settings, resolver, source.address, source.ehlo)
        found.append(Outlet(source.name, source.ehlo, source.address, addresses))
    return tuple(found)


async def _seen(settings: Settings, resolver: Resolver, bound: str, ehlo: str) -> tuple[str, ...]:
    """The addresses receivers see: the bound one, those named for NAT, the system's, those of the EHLO name."""
    if bound and (settings.delivery.allow_private_addresses or is_public(bound)):
        return (bound,)
    named = await _named(resolver, ehlo)
    if told := settings.doctor.addresses:
        return tuple(address for address in told if address in named) or told
    if public := tuple(sorted(address for address in system_addresses() if is_public(address))):
        return public
    return tuple(address for address in named if is_public(address))


async def _named(resolver: Resolver, ehlo: str) -> tuple[str, ...]:
    """The addresses of the EHLO name; none when the DNS is away, which the doctor tells by itself."""
    try:
        async with asyncio.timeout(_NAMES_SECONDS):
            v4, v6 = await asyncio.gather(resolver.ask(ehlo, "A"), resolver.ask(ehlo, "AAAA"))
    except TimeoutError:
        return ()
    return tuple(str(ipaddress.ip_address(record)) for record in (*v4.records, *v6.records))


def _domains(settings: Settings) -> tuple[MailDomain, ...]:
    folder, returns = settings.path(settings.signing.keys), return_domains(settings)
    domains: list[MailDomain] = []
    for entry in settings.signing.domain:
        try:
            selectors = read_rotation(folder, entry.domain, entry.selectors).signing
        except KeyFileError:
            selectors = entry.selectors
        keys = tuple((selector, key_path(folder, entry.domain, selector)) for selector in selectors)
        domains.append(MailDomain(entry.domain, keys, returns.get(entry.domain, "")))
    return tuple(domains)


def _return_domains(settings: Settings, wanted: Sequence[Wanted]) -> tuple[str, ...]:
    if not any(one.purpose == "inbound" for one in wanted):
        return ()
    return tuple(dict.fromkeys(return_domains(settings).values()))


def _returns_port(settings: Settings, wanted: Sequence[Wanted]) -> int:
    """25, whatever is forwarded to; but where mail hosts listen elsewhere, as in the lab, our own door does too."""
    inbound = [one.listen.port for one in wanted if one.purpose == "inbound" and not one.listen.tls]
    return inbound[0] if inbound and settings.delivery.port != _SMTP_PORT else _SMTP_PORT


def _doors(wanted: Sequence[Wanted]) -> tuple[Door, ...]:
    return tuple(
        Door(one.purpose, Place(_reachable(one.listen.host), one.listen.port), one.listen.tls)
        for one in wanted
        if one.purpose in {"submission", "inbound"} and one.listen.port
    )


def _reachable(host: str) -> str:
    """An address at which a door that listens at `host` can be found from here, best not a loopback one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    own = (one for one in system_addresses() if (":" in one) == (address.version == 6))
    return next(own, "::1" if address.version == 6 else "127.0.0.1")


def _tls(settings: Settings) -> tuple[TlsPair, ...]:
    pairs: list[TlsPair] = []
    for setting, files, strict in (
        ("submission.tls", settings.submission.tls, True),
        ("inbound.tls", settings.inbound.tls, False),
    ):
        if files is not None:
            certificate, key = settings.path(files.certificate), settings.path(files.key)
            pairs.append(TlsPair(setting, certificate, key, strict))
    return tuple(pairs)


def _blocklists(settings: Settings) -> Blocklists:
    wanted = settings.doctor
    key = ""
    if wanted.spamhaus_key_file is not None:
        file = settings.path(wanted.spamhaus_key_file)
        try:
            key = read_private_file(file).decode("ascii", "replace").strip().lower()
        except OSError as error:
            raise ConfigurationError(f"doctor.spamhaus_key_file: {error}") from None
        if not key.isalnum():
            raise ConfigurationError(f"doctor.spamhaus_key_file: {file} holds no key: letters and digits alone")
    return Blocklists(wanted.blocklists, wanted.domain_blocklists, key)


def _resolver_facts(settings: Settings) -> ResolverFacts:
    named = [(server.host, server.port) for server in settings.resolver.nameservers] or system_nameservers()
    servers = tuple(str(Place(host, port)) for host, port in named)
    return ResolverFacts(servers, settings.resolver.trust_ad, settings.doctor.signed_name or "")


def _private_files(settings: Settings) -> tuple[Path, ...]:
    """What is there of keys and secrets; what is not there is made at the first start, or told by other checks."""
    secrets = settings.path(settings.node.secrets)
    files = [secrets, *(secrets / name for name in SECRET_NAMES)]
    files += [path for domain in _domains(settings) for _, path in domain.keys]
    files += [pair.key for pair in _tls(settings)]
    files += [settings.path(route.password_file) for route in settings.delivery.route if route.password_file]
    files += [settings.path(seed.password_file) for seed in settings.doctor.seeds]
    return tuple(dict.fromkeys(file for file in files if file.exists()))


def _with_password(settings: Settings) -> Path | None:
    """The configuration's folder has the file; only a database URL may hold a password in it."""
    _, _, rest = settings.spool.url.partition("://")
    has_password = ":" in rest.rpartition("@")[0]
    file = settings.folder / "relay.toml"
    return file if has_password and file.exists() else None


def _time_server(settings: Settings) -> Place | None:
    if not settings.doctor.time_server:
        return None
    server = parse_listen(settings.doctor.time_server)
    return Place(server.host, server.port)
