"""`leak init`: configuration, keys and secrets of a new node; what exists is kept."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import config_file
from relay.cli.dkim import make_missing
from relay.cli.dns import print_records
from relay.cli.given import Given, checked, ip_address
from relay.cli.output import CommandError, UsageError, say, warn
from relay.cli.template import Answers, configuration_text

if TYPE_CHECKING:
    from relay.settings import Settings


def init(
    context: typer.Context,
    domain: Annotated[str | None, typer.Option(help="The domain mail is From, as in leak.example.")] = None,
    hostname: Annotated[str | None, typer.Option(help="This host's public name, as in mail.leak.example.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Write relay.toml, keys, secrets and spool there.")] = None,
    listen: Annotated[
        list[str] | None, typer.Option(metavar="<host:port>", help="Where mail is handed in; may be repeated.")
    ] = None,
    inbound: Annotated[
        list[str] | None, typer.Option(metavar="<host:port>", help="Where bounces arrive; may be repeated.")
    ] = None,
    http: Annotated[str | None, typer.Option(help="Where front and HTTP API answer.")] = None,
    spool: Annotated[str | None, typer.Option(help="URL of the spool.")] = None,
    address: Annotated[
        list[str] | None, typer.Option(metavar="<address>", help="A public address mail leaves from; may be repeated.")
    ] = None,
    resolver: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<host:port>", help="A validating resolver on this machine, as 127.0.0.1:53; turns DANE on."
        ),
    ] = None,
    certificate: Annotated[str, typer.Option(help="PEM file of the TLS certificate chain.")] = "",
    certificate_key: Annotated[str, typer.Option(help="PEM file of its private key.")] = "",
    answers_file: Annotated[
        Path | None, typer.Option("--answers", help="TOML file with these options as keys; options given here win.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; missing answers are errors.")] = False,
) -> None:
    """Write configuration, signing keys and secrets, print the DNS records to publish and what to ask the host for.

    Overwrites nothing.
    """
    given = Given.of(
        {
            "domain": domain,
            "hostname": hostname,
            "http": http,
            "spool": spool,
            "certificate": certificate,
            "certificate_key": certificate_key,
            "listen": listen,
            "inbound": inbound,
            "address": address,
            "resolver": resolver,
        },
        answers_file,
    )
    file = folder / "relay.toml" if folder is not None else config_file(context)
    if _is_free(file):
        _write(file, configuration_text(_answers(given, _defaults(file, inside=folder is not None), yes=yes)))
    elif given.says_something:
        say(f"{file} exists and is kept as it is; edit it to change what the options say")
    else:
        say(f"{file} exists and is kept")
    _complete(file)


def _answers(given: Given, defaults: Answers, *, yes: bool) -> Answers:
    """What was given, asked for where it must be, and the defaults. Raises UsageError."""
    domain = checked(given.domain) if given.domain else _ask_name("Domain of the From addresses", yes=yes)
    if given.hostname:
        hostname = checked(given.hostname)
    else:
        hostname = _ask_name("Public name of this host", yes=yes, default=f"mail.{domain}")
    return Answers(
        domain=domain,
        hostname=hostname,
        selectors=_selectors(),
        return_domain=f"bounces.{domain}",
        listen=given.listen or defaults.listen,
        inbound=given.inbound or defaults.inbound,
        http=given.http or defaults.http,
        spool=given.spool or defaults.spool,
        keys=defaults.keys,
        certificate=_absolute(given.certificate),
        certificate_key=_absolute(given.certificate_key),
        addresses=given.address or tuple(_ask_addresses(yes=yes)),
        resolver=given.resolver,
    )


def _is_free(file: Path) -> bool:
    """Whether the file may be written: it is not there, or is the shipped default that nobody has touched."""
    return not file.exists() or file.read_bytes() == configuration_text(Answers()).encode()


def _ask(question: str, *, yes: bool, default: str | None = None) -> str:
    if yes:
        if default is None:
            raise UsageError("with --yes, give --domain")
        return default
    try:
        return str(typer.prompt(question, default=default, err=True))
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        raise UsageError("nobody answers on standard input: give --domain and --hostname") from None


def _ask_name(question: str, *, yes: bool, default: str | None = None) -> str:
    """A domain; whoever sits at a terminal is asked again."""
    while True:
        try:
            return checked(_ask(question, yes=yes, default=default))
        except UsageError as error:
            if yes or not sys.stdin.isatty():
                raise
            warn(str(error))


def _ask_addresses(*, yes: bool) -> list[str]:
    """The public addresses, best known to whoever sits at a terminal; none: the records name the host instead."""
    from relay.egress.sources import system_addresses
    from relay.policy.addresses import is_public

    if yes or not sys.stdin.isatty():
        return []
    own = " ".join(sorted(one for one in system_addresses() if is_public(one)))
    question = "Public addresses mail leaves from, with spaces between (none: the DNS tells)"
    while True:
        answer = typer.prompt(question, default=own, show_default=bool(own), err=True)
        try:
            return [ip_address(text) for text in str(answer).replace(",", " ").split()]
        except UsageError as error:
            warn(str(error).removeprefix("--address: "))


def _defaults(file: Path, *, inside: bool) -> Answers:
    if inside:
        return Answers(spool="sqlite:spool/spool.db", keys="dkim_keys")
    return Answers() if file.parent.name == "config" else Answers(keys="dkim_keys")


def _selectors() -> tuple[str, str]:
    year = datetime.now().astimezone().year
    return f"s{year}a", f"e{year}a"


def _absolute(file: str) -> str:
    return str(Path(file).resolve()) if file else ""


def _write(file: Path, text: str) -> None:
    """Check the text as the node will, then put it in place at once."""
    import tomllib

    from relay.settings import settings_from

    settings_from(tomllib.loads(text), file.parent)
    draft = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from None
    say(f"wrote {file}")


def _complete(file: Path) -> None:
    """Make what the configuration names and is not there, and print the records."""
    from relay.cli.dns_records import wanted_records
    from relay.settings import load_settings

    settings = load_settings(file)
    _make_keys(settings)
    _make_secrets(settings)
    say()
    say("Publish these records, then compare them with `leak dns --check`:")
    print_records(wanted_records(settings))
    for entry in settings.signing.domain:
        say(f"{entry.domain} needs an MX record too, wherever its mailboxes are: for replies, abuse@ and postmaster@.")
    _ask_the_host(settings)
    say()
    option = f" --config {quote(str(file))}"
    say(f"After the check: leak user add NAME --sender DOMAIN{option}, and leak run{option}")
    say(f"Next: leak check{option}")


def _ask_the_host(settings: Settings) -> None:
    """What only whoever houses the machine can do."""
    from relay.cli.dns_records import known_addresses

    addresses = ", ".join(sorted(known_addresses(settings))) or "this machine's public address"
    say()
    say("Ask whoever houses this machine:")
    say(f"  Please set the PTR record of {addresses} to {settings.node.name}, and open TCP port 25 outward for it.")
    say("  Where to ask at the usual hosts, and what to write: `leak doctor`, docs/doctor.md.")


def _make_keys(settings: Settings) -> None:
    from relay.signing.keys import KeyFileError
    from relay.signing.rotation import read_rotation

    folder = settings.path(settings.signing.keys)
    try:
        for entry in settings.signing.domain:
            for selector in read_rotation(folder, entry.domain, entry.selectors).signing:
                path, made = make_missing(folder, entry.domain, selector)
                say(f"made {path}" if made else f"{path} exists and is kept")
    except KeyFileError as error:
        raise CommandError(str(error)) from None


def _make_secrets(settings: Settings) -> None:
    from relay.ids import SystemEntropy
    from relay.node_secrets import SECRET_NAMES, ensure_secrets

    folder = settings.path(settings.node.secrets)
    there = all((folder / name).exists() for name in SECRET_NAMES)
    ensure_secrets(folder, SystemEntropy())
    say(f"{folder} exists and is kept" if there else f"made the secrets in {folder}")
