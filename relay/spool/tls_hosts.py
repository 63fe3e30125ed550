"""What TLS was demanded of each host lately and what was had, counted from the newest results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.event import EventKind
from relay.spool.rows import load

LOOKED_AT: Final = 20_000
"""Results that are looked at, the newest."""

_EVENTS: Final = 5 * LOOKED_AT
"""Among so many events: a table of millions is not read whole for the sake of a quiet week."""

_BY: Final = {"tlsa": "TLSA records", "sts": "MTA-STS"}
_RESULTS: Final = (EventKind.DELIVERED, EventKind.DEFERRED, EventKind.BOUNCED, EventKind.EXPIRED)


@dataclass(frozen=True, slots=True)
class HostTls:
    """So many results of one host with the same TLS; `last` is the newest."""

    host: str
    demand: str
    policy: str
    """`tlsa`, `sts` or `no-policy-found`, and whose it is: "" without one."""
    domain: str
    testing: bool
    protocol: str
    """"" in clear."""
    verified: bool
    failure: str
    """What fell short, as a result type of RFC 8460 §4.3."""
    count: int
    last: datetime
    error: str
    """Why, as the newest result says."""

    @property
    def demanded(self) -> str:
        """What was demanded, in words."""
        return f"{self.demand}, watched only" if self.testing else self.demand

    @property
    def demanded_by(self) -> str:
        """Who demanded it, in words; "" for the settings."""
        return f"{_BY[self.policy]} of {self.domain}" if self.policy in _BY else ""

    @property
    def had(self) -> str:
        """What was had, in words."""
        return self.protocol or "in clear"

    @property
    def certificate(self) -> str:
        """How the certificate was judged, in words; "" in clear."""
        return ("verified" if self.verified else "not verified") if self.protocol else ""


async def tls_by_host(database: Database, since: datetime, host: str = "") -> list[HostTls]:
    """Hosts whose name ends in `host`, the last seen first. Raises SpoolUnavailableError."""
    marks = ", ".join("?" * len(_RESULTS))
    newest = f"seq > (SELECT coalesce(max(seq), 0) FROM event) - {_EVENTS}"  # noqa: S608 - a constant of ours
    query = f"SELECT at, detail FROM event WHERE {newest} AND at >= ? AND kind IN ({marks}) ORDER BY seq DESC LIMIT ?"  # noqa: S608
    wanted = (to_millis(since), *(int(kind) for kind in _RESULTS), LOOKED_AT)

    def work(connection: Connection) -> list[HostTls]:
        found: dict[tuple[object, ...], HostTls] = {}
        for at, detail in connection.execute(query, wanted):
            for name, tls in _hosts(load(detail)):
                if not name.endswith(host):
                    continue
                one = _host_tls(name, tls, from_millis(at))
                key = (name, one.demand, one.policy, one.domain, one.protocol, one.verified, one.failure)
                known = found.get(key)
                found[key] = one if known is None else replace(known, count=known.count + 1)
        return list(found.values())

    return await database.read(work)


def _hosts(detail: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The host of the result, and those that were passed over for their TLS before it."""
    for one in (*detail.get("passed", ()), detail):
        if one.get("host") and isinstance(one.get("tls"), Mapping):
            yield str(one["host"]), one["tls"]


def _host_tls(host: str, tls: Mapping[str, Any], at: datetime) -> HostTls:
    return HostTls(
        host,
        demand=str(tls.get("demand", "")),
        policy=str(tls.get("policy", "")),
        domain=str(tls.get("domain", "")),
        testing=bool(tls.get("testing")),
        protocol=str(tls.get("protocol", "")),
        verified=bool(tls.get("verified")),
        failure=str(tls.get("failure", "")),
        count=1,
        last=at,
        error=str(tls.get("error", "")),
    )
