"""Which servers the spool's URL names: read before anything is connected, and without the driver. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from relay.errors import ConfigurationError

_FORM = "write postgresql://user@host:5432,host2/db"


def hosts_of(url: str, environment: Mapping[str, str]) -> list[tuple[str, int] | None]:
    """The hosts and ports in a URL; [None] where a socket or PGHOST in `environment` stands for them.

    ConfigurationError where nothing names a host: the driver would try whatever this machine happens to run.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"spool.url: {error}; {_FORM}") from None
    hosts: list[tuple[str, int] | None] = []
    for place in filter(None, parts.netloc.rpartition("@")[2].split(",")):
        host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        if not colon:
            host, port = place, "5432"
        if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
            raise ConfigurationError(f"spool.url: {place!r} is no host; {_FORM}")
        hosts.append((host.strip("[]"), int(port)))
    if not hosts and not parse_qs(parts.query).get("host") and not environment.get("PGHOST"):
        raise ConfigurationError(
            f"spool.url: names no host; {_FORM}, or postgresql:///db?host=/run/postgresql for a socket"
        )
    return hosts or [None]
