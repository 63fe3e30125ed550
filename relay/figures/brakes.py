"""Brakes as rows: what complaints ask for, what stands, and the end of it by command. SQL that every database knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection
from relay.event import EventKind
from relay.figures.rows import hour_of
from relay.policy.complaints import BrakeRules, Judgement, Level, Sample, harsher, judge

EVERY_STREAM = "*"
"""The stream of a brake on all of a tenant's mail."""


@dataclass(frozen=True, slots=True)
class Brake:
    """A stream that is slowed or stopped, or was and is free again since `since`."""

    tenant: int
    tenant_name: str
    stream: str
    level: Level
    provider: str
    delivered: int
    complaints: int
    since: datetime

    @property
    def subject(self) -> str:
        """How alarms name it."""
        return f"{self.tenant_name}/{self.stream or '(no stream)'}"

    def __str__(self) -> str:
        what = "stopped" if self.level is Level.STOP else "slowed"
        judgement = Judgement(self.level, Sample(self.provider, self.delivered, self.complaints))
        return f"{what} for {judgement} (since {self.since:%Y-%m-%d %H:%M})"


_SHOWN = (
    "SELECT b.tenant, coalesce(t.name, CAST(b.tenant AS TEXT)), b.stream, b.level, b.provider, b.delivered,"
    " b.complaints, b.since FROM brake b LEFT JOIN tenant t ON t.id = b.tenant"
)


def brakes(connection: Connection, *, freed: bool = False) -> list[Brake]:
    """The brakes that stand, with `freed` also those that were resumed."""
    found = [
        Brake(tenant, str(name), stream, Level(level), provider, delivered, complaints, from_millis(since))
        for tenant, name, stream, level, provider, delivered, complaints, since in connection.execute(
            f"{_SHOWN} ORDER BY b.tenant, b.stream"
        )
    ]
    return [one for one in found if freed or one.level is not Level.FREE]


def tighten(connection: Connection, rules: BrakeRules, now: datetime) -> int:
    """Judge what complaints came in the window, and brake harder where they ask for it; how often that was."""
    known = {(one.tenant, one.stream): one for one in brakes(connection, freed=True)}
    sums = _sums(connection, hour_of(now - rules.window), known)
    tightened = 0
    # Streams first: a tenant as a whole is judged only by mail that no brake of its own holds.
    for tenant, stream in sorted(sums, key=lambda key: (key[0], key[1] == EVERY_STREAM, key[1])):
        if stream == EVERY_STREAM:
            streams = sum(1 for one, named in sums if one == tenant and named != EVERY_STREAM)
            if streams < 2 or any(one.tenant == tenant and one.stream != EVERY_STREAM for one in brakes(connection)):
                continue
        judgement = judge(_samples(sums[tenant, stream]), rules)
        old = known[tenant, stream].level if (tenant, stream) in known else Level.FREE
        if harsher(old, judgement.level):
            _write(connection, tenant, stream, judgement, now)
            tightened += 1
    return tightened


def _sums(
    connection: Connection, begin: int, known: Mapping[tuple[int, str], Brake]
) -> dict[tuple[int, str], Counter[tuple[str, int]]]:
    """Deliveries and complaints by (provider, kind), provider "" for all, of each stream and of each tenant."""
    complained = int(EventKind.COMPLAINED)
    rows = connection.execute(
        "SELECT tenant, stream, provider, hour, kind, CAST(sum(count) AS BIGINT) FROM figure WHERE hour >= ?"
        " AND kind IN (?, ?) AND tenant IN (SELECT tenant FROM figure WHERE hour >= ? AND kind = ?)"
        " GROUP BY tenant, stream, provider, hour, kind",
        (begin, int(EventKind.DELIVERED), complained, begin, complained),
    )
    sums: dict[tuple[int, str], Counter[tuple[str, int]]] = {}
    for tenant, stream, provider, hour, kind, count in rows:
        for scope in (stream, EVERY_STREAM):
            brake = known.get((tenant, scope))
            if brake is not None and brake.level is Level.FREE and hour <= hour_of(brake.since):
                continue  # what was before it was resumed is forgiven
            counted = sums.setdefault((tenant, scope), Counter())
            counted[provider, kind] += count
            counted["", kind] += count
    return sums


def _samples(counted: Counter[tuple[str, int]]) -> list[Sample]:
    delivered, complained = int(EventKind.DELIVERED), int(EventKind.COMPLAINED)
    return [
        Sample(provider, counted[provider, delivered], counted[provider, complained])
        for provider in {provider for provider, _ in counted}
    ]


def _write(connection: Connection, tenant: int, stream: str, judgement: Judgement, now: datetime) -> None:
    sample = judgement.sample
    connection.execute(
        "INSERT INTO brake (tenant, stream, level, provider, delivered, complaints, since) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, stream) DO UPDATE SET level = excluded.level, provider = excluded.provider,"
        " delivered = excluded.delivered, complaints = excluded.complaints, since = excluded.since",
        (tenant, stream, judgement.level.value, sample.provider, sample.delivered, sample.complaints, to_millis(now)),
    )


def loosen(connection: Connection, tenant: str, stream: str, now: datetime) -> Brake | None:
    """End a brake; what was counted up to this hour is forgiven. The brake, None if none stood."""
    for one in brakes(connection):
        if (one.tenant_name, one.stream) == (tenant, stream):
            connection.execute(
                "UPDATE brake SET level = ?, since = ? WHERE tenant = ? AND stream = ?",
                (Level.FREE.value, to_millis(now), one.tenant, one.stream),
            )
            return one
    return None
