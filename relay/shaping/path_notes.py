"""Notes on paths: what one worker found of a path and the others should know, that it rests and the pace it learnt.

Written at heartbeats by the worker that found it, read by all the others and by those who explain why mail waits. A
note that is not renewed is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.policy.explanation import Stop
from relay.policy.handover import Learnt
from relay.policy.way import EgressPath

KEPT: Final = timedelta(hours=1)
"""How long a note stands that its writer does not renew."""

RENEWED: Final = timedelta(minutes=20)
"""How often a note is renewed that does not change."""

_NOBODY: Final = 0
"""Holder of the rows that tell when an operator ended a path's rests; the others' are incarnations."""

MOST_READ: Final = 10_000
MOST_WORDS: Final = 300


@dataclass(frozen=True, slots=True)
class PathNote:
    """What a worker knows of a path: its rest (None: it does not rest) and the words of its pace ("": no limit)."""

    site: str
    source: str
    rests_since: datetime | None = None
    rests_until: datetime | None = None
    phase: str = ""
    why: str = ""
    pace: str = ""
    learnt: Learnt | None = None
    """What another worker may begin with."""

    def __str__(self) -> str:
        path = f"{self.site} from {self.source}"
        if self.rests_until is not None:
            return f"{path} rests until {self.rests_until:%Y-%m-%d %H:%M:%S} UTC because: {self.why}"
        return f"{path}: its provider limits us, the pace learnt is {self.pace}"


class PathNotes:
    """The notes in a database. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def write(self, holder: int, notes: Sequence[PathNote], gone: Collection[tuple[str, str]]) -> None:
        """Write a worker's notes and delete those of paths it has nothing to say of any more, and old ones."""
        now = to_millis(self._clock.now())
        rows = sorted((one.site, one.source, holder, now, *_columns(one)) for one in notes)

        def work(connection: Connection) -> None:
            connection.executemany(
                "DELETE FROM path_note WHERE site = ? AND source = ? AND holder = ?",
                [(site, source, holder) for site, source in sorted(gone)],
            )
            connection.executemany(
                "INSERT INTO path_note (site, source, holder, at, rests_since, rests_until, phase, why, pace,"
                " per_minute, ceiling, horizon, penalty, sessions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (site, source, holder) DO UPDATE SET at = excluded.at,"
                " rests_since = excluded.rests_since, rests_until = excluded.rests_until, phase = excluded.phase,"
                " why = excluded.why, pace = excluded.pace, per_minute = excluded.per_minute,"
                " ceiling = excluded.ceiling, horizon = excluded.horizon, penalty = excluded.penalty,"
                " sessions = excluded.sessions",
                rows,
            )
            connection.execute("DELETE FROM path_note WHERE at < ?", (now - _millis(KEPT),))

        await self._database.write(work)

    async def of_others(self, than: int) -> list[PathNote]:
        """What others noted: rests that last, the longest first, and what they learnt."""
        now = to_millis(self._clock.now())
        query = (
            f"{_SHOWN} WHERE (rests_until > ? OR per_minute > 0 OR sessions > 0) AND holder <> ? AND at >= ?"
            " ORDER BY rests_until DESC, at DESC LIMIT ?"
        )
        wanted = (now, than, now - _millis(KEPT), MOST_READ)
        return await self._database.read(lambda connection: [_note(row) for row in connection.execute(query, wanted)])

    async def end_rests(self, site: str, source: str = "") -> int:
        """End the rests of a site's paths, of one source or of all, for every worker; how many paths rested."""
        now = to_millis(self._clock.now())
        where = "site = ? AND rests_until > ?"
        named: tuple[str | int, ...] = (site, now)
        if source:
            where, named = f"{where} AND source = ?", (*named, source)

        def work(connection: Connection) -> int:
            paths = sorted(set(connection.execute(f"SELECT site, source FROM path_note WHERE {where}", named)))  # noqa: S608
            connection.execute(f"UPDATE path_note SET rests_since = 0, rests_until = 0 WHERE {where}", named)  # noqa: S608
            connection.executemany(
                "INSERT INTO path_note (site, source, holder, at, rests_since, rests_until, phase, why, pace)"
                " VALUES (?, ?, ?, ?, ?, 0, '', '', '') ON CONFLICT (site, source, holder) DO UPDATE SET"
                " at = excluded.at, rests_since = excluded.rests_since",
                [(*path, _NOBODY, now, now) for path in paths],
            )
            return len(paths)

        return await self._database.write(work)

    async def ended(self) -> dict[EgressPath, datetime]:
        """The paths whose rests an operator ended lately, and when: what began before does not count any more."""
        return await self._database.read(
            lambda connection: {
                EgressPath(site, source): from_millis(at)
                for site, source, at in connection.execute(
                    "SELECT site, source, rests_since FROM path_note WHERE holder = ?", (_NOBODY,)
                )
            }
        )

    async def all(self) -> list[PathNote]:
        """One note a path, of the worker whose rest lasts longest, else of the one that wrote last."""
        now = to_millis(self._clock.now())
        query = f"{_SHOWN} WHERE at >= ? ORDER BY rests_until, at LIMIT ?"
        rows = await rows_of(self._database, query, (now - _millis(KEPT), MOST_READ))
        notes = (_note(row if row[3] > now else (*row[:2], 0, 0, "", "", *row[6:])) for row in rows)
        found = {(one.site, one.source): one for one in notes if one.rests_until is not None or one.pace}
        return [found[key] for key in sorted(found)]


def paces(notes: Sequence[PathNote]) -> dict[str, str]:
    """By site, in words what its path was found to take."""
    return {note.site: note.pace for note in notes if note.pace}


def rests(notes: Sequence[PathNote]) -> dict[str, Stop]:
    """By site, the rest of its paths that ends first."""
    stops = ((one.site, Stop(one.rests_until, one.why)) for one in notes if one.rests_until is not None)
    return dict(sorted(stops, key=lambda named: named[1].until, reverse=True))


_SHOWN: Final = (
    "SELECT site, source, rests_since, rests_until, phase, why, pace, per_minute, ceiling, horizon, penalty, sessions"
    " FROM path_note"
)


def _millis(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _columns(note: PathNote) -> tuple[int | float | str, ...]:
    since = 0 if note.rests_since is None else to_millis(note.rests_since)
    until = 0 if note.rests_until is None else to_millis(note.rests_until)
    found = note.learnt or Learnt()
    rates = (found.per_minute, found.ceiling, found.horizon, found.penalty, found.sessions)
    return since, until, note.phase, note.why[:MOST_WORDS], note.pace, *rates


def _note(row: Sequence[Any]) -> PathNote:
    site, source, since, until, phase, why, pace, *rates = row
    found = Learnt(*rates)
    since, until = (from_millis(since), from_millis(until)) if until > 0 else (None, None)
    return PathNote(site, source, since, until, phase, why, pace, None if found == Learnt() else found)
