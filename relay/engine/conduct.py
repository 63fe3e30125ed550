"""Conduct: how a path is treated after what an attempt on it showed.

Stands between the sessions and the lines. Pace, rest and slowness follow from outcomes, and so does what a provider's
replies ask for by the shaping rules; a suspension by such a rule goes into the spool, so that all workers honour it.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from math import inf

from relay.clock import Clock
from relay.engine.attempt import AttemptResult
from relay.engine.custody import Custody
from relay.engine.gate import LONG
from relay.engine.line import Rest, SiteLine, Slowed, Standing
from relay.engine.shaper import Shaper
from relay.engine.site import SiteLines
from relay.engine.ways import Ways
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.outcome import Outcome, Phase, Scope
from relay.policy.shaping import Action, ReplyRule
from relay.policy.way import EgressPath
from relay.spool.orders import Suspension

_log = Log("dispatcher")


class Then(Enum):
    """What is to be done with those who stand in the path's line."""

    STAY = "stay"
    FILL = "fill"
    """The path went well: perhaps more sessions may serve them."""
    LINE_UP_AGAIN = "line-up-again"
    """The path rests, or its source: they look for another."""
    GIVE_BACK = "give-back"
    """It takes nothing for long: they wait in the spool."""


class Conduct:
    """Of all paths of a worker."""

    def __init__(self, custody: Custody, lines: SiteLines, ways: Ways, shaper: Shaper, clock: Clock) -> None:
        self._tasks = custody.tasks
        self._spool = custody.spool
        self._lines = lines
        self._ways = ways
        self._shaper = shaper
        self._clock = clock
        self._storing: set[EgressPath] = set()
        """Suspended by a rule, and the spool was not told yet."""

    def learn(self, line: SiteLine, standing: Standing, result: AttemptResult) -> Then:
        """Let the path's pace and rest, and the source's health, follow what was seen."""
        now = self._clock.now()
        unmet = result.unmet and not standing.way.plan.for_all
        reached = result.reached or result.pressure is not None or unmet
        source_rests = self._ways.learn(standing.way, result.outcomes[0], now, reached=reached)
        stay = Then.LINE_UP_AGAIN if source_rests else Then.STAY
        if not result.reached and result.outcomes[0].scope is Scope.SOURCE:
            return stay  # our own trouble, such as no descriptors left, says nothing about the site
        if unmet:
            domain = standing.parcel.duties[0].recipient.address.domain
            rest = self._lines.let_wait(line, domain, result.outcomes[0], now)
            _log.warning("domain-waits", path=line.path, domain=domain, until=rest.until, reply=rest.failure.reply)
            return Then.LINE_UP_AGAIN
        refusal = result.refusal_of_path
        pressure = result.pressure
        if self._asked(line, result, now):
            return Then.LINE_UP_AGAIN
        if pressure is not None and refusal is None:
            return self._slow(line, pressure, stay)
        if result.reached and refusal is None:
            if line.rest is not None and not line.rest.ordered:
                line.rest = None
            line.pace = line.pace.succeeded()
            return Then.FILL
        if line.resting(now) is None:
            failure = refusal or result.outcomes[0]
            rest = self._lines.put_to_rest(line, failure, now)
            _log.warning("site-rests", path=line.path, until=rest.until, phase=failure.phase.value, reply=failure.reply)
            return Then.LINE_UP_AGAIN
        return stay

    def _slow(self, line: SiteLine, refusal: Outcome, stay: Then) -> Then:
        """The far side said "too much": the gate knows. Mail that would wait long for it waits in the spool."""
        wait = line.gate.wait()
        _log.info("path-slowed", path=line.path, rate=line.gate.rate.shown(), wait=wait, reply=refusal.reply)
        return Then.GIVE_BACK if LONG < wait < inf else stay

    def _asked(self, line: SiteLine, result: AttemptResult, now: datetime) -> bool:
        """Do what reply rules ask for; whether the path is suspended by one."""
        suspended = False
        for rule in self._shaper.asked(line.path, line.shaping, result.outcomes, now):
            failure = result.outcomes[0]
            _log.warning("reply-rule", path=line.path, rule=rule.id, action=rule.action, reply=failure.reply)
            if rule.alarm:
                self._tasks.start(self._shaper.alarm(rule, line.path, str(failure.reply)), f"alarm-{rule.id}")
            if rule.action is Action.SUSPEND:
                self._lines.put_to_rest(line, failure, now, rule)
                self._storing.add(line.path)
                self._tasks.start(self._suspend(line.path, rule, now + rule.lasts), f"suspend-{rule.id}")
                suspended = True
            elif rule.action is Action.SLOW:
                line.slowed = Slowed(now + rule.lasts, rule)
                line.use(line.shaping, self._shaper.share, now)
        return suspended

    async def _suspend(self, path: EgressPath, rule: ReplyRule, until: datetime) -> None:
        """Let the spool say so: for all workers, and after a restart too.

        With one source no mail of the site is claimed. With several its other paths go on: workers let this one rest.
        """
        source = path.source if len(self._ways.pools.names()) > 1 else ""
        reason = f"rule {rule.id}: the provider asked for it"
        try:
            known = {(one.site, one.source, one.reason) for one in await self._spool.suspensions()}
            if (path.site, source, reason) not in known:  # else another worker was told the same
                await self._spool.suspend(Suspension(0, "", "", path.site, until, reason, source))
            self._storing.discard(path)
        except SpoolUnavailableError as error:
            _log.warning("suspension-not-stored", path=path, error=error)

    async def follow_suspensions(self) -> None:
        """Let paths rest that are suspended, and end the rests of those that are not any more.

        Raises SpoolUnavailableError.
        """
        now, storing = self._clock.now(), frozenset(self._storing)
        found = await self._spool.suspensions()
        whole = {(one.site, one.source): one for one in found if one.site and not one.tenant and not one.domain}
        for line in self._lines:
            rest = line.rest
            if rest is not None and rest.ordered and rest.since < now and line.path not in storing:
                site, source = line.path.site, line.path.source
                line.rest = rest if (site, "") in whole or (site, source) in whole else None
        for (site, source), one in whole.items():
            if source and source in self._ways.pools.names():
                line = self._lines.line(EgressPath(site, source), now)
                rest = line.resting(now)
                if rest is None or not rest.ordered:
                    self._lines.let_rest(line, Rest.told(now, one.until, Phase.PERMIT, one.reason, ordered=True))
