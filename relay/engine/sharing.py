"""Sharing: what a worker finds of its paths is noted in the spool, and the rests that others found are kept here too.

Beside the lines, at heartbeats. One worker that met a dead site spares the others its time-outs, on other nodes and
after a restart too; nobody who reaches a site at this moment is stopped by another's note.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from relay.clock import Clock
from relay.engine.line import Rest, SiteLine
from relay.engine.site import SiteLines
from relay.log import Log
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.rate import Stage
from relay.policy.route import EgressPath
from relay.shaping.path_notes import RENEWED, PathNote, PathNotes
from relay.smtp.reply import reply

_log = Log("dispatcher")

MOST_NOTES: Final = 1000
"""Paths of a worker of which it writes notes."""


class Sharing:
    """The notes of one worker. `lone`: with one source, what reply rules suspend is told as a suspension."""

    def __init__(self, notes: PathNotes, lines: SiteLines, clock: Clock, *, lone: bool) -> None:
        self._notes = notes
        self._lines = lines
        self._clock = clock
        self._lone = lone
        self._written: dict[tuple[str, str], PathNote] = {}
        self._renewed: datetime | None = None
        self._adopted: dict[EgressPath, datetime] = {}

    async def exchange(self, holder: int) -> None:
        """Write what changed, and take over what others found. Raises SpoolUnavailableError."""
        now = self._clock.now()
        mine = self._mine(now)
        renew = self._renewed is None or not now - RENEWED < self._renewed <= now
        changed = [note for key, note in mine.items() if renew or self._written.get(key) != note]
        gone = self._written.keys() - mine.keys()
        if changed or gone:
            await self._notes.write(holder, changed, gone)
        self._written = mine
        self._renewed = now if renew else self._renewed
        for note in await self._notes.resting(holder):
            self._adopt(note, now)

    def _mine(self, now: datetime) -> dict[tuple[str, str], PathNote]:
        """What this worker has to say of its paths; a rest that it took over is another's to note."""
        mine: dict[tuple[str, str], PathNote] = {}
        for line in self._lines:
            rest = line.resting(now)
            if rest is not None and (self._adopted.get(line.path) == rest.until or (rest.rule and self._lone)):
                rest = None
            pace = line.gate.rate.shown() if line.gate.rate.stage is not Stage.OPEN else ""
            if (rest is not None or pace) and len(mine) < MOST_NOTES:
                mine[line.path.site, line.path.source] = _note(line, rest, pace)
        self._adopted = {path: until for path, until in self._adopted.items() if until > now}
        return mine

    def _adopt(self, note: PathNote, now: datetime) -> None:
        path = EgressPath(note.site, note.source)
        known = self._lines.get(path)
        if note.rests_until is None or note.rests_since is None or note.rests_since > now:
            return
        if known is not None and (known.sessions or known.resting(now) is not None):
            return
        failure = Outcome(
            Result.TEMPORARY, Scope.SITE, _phase(note.phase), DecidedBy.RELAY, reply(451, "4.4.0", note.why)
        )
        line = self._lines.line(path, now)
        self._lines.let_rest(line, Rest(note.rests_since, note.rests_until, failure))
        self._adopted[path] = note.rests_until
        _log.info("site-rests-elsewhere", path=path, until=note.rests_until)


def _note(line: SiteLine, rest: Rest | None, pace: str) -> PathNote:
    path = line.path
    if rest is None:
        return PathNote(path.site, path.source, pace=pace)
    words = str(rest.failure.reply)
    if rest.rule is not None:
        words = f"rule {rest.rule.id}: {words}"
    return PathNote(path.site, path.source, rest.since, rest.until, rest.failure.phase.value, words, pace)


def _phase(word: str) -> Phase:
    return Phase(word) if word in {one.value for one in Phase} else Phase.CONNECT
