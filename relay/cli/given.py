"""What whoever runs `leak init` has said: by options and in a file of answers; options win."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from relay.cli.output import UsageError


@dataclass(frozen=True, slots=True)
class Given:
    """The answers, "" and none where nothing was said; the fields are the keys of a file of answers."""

    domain: str
    hostname: str
    http: str
    spool: str
    certificate: str
    certificate_key: str
    listen: tuple[str, ...]
    inbound: tuple[str, ...]
    address: tuple[str, ...]
    resolver: tuple[str, ...]

    @classmethod
    def of(cls, options: Mapping[str, Any], file: Path | None) -> Given:
        """`options` by name, None or empty where they were not used. Raises UsageError."""
        told = _read_answers(file) if file is not None else {}

        def one(key: str) -> str:
            return options[key] or _one(told, key) or ""

        def many(key: str) -> tuple[str, ...]:
            return tuple(options[key] or _many(told, key))

        given = cls(
            domain=one("domain"),
            hostname=one("hostname"),
            http=one("http"),
            spool=one("spool"),
            certificate=one("certificate"),
            certificate_key=one("certificate_key"),
            listen=many("listen"),
            inbound=many("inbound"),
            address=tuple(ip_address(text) for text in many("address")),
            resolver=tuple(_own_resolver(text) for text in many("resolver")),
        )
        if bool(given.certificate) != bool(given.certificate_key):
            raise UsageError("--certificate and --certificate-key belong together")
        return given

    @property
    def says_something(self) -> bool:
        """Whether anything was said at all."""
        return any(getattr(self, field.name) for field in fields(self))


def _read_answers(file: Path) -> dict[str, Any]:
    """The answers in a file, for automation. Raises UsageError for what is none."""
    import tomllib

    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: {error}") from None
    known = [field.name for field in fields(Given)]
    if strange := sorted(set(told) - set(known)):
        raise UsageError(f"{file}: {', '.join(strange)}: not an answer; there are {', '.join(known)}")
    return told


def _one(told: Mapping[str, Any], key: str) -> str | None:
    value = told.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{key}: {value!r} is no text")
    return value


def _many(told: Mapping[str, Any], key: str) -> list[str]:
    value = told.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise UsageError(f"{key}: {value!r} is neither a text nor a list of them")
    return values


def ip_address(text: str) -> str:
    """An address in its usual form. Raises UsageError."""
    import ipaddress

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"--address: {text!r} is no IP address") from None


def _own_resolver(text: str) -> str:
    """Its AD bit will be believed, so nobody may stand between it and us."""
    from relay.settings import parse_listen

    try:
        server = parse_listen(text)
    except ValueError as error:
        raise UsageError(f"--resolver: {error}") from None
    if not server.loopback or server.tls:
        raise UsageError(f"--resolver: {text} is not on this machine: its answers could be forged on the way")
    return text


def checked(name: str) -> str:
    """A domain in its usual form. Raises UsageError."""
    from relay.mail.address import AddressError, parse_domain

    try:
        return parse_domain(name)
    except AddressError as error:
        raise UsageError(f"{name!r}: {error}; write a name such as leak.example") from None
