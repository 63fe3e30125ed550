"""Sharing: what a worker finds of its paths is noted in the spool, and what others found of them is heeded here too.

Beside the lines, at heartbeats. One worker that met a dead site spares the others its time-outs, on other nodes and
after a restart too; nobody who reaches a site at this moment is stopped by another's note. A path that is new to this
worker begins with the pace that the others reached, or that was reached before a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from relay.clock import Clock
from relay.engine.line import Rest, SiteLine
from relay.engine.site import SiteLines
from relay.log import Log
from relay.policy.handover import Learnt, begin, begin_sessions, cut, is_new, learnt, typical
from relay.policy.outcome import Phase
from relay.policy.pace import starting_pace
from relay.policy.rate import Stage
from relay.policy.way import EgressPath
from relay.shaping.path_notes import RENEWED, PathNote, PathNotes

_log = Log("dispatcher")

MOST_NOTES: Final = 1000
"""Paths of a worker of which it writes notes."""


class Sharing:
    """The notes of one worker. What is suspended stands in the spool as such, and is nothing to note."""

    def __init__(self, notes: PathNotes, lines: SiteLines, clock: Clock) -> None:
        self._notes = notes
        self._lines = lines
        self._clock = clock
        self._written: dict[tuple[str, str], PathNote] = {}
        self._renewed: datetime | None = None
        self._adopted: dict[EgressPath, datetime] = {}
        self._reached: dict[EgressPath, list[Learnt]] = {}

    async def exchange(self, holder: int) -> None:
        """Write what changed, and take over what others found. Raises SpoolUnavailableError."""
        now = self._clock.now()
        ended = await self._notes.ended()
        for path, moment in ended.items():
            self._wake(path, moment)
        mine = self._mine(now)
        renew = self._renewed is None or not now - RENEWED < self._renewed <= now
        changed = [note for key, note in mine.items() if renew or self._written.get(key) != note]
        gone = self._written.keys() - mine.keys()
        if changed or gone:
            await self._notes.write(holder, changed, gone)
        self._written = mine
        self._renewed = now if renew else self._renewed
        reached: dict[EgressPath, list[Learnt]] = {}
        for note in await self._notes.of_others(holder):
            if note.learnt is not None:
                reached.setdefault(EgressPath(note.site, note.source), []).append(note.learnt)
            if _lasts(note, now, ended):
                self._adopt(note, now)
        self._reached = reached

    def begin(self, line: SiteLine) -> None:
        """A path that is new here begins with what others reached on it; one that is not stays as it is."""
        found = self._reached.get(line.path)
        if not found or not is_new(line.gate.rate) or line.pace != starting_pace(line.pace.limit):
            return
        known = typical(found)
        begin(line.gate.rate, known, line.part, self._clock.monotonic())
        line.pace = begin_sessions(line.pace, known, line.part)
        _log.info("path-known", path=line.path, rate=line.gate.rate.shown(), sessions=line.pace.window)

    def moved(self, line: SiteLine, before: float) -> None:
        """This worker's part of the path was `before`: its pace is another part of the whole now.

        Who has more takes over no more than what others left behind.
        """
        rate = line.gate.rate
        if not before or not line.part or rate.stage is Stage.OPEN:
            return
        factor = line.part / before
        if factor > 1:
            left = sum(one.per_minute for one in self._reached.get(line.path, ())) * before
            factor = min(factor, 1 + left / (60 * rate.per_second))
        cut(rate, factor, self._clock.monotonic())

    def _mine(self, now: datetime) -> dict[tuple[str, str], PathNote]:
        """What this worker has to say of its paths; a rest that it took over is another's to note."""
        mine: dict[tuple[str, str], PathNote] = {}
        for line in self._lines:
            rest = line.resting(now)
            if rest is not None and (rest.ordered or self._adopted.get(line.path) == rest.until):
                rest = None
            pace = line.gate.rate.shown() if line.gate.rate.stage is not Stage.OPEN else ""
            found = learnt(line.gate.rate, line.pace, line.part)
            if (rest is not None or pace or found) and len(mine) < MOST_NOTES:
                mine[line.path.site, line.path.source] = _note(line, rest, pace, found)
        self._adopted = {path: until for path, until in self._adopted.items() if until > now}
        return mine

    def _wake(self, path: EgressPath, moment: datetime) -> None:
        """An operator ended the rests of this path that began before."""
        line = self._lines.get(path)
        if line is not None and line.rest is not None and not line.rest.ordered and line.rest.since < moment:
            line.rest = None
            self._adopted.pop(path, None)
            _log.info("rest-ended", path=path)

    def _adopt(self, note: PathNote, now: datetime) -> None:
        path = EgressPath(note.site, note.source)
        known = self._lines.get(path)
        if note.rests_until is None or note.rests_since is None or note.rests_since > now:
            return
        if known is not None and (known.sessions or known.resting(now) is not None):
            return
        line = self._lines.line(path, now)
        self._lines.let_rest(line, Rest.told(note.rests_since, note.rests_until, _phase(note.phase), note.why))
        self._adopted[path] = note.rests_until
        _log.info("site-rests-elsewhere", path=path, until=note.rests_until)


def _note(line: SiteLine, rest: Rest | None, pace: str, found: Learnt | None) -> PathNote:
    path = line.path
    if rest is None:
        return PathNote(path.site, path.source, pace=pace, learnt=found)
    words = str(rest.failure.reply)
    return PathNote(path.site, path.source, rest.since, rest.until, rest.failure.phase.value, words, pace, found)


def _lasts(note: PathNote, now: datetime, ended: Mapping[EgressPath, datetime]) -> bool:
    """Whether the note tells of a rest, and nobody ended it since it was written."""
    if note.rests_since is None or note.rests_until is None or note.rests_until <= now:
        return False
    moment = ended.get(EgressPath(note.site, note.source))
    return moment is None or note.rests_since >= moment


def _phase(word: str) -> Phase:
    return Phase(word) if word in {one.value for one in Phase} else Phase.CONNECT
