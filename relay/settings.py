"""The settings: `config/relay.toml`, overlaid by `LEAK_SECTION__KEY` variables, checked as a whole.

An unknown key is an error. Every complaint names file, line, key, what is wrong and what is allowed, and all
of them are reported at once. Relative paths start at the configuration's folder. `docs/reference/settings.md`
is generated from this module, so each field carries its purpose.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)

from relay.errors import ConfigurationError
from relay.mail.address import AddressError, parse_domain
from relay.settings_text import Missing, Places, expand, overlay, syntax_complaint
from relay.units import parse_duration, parse_size

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HOST = re.compile(r"[A-Za-z0-9._\-]+|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?")


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is not a duration; write it in quotes with its unit, as in "5m" or "1h30m"')
    return parse_duration(value)


def _size(value: object) -> object:
    if isinstance(value, str):
        octets = parse_size(value)
        # "10" is more often ten megabytes than ten octets.
        if value.strip()[-1:].isdigit():
            raise ValueError(f'{value!r} has no unit; write "{value.strip()} MB", or octets as a number without quotes')
        return octets
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'{value!r} is not a size; write a number of octets, or a text such as "25 MB"')
    if value < 0:
        raise ValueError(f"{value} is not a size; it must be 0 or more")
    return value


def _warm_up(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _host_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_domain(value)
    except AddressError as error:
        raise ValueError(f"{value!r}: {error}") from None


Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
"""Strict: `require_auth = "no"` must not pass for a truth, nor "2" for a number."""
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]
HostName = Annotated[str, BeforeValidator(_host_name)]
Role = Literal["web", "api", "submission", "inbound", "delivery"]


class Listen(BaseModel):
    """An address to listen on."""

    model_config = ConfigDict(frozen=True)
    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}{'/tls' if self.tls else ''}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_listen(value: str) -> Listen:
    """A `host:port`, `[v6]:port` or `host:port/tls`; ValueError says what is allowed."""
    address, slash, scheme = value.partition("/")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535 or (slash and scheme != "tls"):
        raise ValueError(f'{value!r} is not an address; write "host:port", "[v6]:port" or "host:port/tls"')
    host = host.removeprefix("[").removesuffix("]") or "0.0.0.0"  # noqa: S104 - ":25" means every address
    if not _HOST.fullmatch(host):
        raise ValueError(f'{value!r} names no host; write an IP address (IPv6 as "[v6]:port") or a host name')
    return Listen(host=host, port=int(port), tls=bool(slash))


def _listen(value: object) -> object:
    if isinstance(value, Listen):
        return value
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is not an address; write "host:port", "[v6]:port" or "host:port/tls"')
    return parse_listen(value)


def _server(value: object) -> object:
    address = _listen(value)
    if isinstance(address, Listen) and address.tls:
        raise ValueError(f'{str(value)!r}: "/tls" cannot stand here; write "host:port"')
    return address


def _one_or_many(value: object) -> object:
    """A single text where a list is expected, as environment variables are easiest to write."""
    return [value] if isinstance(value, str) else value


ListenAddress = Annotated[Listen, BeforeValidator(_listen)]
ListenAddresses = Annotated[tuple[ListenAddress, ...], BeforeValidator(_one_or_many)]
ServerAddresses = Annotated[tuple[Annotated[Listen, BeforeValidator(_server)], ...], BeforeValidator(_one_or_many)]


class Section(BaseModel):
    """A section of the file: unknown keys are errors, values never change after the load."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsFiles(Section):
    certificate: Path = Field(description="PEM file with the certificate chain.")
    key: Path = Field(description="PEM file with the private key.")


class NodeSettings(Section):
    name: HostName = Field(
        default_factory=lambda: socket.gethostname() if "." in socket.gethostname() else "localhost.localdomain",
        description="The node's public host name: EHLO, Received, reporting name of DSNs.",
        examples=["mail.leak.example"],
    )
    workers: Whole = Field(0, ge=0, le=256, description="Worker processes; 0 = one a core, 1 = no supervisor.")
    roles: tuple[Role, ...] = Field(
        ("web", "api", "submission", "inbound", "delivery"),
        description="What this node does.",
    )
    secrets: Path = Field(
        Path("secrets"),
        description="Folder of secret keys (0600), made at first start; the same on all nodes.",
    )
    uvloop: Flag = Field(True, description="Use uvloop's event loop where it is installed.")


class SpoolSettings(Section):
    url: str = Field(
        "sqlite:///var/lib/leak/spool.db",
        description="sqlite:///PATH (relative: sqlite:PATH) for one machine, or postgresql://user@host1,host2/database "
        "for any number of nodes; of several hosts the writable one is used.",
    )
    minimum_free: Size = Field(
        100_000_000,
        description="Free bytes on the spool's disk below which new mail is refused with 452 or 507.",
    )
    lease: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=3),
        description="For how long a worker may be silent before the others take over what it holds, at most 5 s later: "
        "where a machine vanished, its mail goes on after that. A worker that died is replaced at once.",
    )
    keep_content: Duration = Field(
        timedelta(days=7), description="How long a message's content is kept after its last delivery ended."
    )


def _check_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f'{error}; write networks such as "127.0.0.1/32" or "2001:db8::/32"') from None
    return value


class SubmissionSettings(Section):
    listen: ListenAddresses = Field((), description='"host:port"; "/tls" after it means implicit TLS.')
    require_auth: Flag = Field(True, description="False: AUTH is optional; strangers still get 550 5.7.1.")
    trusted_networks: tuple[str, ...] = Field(
        (),
        description="Networks that may relay without AUTH and with any sender.",
        examples=[["127.0.0.1/32"]],
    )
    max_message_size: Size = Field(25_000_000, description="Largest message taken, in octets with CRLF.")
    max_recipients: Whole = Field(1000, ge=100, le=10_000, description="Recipients a message may have.")
    max_connections: Whole = Field(1000, ge=1, description="Open sessions a worker; more get 421.")
    max_connections_per_address: Whole = Field(100, ge=1, description="Open sessions a client address and worker.")
    idle_timeout: Duration = Field(timedelta(minutes=5), description="Silence after which a session gets 421.")
    hide_client: Flag = Field(False, description="Leave the client's address and name out of Received (C11).")
    tls: TlsFiles | None = Field(None, description="Certificate and key; none: no STARTTLS, AUTH only if trusted.")

    @field_validator("trusted_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _check_networks(value)

    @model_validator(mode="after")
    def _tls_needs_certificate(self) -> SubmissionSettings:
        if self.tls is None and any(address.tls for address in self.listen):
            raise ValueError("a /tls address needs tls = { certificate, key }")
        return self


class ApiSettings(Section):
    listen: ListenAddress | None = Field(None, description="Where the HTTP API answers.")
    admin_listen: ListenAddress | None = Field(
        None, description="Where the operator's pages answer; not in effect yet."
    )
    max_body: Size = Field(40_000_000, description="Largest request body (a 25 MB message in base64 is 34 MB).")
    max_connections: Whole = Field(
        1000, ge=1, description="Open HTTP connections a worker, the front's too; more get 503."
    )
    max_connections_per_address: Whole = Field(
        200, ge=1, description="Those of one client address; `web.trusted_proxies` speak for many and have no cap."
    )


ANSWER_ENGLISH: Final = (
    "Nobody reads mail to this address: it only sends. Your message was not passed on to anybody.\n"
    "To reach a person, write to the postmaster of this domain."
)
ANSWER_FRENCH: Final = (
    "Personne ne lit le courrier de cette adresse : elle ne fait qu'envoyer. Votre message n'a été transmis à "
    "personne.\nPour joindre quelqu'un, écrivez au postmaster de ce domaine."
)


class InboundSettings(Section):
    listen: ListenAddresses = Field(
        (), description="Where bounces, complaints and reports arrive; needs the domain.", examples=[["0.0.0.0:25"]]
    )
    domain: HostName | None = Field(
        None,
        description="The domain of return tokens, unless a signing domain names its own; none: return paths are kept.",
        examples=["bounces.leak.example"],
    )
    tls: TlsFiles | None = Field(None, description="Certificate and key for STARTTLS; none: it is not offered.")
    max_message_size: Size = Field(
        25_000_000, description="Largest mail taken; some hosts return the whole of what they bounce."
    )
    max_connections: Whole = Field(200, ge=1, description="Open sessions a worker; more get 421.")
    max_connections_per_address: Whole = Field(20, ge=1, description="Open sessions a client address and worker.")
    max_per_minute: Whole = Field(
        200, ge=1, description="Mails a minute, client address and worker; more get 451 and come later."
    )
    mta_sts: Literal["none", "testing", "enforce"] = Field(
        "testing",
        description="The MTA-STS policy that HTTP serves as `mta-sts.` of the return domains; its MX is the node.",
    )
    answer_english: str = Field(
        ANSWER_ENGLISH,
        max_length=4000,
        description='What a person who writes to a From address is told, once in 7 days; "" = not in this language.',
    )
    answer_french: str = Field(
        ANSWER_FRENCH, max_length=4000, description="The same in French; with both empty nobody is answered."
    )
    keep: Duration = Field(
        timedelta(days=30), description="How long mail that came in is kept; events and stored reports stay."
    )

    @model_validator(mode="after")
    def _tls_needs_certificate(self) -> InboundSettings:
        if self.tls is None and any(address.tls for address in self.listen):
            raise ValueError("a /tls address needs tls = { certificate, key }")
        return self


class ResolverSettings(Section):
    nameservers: ServerAddresses = Field((), description='"host:port" each; empty = the system\'s.')
    trust_ad: Flag = Field(False, description="Believe the AD bit: only with a validating resolver of your own.")
    timeout: Duration = Field(timedelta(seconds=5), description="Time for one question to one name server.")


def _refuse_twice(names: Sequence[str]) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"named more than once: {', '.join(sorted(twice))}")


def _route_domain(value: object) -> object:
    return value if value == "*" else _host_name(value)


def _next_hop(value: str) -> str:
    if ":" not in value:
        return parse_domain(value)
    address = parse_listen(value)
    if address.tls or not address.port or value.startswith(":"):
        raise ValueError(f'{value!r} is no next hop; write "host:port", or a domain whose MX hosts are asked')
    return value


class DeliveryTls(Section):
    domain: HostName = Field(description="The recipients' domain.")
    demand: Literal["none", "may", "encrypt", "verify"] = Field(
        description="`none` and `may` replace what the domain publishes; `encrypt` and `verify` are the least."
    )


class DeliveryRoute(Section):
    domain: Annotated[str, BeforeValidator(_route_domain)] = Field(
        description='The recipients\' domain; "*" = every domain without a route of its own.'
    )
    next_hop: str = Field(
        "",
        description='"host:port", or a domain whose MX hosts are asked; "" = the MX hosts of the domain itself.',
        examples=["smtp.example:587"],
    )
    pool: str = Field("", description="The [[egress.pool]] this mail leaves from.")
    tls: Literal["none", "may", "encrypt", "verify"] | None = Field(
        None, description="What the next hop's TLS must be; default verify with a user, else what it publishes."
    )
    user: str = Field("", description="Name for AUTH PLAIN or LOGIN, which is only ever sent inside TLS.")
    password_file: Path | None = Field(None, description="File with the password of `user`, 0600.")

    @field_validator("next_hop")
    @classmethod
    def _is_next_hop(cls, value: str) -> str:
        return _next_hop(value) if value else value

    @model_validator(mode="after")
    def _password_needs_tls(self) -> DeliveryRoute:
        if not self.next_hop and not self.pool:
            raise ValueError("a route needs a next_hop, a pool, or both")
        if not self.next_hop and (self.user or self.tls):
            raise ValueError("user and tls belong to a next_hop; demands by domain stand in [[delivery.tls]]")
        if bool(self.user) != (self.password_file is not None):
            raise ValueError("user and password_file belong together")
        if self.user and self.tls in {"none", "may"}:
            raise ValueError('a password is never sent in clear: write tls = "verify" or tls = "encrypt"')
        return self


class DeliverySettings(Section):
    port: Whole = Field(25, ge=1, le=65535, description="The port MX hosts listen on; other than 25 only in tests.")
    retry: tuple[Duration, ...] = Field(
        tuple(timedelta(minutes=m) for m in (5, 15, 30, 60, 120, 240, 360)),
        min_length=1,
        description="Waits between attempts; the last one repeats; jitter is added.",
        examples=[["5m", "15m", "30m", "1h", "2h", "4h", "6h"]],
    )
    jitter: Number = Field(0.1, ge=0, le=1, description="Share of a wait that is added at random at most.")
    expire_after: Duration = Field(timedelta(days=5), description="When a delivery is given up.")
    delay_notice: Duration = Field(
        timedelta(hours=4),
        description="After how long the sender over SMTP is told that a delivery is delayed, once a recipient; "
        '"0s" = never.',
    )
    delay_notice_unasked: Flag = Field(
        False, description="Tell of delays also where the sender gave no NOTIFY; with NOTIFY he gets what he asked for."
    )
    smarthost: str = Field("", description='"host:port" sends everything through it.')
    route: tuple[DeliveryRoute, ...] = Field((), description="[[delivery.route]] sections: next hops by domain.")
    tls: tuple[DeliveryTls, ...] = Field((), description="[[delivery.tls]] sections: TLS demands by domain.")
    dane: Flag = Field(True, description="Obey secure TLSA records (RFC 7672); needs resolver.trust_ad.")
    mta_sts: Flag = Field(True, description="Obey the MTA-STS policies of recipients' domains (RFC 8461).")
    mta_sts_port: Whole = Field(
        443, ge=1, le=65535, description="The port policy hosts listen on; other than 443 only in tests."
    )
    tls_required_no: Flag = Field(
        True,
        description="Let a message whose header says TLS-Required: No go without its domain's policies (RFC 8689).",
    )
    chunking: Flag = Field(
        True, description="Send content with BDAT where CHUNKING is offered (RFC 3030); DATA otherwise."
    )
    address_literals: Flag = Field(False, description="Deliver to addresses such as user@[192.0.2.1].")
    allow_private_addresses: Flag = Field(
        False, description="Let MX hosts and policy hosts be loopback or private addresses (tests, lab)."
    )
    ca_file: Path | None = Field(None, description="Extra trust anchors for TLS and policy fetches.")
    window: Whole = Field(2000, ge=10, description="Deliveries a worker holds in memory at most.")
    connect_timeout: Duration = Field(timedelta(seconds=30), description="Time for a TCP connection.")
    time_scale: Number = Field(
        1.0, gt=0, le=1, description="Factor on all SMTP phase time-outs; below 1 only in tests."
    )

    @field_validator("smarthost")
    @classmethod
    def _smarthost(cls, value: str) -> str:
        if value:
            _server(value)
        return value

    @field_validator("ca_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("route", "tls")
    @classmethod
    def _each_domain_once(cls, value: tuple[DeliveryRoute | DeliveryTls, ...]) -> object:
        _refuse_twice([entry.domain for entry in value])
        return value


class SigningDomain(Section):
    domain: HostName = Field(description="The From domain these keys sign for.")
    selectors: tuple[str, ...] = Field(
        min_length=1, description="All of them sign, RSA topmost, until `leak dkim rotate` makes others."
    )
    ed25519: Flag = Field(True, description="Sign with the Ed25519 key too, and make one at a rotation.")
    return_domain: HostName | None = Field(
        None,
        description="Where return tokens of this domain live, within its organisational domain so that SPF aligns; "
        "default inbound.domain.",
    )
    return_path: Literal["ours", "keep"] = Field(
        "ours",
        description="`ours`: each delivery leaves with a signed return path of its own, `keep`: with the submitted "
        "one. Without a return domain `ours` acts as `keep`.",
    )

    @field_validator("selectors")
    @classmethod
    def _selector_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for selector in value:
            if not _SELECTOR.fullmatch(selector):
                raise ValueError(f"{selector!r} is not a selector; write lower-case letters, digits and hyphens")
        _refuse_twice(value)
        return value


class SigningSettings(Section):
    keys: Path = Field(Path("dkim_keys"), description="Folder of DOMAIN/SELECTOR.pem (PKCS#8, 0600).")
    threads: Whole = Field(
        0,
        ge=0,
        le=64,
        description="Threads that sign, a worker; 0 = on the worker's loop, the fastest with a worker a core.",
    )
    operator_domain: HostName | None = Field(
        None,
        description="One of the domains below that signs all signed mail a second time, as the operator, "
        "so that feedback loops and postmaster tools see one sender.",
    )
    domain: tuple[SigningDomain, ...] = Field((), description="[[signing.domain]] sections.")

    @model_validator(mode="after")
    def _operator_has_keys(self) -> SigningSettings:
        if self.operator_domain is not None and self.operator_domain not in {entry.domain for entry in self.domain}:
            raise ValueError(f"operator_domain: {self.operator_domain} needs a [[signing.domain]] section of its own")
        return self

    @field_validator("domain")
    @classmethod
    def _each_once(cls, value: tuple[SigningDomain, ...]) -> tuple[SigningDomain, ...]:
        _refuse_twice([entry.domain for entry in value])
        return value


class ComplaintSettings(Section):
    """The brake: a stream whose complaints reach a rate is slowed, then stopped, until `leak queue resume`."""

    brake: Flag = Field(True, description="Whether complaints slow and stop streams.")
    slow: Number = Field(0.001, gt=0, lt=1, description="Complaints among deliveries from which a stream is slowed.")
    stop: Number = Field(0.003, gt=0, lt=1, description="And from which it is stopped.")
    enough: Whole = Field(
        500, ge=1, description="Deliveries from which the plain rate counts; below, only what chance does not explain."
    )
    window: Duration = Field(timedelta(days=7), description="The time that is counted.")
    per_minute: Whole = Field(60, ge=1, description="Deliveries a minute of a slowed stream, a node.")


class UnsubscribeSettings(Section):
    """One-click unsubscribe (RFC 8058): a link of ours in each mail, one recipient a message."""

    streams: tuple[str, ...] = Field(
        (), description="Streams that offer it, whatever their messages say.", examples=[["news", "offers"]]
    )
    base_url: str = Field(
        "",
        description='Where `/u/` answers the public; "" = `web.base_url`. Receivers follow https:// only.',
        examples=["https://leak.example"],
    )

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", value):
            raise ValueError("write http:// or https:// and a host, without a path")
        return value


class SuppressionSettings(Section):
    """How long a host's word about an address holds; what people say holds for good."""

    hard_bounce: Duration = Field(
        timedelta(days=90), description="How long an address that nobody has is suppressed; doubled each time."
    )
    soft_bounce: Duration = Field(
        timedelta(days=14), description="How long one that failed again and again is; doubled each time."
    )
    soft_bounces: Whole = Field(5, ge=1, description="Messages that fail in a row before it is.")
    soft_span: Duration = Field(timedelta(days=3), description="The least time over which they must be spread.")
    soft_memory: Duration = Field(
        timedelta(days=30), description="After so long without a failure counting starts again."
    )
    longest: Duration = Field(timedelta(days=730), description="The longest that either holds.")


class WebSettings(Section):
    listen: ListenAddress | None = Field(None, description="Where the Leak front answers.")
    base_url: str = Field(
        "http://127.0.0.1:8080", description="The front's public address, without a slash at the end."
    )
    sender_domain: HostName | None = Field(
        None, description="Domain of the letters' From; default: the first signing domain."
    )
    trusted_proxies: tuple[str, ...] = Field((), description="Networks whose Forwarded / X-Forwarded-For is believed.")
    client_port_header: str = Field(
        "X-Forwarded-Port", description="Header in which such a proxy tells the client's port."
    )
    first_contact: Literal["direct", "doorbell"] = Field(
        "direct", description="How an address hears of us first; not in effect yet."
    )
    admission_per_day: Whole = Field(
        0, ge=0, description="Letters a day at most; 0 = what warm-up allows; not in effect yet."
    )
    limits: Flag = Field(True, description="Limits per sender and recipient; off only in the lab and in tests.")
    sealed_keys: Path = Field(
        Path("config/sealed"), description="Public halves of the sealed records' keys; not in effect yet."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _check_networks(value)

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", value):
            raise ValueError("write http:// or https:// and a host, without a path")
        return value


class AlarmSettings(Section):
    command: str = Field("", description="Run with the alarm as JSON on standard input; not in effect yet.")


class WebhookSettings(Section):
    """Where events are posted to, which tenants ask for over the HTTP API: docs/events.md."""

    allow_private_addresses: Flag = Field(
        False, description="Post to loopback and private addresses too: only where every tenant is trusted."
    )
    allow_http: Flag = Field(False, description="Post to http:// URLs too: what is told can be read on the way.")
    timeout: Duration = Field(timedelta(seconds=15), description="Time for one post as a whole.")
    give_up_after: Duration = Field(
        timedelta(days=5), description="A webhook that took nothing for so long is disabled, with an alarm."
    )
    max_per_tenant: Whole = Field(20, ge=0, le=1000, description="Webhooks a tenant may have.")


class JournalSettings(Section):
    """Events as lines of JSON in a file, for log shippers: docs/events.md."""

    file: Path | None = Field(
        None,
        description="Where every event of the spool, of all tenants, is written by this node; none: nowhere.",
        examples=["/var/log/leak/events.jsonl"],
    )

    @field_validator("file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class EgressSource(Section):
    name: str = Field(description="A short name of this source.")
    address: str | None = Field(
        None, description="Local address to bind; omitted = the system's choice.", examples=["192.0.2.10"]
    )
    ehlo: HostName | None = Field(None, description="EHLO name; default the node's name.")
    ipv6: Literal["when-fit", "always", "never"] = Field(
        "when-fit",
        description="Whether IPv6 leaves from here: `when-fit` = while its PTR record and SPF say so.",
    )
    warm_up: Annotated[str, BeforeValidator(_warm_up)] = Field(
        "", description='"" = warmed; a date starts the schedule; not in effect yet.', examples=["2026-12-01"]
    )

    @field_validator("address")
    @classmethod
    def _ip_address(cls, value: str | None) -> str | None:
        try:
            return None if not value else str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(f"{value!r} is not an IP address") from None


class EgressPool(Section):
    name: str = Field(
        min_length=1, description='A short name of this pool; "default" replaces the pool of all sources.'
    )
    sources: tuple[str, ...] = Field(min_length=1, description="Names of its sources.", examples=[["ip1", "ip2"]])
    weights: dict[str, Annotated[float, Field(gt=0, le=1000)]] = Field(
        {}, description="Parts of its mail by source; 1 where none is given.", examples=[{"ip1": 3}]
    )
    tenants: tuple[str, ...] = Field((), description="Tenants whose mail leaves from this pool.")
    streams: tuple[str, ...] = Field((), description="Streams whose mail does; they come before tenants.")

    @model_validator(mode="after")
    def _weights_of_sources(self) -> EgressPool:
        _refuse_twice(self.sources)
        if strange := sorted(set(self.weights) - set(self.sources)):
            raise ValueError(f"weights: {', '.join(strange)}: not among its sources")
        return self


class EgressSettings(Section):
    source: tuple[EgressSource, ...] = Field((), description="[[egress.source]] sections; none = one default source.")
    pool: tuple[EgressPool, ...] = Field((), description="[[egress.pool]] sections; none = one pool of all sources.")

    @field_validator("source", "pool")
    @classmethod
    def _each_once(cls, value: tuple[EgressSource | EgressPool, ...]) -> object:
        _refuse_twice([entry.name for entry in value])
        return value

    @model_validator(mode="after")
    def _pools_of_sources(self) -> EgressSettings:
        known = [source.name for source in self.source]
        for pool in self.pool:
            if strange := [name for name in pool.sources if name not in known]:
                raise ValueError(f"pool {pool.name}: {', '.join(strange)}: no [[egress.source]] is called so")
        _refuse_twice([name for pool in self.pool for name in pool.tenants])
        _refuse_twice([name for pool in self.pool for name in pool.streams])
        return self


class LabSettings(Section):
    inbox: ListenAddress = Field(
        Listen(host="127.0.0.1", port=8025), description="Where the lab's inbox answers; loopback only."
    )
    subnet: Whole = Field(1, ge=1, le=254, description="N of the addresses 127.0.N.x of the lab's mail hosts.")


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe line written.")
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people.")


class Settings(Section):
    """The whole configuration. `folder` is where relative paths start."""

    node: NodeSettings = NodeSettings()
    spool: SpoolSettings = SpoolSettings()
    submission: SubmissionSettings = SubmissionSettings()
    api: ApiSettings = ApiSettings()
    inbound: InboundSettings = InboundSettings()
    resolver: ResolverSettings = ResolverSettings()
    delivery: DeliverySettings = DeliverySettings()
    signing: SigningSettings = SigningSettings()
    suppression: SuppressionSettings = SuppressionSettings()
    complaints: ComplaintSettings = ComplaintSettings()
    unsubscribe: UnsubscribeSettings = UnsubscribeSettings()
    web: WebSettings = WebSettings()
    alarm: AlarmSettings = AlarmSettings()
    webhooks: WebhookSettings = WebhookSettings()
    journal: JournalSettings = JournalSettings()
    egress: EgressSettings = EgressSettings()
    log: LogSettings = LogSettings()
    lab: LabSettings = LabSettings()
    folder: Path = Field(Path(), exclude=True, description="Set by the loader: the configuration's folder.")

    @model_validator(mode="after")
    def _routes_name_pools(self) -> Settings:
        known = {pool.name for pool in self.egress.pool} | {"default"}
        for route in self.delivery.route:
            if route.pool and route.pool not in known:
                raise ValueError(f"delivery.route: {route.domain}: no [[egress.pool]] is called {route.pool}")
        return self

    def path(self, path: Path) -> Path:
        """`path`, taken from the configuration's folder if it is relative, without ".." where that changes nothing."""
        there = self.folder / path
        plain = Path(os.path.normpath(there))
        # Behind a link to a folder, ".." is another folder than the text says.
        return plain if plain.resolve() == there.resolve() else there

    @property
    def sqlite_path(self) -> Path | None:
        """The spool's file, None when the spool is not SQLite. `sqlite:///a/b` is absolute, `sqlite:a/b` relative."""
        scheme, colon, rest = self.spool.url.partition(":")
        if scheme != "sqlite" or not colon:
            return None
        return self.path(Path(rest.removeprefix("//")))


def load_settings(file: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in `file` with the environment's overrides; ConfigurationError lists every complaint."""
    environment = os.environ if environment is None else environment
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: no such file; name one with --config, or run `leak init`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {error}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(syntax_complaint(file, text, error)) from None
    missing: Missing = []
    data = expand(data, environment, missing)
    if missing:
        places = Places(Settings, file, text, {})
        raise ConfigurationError("\n".join(places.unset(location, name) for location, name in missing))
    origin = overlay(data, environment)
    return _validate(data, file, text, origin)


def settings_from(data: Mapping[str, Any], folder: Path) -> Settings:
    """Settings from a mapping of the file's shape, for programs that build a configuration themselves."""
    return _validate(dict(data), folder / "(built in)", "", {})


def _validate(data: dict[str, Any], file: Path, text: str, origin: Mapping[str, str]) -> Settings:
    places = Places(Settings, file, text, origin)
    complaints: list[str] = []
    if "folder" in data:
        del data["folder"]
        complaints.append(places.complaint({"loc": ("folder",), "type": "extra_forbidden", "msg": ""}))
    try:
        settings = Settings.model_validate({**data, "folder": file.resolve().parent})
    except ValidationError as error:
        complaints += [places.complaint(item) for item in error.errors()]
    else:
        if not complaints:
            return settings
    raise ConfigurationError("\n".join(complaints)) from None
