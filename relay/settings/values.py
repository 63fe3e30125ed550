"""What a setting can hold: durations, sizes, addresses, host names; each says what is wrong and what is allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from relay.mail.address import AddressError, parse_domain
from relay.units import parse_duration, parse_size

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
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


def host_name(value: object) -> object:
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
HostName = Annotated[str, BeforeValidator(host_name)]


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


def server(value: object) -> object:
    address = _listen(value)
    if isinstance(address, Listen) and address.tls:
        raise ValueError(f'{str(value)!r}: "/tls" cannot stand here; write "host:port"')
    return address


def _one_or_many(value: object) -> object:
    """A single text where a list is expected, as environment variables are easiest to write."""
    return [value] if isinstance(value, str) else value


ListenAddress = Annotated[Listen, BeforeValidator(_listen)]
ListenAddresses = Annotated[tuple[ListenAddress, ...], BeforeValidator(_one_or_many)]
ServerAddresses = Annotated[tuple[Annotated[Listen, BeforeValidator(server)], ...], BeforeValidator(_one_or_many)]


class Section(BaseModel):
    """A section of the file: unknown keys are errors, values never change after the load."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsFiles(Section):
    certificate: Path = Field(description="PEM file with the certificate chain.")
    key: Path = Field(description="PEM file with the private key.")


def check_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f'{error}; write networks such as "127.0.0.1/32" or "2001:db8::/32"') from None
    return value


def refuse_twice(names: Sequence[str]) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"named more than once: {', '.join(sorted(twice))}")
