"""`leak check`: is the configuration usable, and what of it will not work as it stands?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.check_front import find_front_warnings
from relay.cli.context import Json, config_file, load
from relay.cli.output import say, say_json, warn
from relay.cli.shaping import explain_shaping

if TYPE_CHECKING:
    from relay.settings import Settings, SigningDomain


def check(
    context: typer.Context,
    as_json: Json = False,
    explain: Annotated[
        str, typer.Option(help="Show the shaping rules for this domain or MX host, and which rule says what.")
    ] = "",
) -> None:
    """Validate the configuration; exit status 2 with everything that would stop a start. Warnings tell the rest."""
    from relay.cli.obstacles import find_obstacles
    from relay.errors import ConfigurationError

    file = str(config_file(context))
    try:
        settings = load(context)
    except ConfigurationError as error:
        if not as_json:
            raise
        say_json({"file": file, "ok": False, "errors": str(error).splitlines(), "warnings": []})
        raise typer.Exit(2) from None
    if explain:
        explain_shaping(settings, explain.lower().rstrip("."), as_json=as_json)
        return
    errors = list(find_obstacles(settings))
    warnings = list(find_warnings(settings))
    summary = _summary(settings)
    if as_json:
        say_json({"file": file, "ok": not errors, **summary, "errors": errors, "warnings": warnings})
    else:
        _tell(file, summary, errors, warnings)
    if errors:
        raise typer.Exit(2)


def _tell(file: str, summary: dict[str, str | list[str]], errors: list[str], warnings: list[str]) -> None:
    for error in errors:
        warn(f"error: {error}")
    for warning in warnings:
        warn(f"warning: {warning}")
    say(f"{file}: {'cannot run' if errors else 'ok'}")
    for name, value in summary.items():
        shown = value if isinstance(value, str) else ", ".join(value)
        say(f"  {name:<16} {shown or '-'}")


def _summary(settings: Settings) -> dict[str, str | list[str]]:
    return {
        "name": settings.node.name,
        "roles": list(settings.node.roles),
        "spool": _without_password(settings.spool.url),
        "submission": [str(one) for one in settings.submission.listen],
        "api": str(settings.api.listen or ""),
        "web": str(settings.web.listen or ""),
        "signing": [f"{entry.domain} ({', '.join(_selectors(settings, entry))})" for entry in settings.signing.domain],
        "smarthost": settings.delivery.takes_all,
        **({"relay": settings.web.relay.url} if settings.web.relay.url else {}),
    }


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{host}"


def find_warnings(settings: Settings) -> Iterator[str]:
    """What the file allows and practice will not: unreadable keys, open doors, settings without effect."""
    from relay.settings_effect import without_effect

    if settings.web.relay.url:
        yield from _relay_elsewhere(settings)
        yield from find_front_warnings(settings)
        yield from _doors(settings)
        yield from _alarm(settings)
        yield from without_effect(settings)
        return
    yield from _signing(settings)
    if settings.submission.tls is None and settings.submission.listen and not settings.submission.trusted_networks:
        yield "submission.tls: no certificate and no trusted network: nobody can hand in mail by SMTP"
    yield from _doors(settings)
    yield from _alarm(settings)
    yield from find_front_warnings(settings)
    yield from without_effect(settings)
    if settings.delivery.allow_private_addresses:
        yield "delivery.allow_private_addresses: mail may be led to loopback and private hosts; for tests only"


def _alarm(settings: Settings) -> Iterator[str]:
    alarm = settings.alarm
    if not (
        alarm.command or alarm.ntfy or alarm.webhook or alarm.smarthost or settings.delivery.allow_private_addresses
    ):
        yield "alarm: names no way to a person: nobody hears of what goes wrong (docs/alarms.md)"


def _relay_elsewhere(settings: Settings) -> Iterator[str]:
    """Whether the relay of a front alone answers its key."""
    from relay.cli.context import run_async
    from relay.client.contract import RelayAwayError
    from relay.client.remote import RemoteRelayClient
    from relay.clock import SystemClock
    from relay.errors import ConfigurationError
    from relay.front_node import key_of, way_of

    async def ask() -> str:
        client = RemoteRelayClient(way_of(settings), key_of(settings), SystemClock())
        try:
            await client.suppressed(f"postmaster@{settings.web.sender_domain}")
        except RelayAwayError as error:
            return f"web.relay.url: {settings.web.relay.url}: {error}{client.line.remedy}; letters would wait"
        finally:
            await client.close()
        return ""

    try:
        if silence := run_async(ask()):
            yield silence
    except ConfigurationError:
        return  # an obstacle, and told as one


def _signing(settings: Settings) -> Iterator[str]:
    from relay.signing.keys import RSA_BITS, KeyType, describe_key, key_path

    folder = settings.path(settings.signing.keys)
    if not settings.signing.domain:
        yield "signing: no [[signing.domain]]; mail goes unsigned and most providers refuse it"
    for entry in settings.signing.domain:
        keys = [describe_key(key_path(folder, entry.domain, selector)) for selector in _selectors(settings, entry)]
        for key in keys:
            if key.problem:
                yield f"signing: mail of {entry.domain} is held: {key.problem}"
            elif key.type is KeyType.RSA and key.bits < RSA_BITS:
                yield f"signing: {key.path} has {key.bits} bits; {RSA_BITS} are wanted"
        if all(key.type is KeyType.ED25519 for key in keys):
            yield f"signing: {entry.domain} has no RSA key; many receivers check no other"
        home = entry.return_domain or settings.inbound.domain
        if home is not None and not _related(home, entry.domain):
            yield f"signing: the return domain {home} is not of {entry.domain}'s organisation; SPF does not align"


def _selectors(settings: Settings, entry: SigningDomain) -> tuple[str, ...]:
    """Those that sign, rotations counted."""
    from relay.signing.keys import KeyFileError
    from relay.signing.rotation import read_rotation

    try:
        return read_rotation(settings.path(settings.signing.keys), entry.domain, entry.selectors).signing
    except KeyFileError:
        return entry.selectors


def _related(one: str, other: str) -> bool:
    """Whether both are one organisation's, which is all that alignment asks unless a record says `aspf=s`."""
    from relay.public_suffix import organisational_domain

    organisation = organisational_domain(one)
    return one == other or (organisation is not None and organisation == organisational_domain(other))


def _doors(settings: Settings) -> Iterator[str]:
    from ipaddress import ip_network

    wide = [text for text in settings.submission.trusted_networks if ip_network(text).num_addresses > 2**24]
    if wide:
        yield f"submission.trusted_networks: {', '.join(wide)} is wide; whoever is in it may send as anybody"
    roles = settings.node.roles
    if "submission" in roles and not settings.submission.listen:
        yield "submission.listen: the role is on but listens nowhere"
    if settings.delivery.port != 25 and not settings.delivery.takes_all:
        yield f"delivery.port: MX hosts listen on 25, not on {settings.delivery.port}; for tests only"
