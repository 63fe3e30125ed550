"""The sections of what sends: resolver, delivery, routes, signing, egress sources and pools."""

from __future__ import annotations

import ipaddress
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from relay.mail.address import parse_domain
from relay.settings.values import (
    SELECTOR,
    Duration,
    Flag,
    HostName,
    Number,
    Section,
    ServerAddresses,
    Whole,
    host_name,
    parse_listen,
    refuse_twice,
    server,
)


def _warm_up(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    try:
        return value and date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise ValueError(f'{value!r} is not a date; write it as in "2026-12-01"') from None


class ResolverSettings(Section):
    nameservers: ServerAddresses = Field((), description='"host:port" each; empty = the system\'s.')
    trust_ad: Flag = Field(False, description="Believe the AD bit: only with a validating resolver of your own.")
    timeout: Duration = Field(timedelta(seconds=5), description="Time for one question to one name server.")


def _route_domain(value: object) -> object:
    return value if value == "*" else host_name(value)


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

    @property
    def takes_all(self) -> str:
        """The "host:port" of the smarthost, by either setting; "" where recipients' exchangers are asked."""
        every = next((one for one in self.route if one.domain == "*"), None)
        if every is None:
            return self.smarthost
        return every.next_hop if ":" in every.next_hop else ""

    @field_validator("smarthost")
    @classmethod
    def _smarthost(cls, value: str) -> str:
        if value:
            server(value)
        return value

    @field_validator("ca_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("route", "tls")
    @classmethod
    def _each_domain_once(cls, value: tuple[DeliveryRoute | DeliveryTls, ...]) -> object:
        refuse_twice([entry.domain for entry in value])
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
            if not SELECTOR.fullmatch(selector):
                raise ValueError(f"{selector!r} is not a selector; write lower-case letters, digits and hyphens")
        refuse_twice(value)
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
        refuse_twice([entry.domain for entry in value])
        return value


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
        "",
        description='"" = warm; the day on which its warm-up begins: from then on each good day raises its ceilings.',
        examples=["2026-12-01"],
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
        refuse_twice(self.sources)
        if strange := sorted(set(self.weights) - set(self.sources)):
            raise ValueError(f"weights: {', '.join(strange)}: not among its sources")
        return self


class EgressSettings(Section):
    source: tuple[EgressSource, ...] = Field((), description="[[egress.source]] sections; none = one default source.")
    pool: tuple[EgressPool, ...] = Field((), description="[[egress.pool]] sections; none = one pool of all sources.")

    @field_validator("source", "pool")
    @classmethod
    def _each_once(cls, value: tuple[EgressSource | EgressPool, ...]) -> object:
        refuse_twice([entry.name for entry in value])
        return value

    @model_validator(mode="after")
    def _pools_of_sources(self) -> EgressSettings:
        known = [source.name for source in self.source]
        for pool in self.pool:
            if strange := [name for name in pool.sources if name not in known]:
                raise ValueError(f"pool {pool.name}: {', '.join(strange)}: no [[egress.source]] is called so")
        refuse_twice([name for pool in self.pool for name in pool.tenants])
        refuse_twice([name for pool in self.pool for name in pool.streams])
        return self
