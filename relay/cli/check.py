"""`leak check`: is the configuration usable, and what of it will not work as it stands?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from relay.cli.context import Json, config_file, load
from relay.cli.output import say, say_json, warn

if TYPE_CHECKING:
    from relay.settings import Settings


def check(context: typer.Context, as_json: Json = False) -> None:
    """Validate the configuration; exit status 2 with every complaint. Warnings tell what would not work."""
    settings = load(context)
    warnings = list(find_warnings(settings))
    summary = _summary(settings)
    if as_json:
        say_json({"file": str(config_file(context)), "ok": True, **summary, "warnings": warnings})
        return
    for warning in warnings:
        warn(f"warning: {warning}")
    say(f"{config_file(context)}: ok")
    for name, value in summary.items():
        say(f"  {name.replace('_', ' '):<16} {value or '-'}")


def _summary(settings: Settings) -> dict[str, str]:
    return {
        "name": settings.node.name,
        "roles": ", ".join(settings.node.roles),
        "spool": _without_password(settings.spool.url),
        "submission": ", ".join(map(str, settings.submission.listen)),
        "inbound": ", ".join(map(str, settings.inbound.listen)),
        "api": str(settings.api.listen or ""),
        "web": str(settings.web.listen or ""),
        "signing": ", ".join(f"{entry.domain} ({', '.join(entry.selectors)})" for entry in settings.signing.domain),
        "smarthost": settings.delivery.smarthost,
    }


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{host}"


def find_warnings(settings: Settings) -> Iterator[str]:
    """What the file allows and practice will not: unreadable keys, files that are missing, open doors."""
    yield from _signing(settings)
    yield from _tls(settings)
    yield from _doors(settings)
    if settings.sqlite_path is None:
        yield from _postgres(settings)
    if settings.delivery.ca_file and not settings.path(settings.delivery.ca_file).is_file():
        yield f"delivery.ca_file: {settings.path(settings.delivery.ca_file)} is not there"
    if settings.delivery.allow_private_addresses:
        yield "delivery.allow_private_addresses: mail may be led to loopback and private hosts; for tests only"


def _postgres(settings: Settings) -> Iterator[str]:
    from importlib.util import find_spec

    from relay.opening import POSTGRES_SCHEMES

    if settings.spool.url.partition(":")[0] not in POSTGRES_SCHEMES:
        yield f"spool.url: {_without_password(settings.spool.url)} is not a spool this version can open"
    elif find_spec("asyncpg") is None:
        yield "spool.url: PostgreSQL needs the package asyncpg: pip install 'leak-relay[postgres]'"


def _signing(settings: Settings) -> Iterator[str]:
    from relay.signing.keys import RSA_BITS, KeyType, describe_key, key_path

    folder = settings.path(settings.signing.keys)
    if not settings.signing.domain:
        yield "signing: no [[signing.domain]]; mail goes unsigned and most providers refuse it"
    for entry in settings.signing.domain:
        keys = [describe_key(key_path(folder, entry.domain, selector)) for selector in entry.selectors]
        for key in keys:
            if key.problem:
                yield f"signing: mail of {entry.domain} is held: {key.problem}"
            elif key.type is KeyType.RSA and key.bits < RSA_BITS:
                yield f"signing: {key.path} has {key.bits} bits; {RSA_BITS} are wanted"
        if all(key.type is KeyType.ED25519 for key in keys):
            yield f"signing: {entry.domain} has no RSA key; many receivers check no other"
        home = entry.return_domain or settings.inbound.domain
        if entry.return_path == "ours" and home is None:
            yield f"signing: {entry.domain} has no return domain; its return_path acts as keep"
        elif home is not None and not _related(home, entry.domain):
            yield f"signing: the return domain {home} is not within {entry.domain}; SPF does not align"


def _related(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _tls(settings: Settings) -> Iterator[str]:
    from relay.errors import ConfigurationError
    from relay.tls_files import server_context

    for setting, files in (("submission.tls", settings.submission.tls), ("inbound.tls", settings.inbound.tls)):
        if files is not None:
            try:
                server_context(settings, files, setting)
            except ConfigurationError as error:
                yield str(error)
    if settings.submission.tls is None and settings.submission.listen and not settings.submission.trusted_networks:
        yield "submission.tls: no certificate and no trusted network: nobody can hand in mail by SMTP"


def _doors(settings: Settings) -> Iterator[str]:
    from ipaddress import ip_network

    wide = [text for text in settings.submission.trusted_networks if ip_network(text).num_addresses > 2**24]
    if wide:
        yield f"submission.trusted_networks: {', '.join(wide)} is wide; whoever is in it may send as anybody"
    roles = settings.node.roles
    if "submission" in roles and not settings.submission.listen:
        yield "submission.listen: the role is on but listens nowhere"
    if "inbound" in roles and not settings.inbound.listen:
        yield "inbound.listen: the role is on but listens nowhere; bounces cannot come back"
    if settings.delivery.port != 25 and not settings.delivery.smarthost:
        yield f"delivery.port: MX hosts listen on 25, not on {settings.delivery.port}; for tests only"
