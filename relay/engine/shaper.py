"""The shaper: says what a path may do, and what its replies have brought upon it.

Stands between the shaping rules and the lines. Limits are this worker's share of the path's: the shares of all workers
and nodes that live add up to the limit, so Orange's two connections belong to two workers, or to one, however many
there are; the others leave that mail to them.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final

from relay.engine.alarms import Alarms
from relay.policy.alarms import AlarmKind
from relay.policy.outcome import DecidedBy, Outcome, Result
from relay.policy.route import Plan
from relay.policy.shaping import ReplyRule, Shaping, ShapingBook, Share
from relay.policy.way import EgressPath

MOST_PATHS: Final = 10_000
MOST_TEXT: Final = 500
"""Characters of a reply that patterns see."""

_NONE: Final[frozenset[str]] = frozenset()


class Shaper:
    """The rules, this worker's share, and how often a reply rule was met."""

    def __init__(self, book: ShapingBook, share: Share, alarms: Alarms) -> None:
        self.book = book
        self.share = share
        self._alarms = alarms
        self._domains = book.domains
        self._known: dict[EgressPath, tuple[Shaping, frozenset[str]]] = {}
        """What applies to a path, and the domains of its mail that rules name."""
        self._met: dict[tuple[EgressPath, str], deque[datetime]] = {}
        """When a path met a rule that asks for more than once; who met one last stands last."""

    def shaping(self, path: EgressPath, plan: Plan, domain: str) -> Shaping:
        """What applies to the path, undivided: by its hosts, and by all domains whose mail goes there.

        A smarthost takes everybody's mail: a rule for one of the domains speaks of hosts we do not talk to.
        """
        known, named = self._known.get(path) or (None, _NONE)
        if domain in self._domains and not plan.for_all and domain not in named:
            known, named = None, named | {domain}
        if known is None:
            if len(self._known) >= MOST_PATHS:
                self._known.clear()
            hosts = {candidate.exchanger for candidate in (*plan.candidates, *plan.relaxed)}
            known = self.book.shaping(hosts, *named)
            self._known[path] = (known, named)
        return known

    def use(self, book: ShapingBook) -> None:
        """From now on, go by these rules."""
        self.book = book
        self._domains = book.domains
        self._known.clear()
        self._met.clear()

    def asked(
        self, path: EgressPath, shaping: Shaping, outcomes: tuple[Outcome, ...], now: datetime
    ) -> list[ReplyRule]:
        """The reply rules that these outcomes bring into force."""
        if not shaping.replies:
            return []
        said = {str(outcome.reply)[:MOST_TEXT] for outcome in outcomes if _refused(outcome)}
        return [
            rule
            for rule in shaping.replies
            if any(rule.pattern.search(text) for text in said) and self._often_enough(path, rule, now)
        ]

    async def alarm(self, rule: ReplyRule, path: EgressPath, reply: str) -> None:
        """Tell a person what a provider said."""
        await self._alarms.start(AlarmKind.PROVIDER, f"{rule.id}: {path}", reply[:MOST_TEXT])

    def _often_enough(self, path: EgressPath, rule: ReplyRule, now: datetime) -> bool:
        if rule.count == 1:
            return True
        key = path, rule.id
        met = self._met.pop(key, None) or deque(maxlen=rule.count)
        met.append(now)
        if len(met) == rule.count and now - met[0] <= rule.within:
            return True
        if len(self._met) >= MOST_PATHS:
            del self._met[next(iter(self._met))]
        self._met[key] = met
        return False


def _refused(outcome: Outcome) -> bool:
    return outcome.decided_by is DecidedBy.REMOTE and outcome.result in (Result.TEMPORARY, Result.PERMANENT)
