"""Warm-up: how many letters a young source may send to one provider today, and when the next one may leave. Pure.

One warm-up belongs to a signing domain, a source, an IP version and a provider, since receivers score both name and
address. Each day has a ceiling, the next of a schedule after a good day, at most half after a bad one. The letters of a
day are spread over it: they leave evenly, two hours' worth may go at once, and what was not used is made up for over
the rest of the day. Days are those of UTC; moments are seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from relay.policy.complaints import at_least

DAY: Final = 86_400.0

CATCH_UP: Final = 4.0
"""How much faster than evenly the rest of a ceiling may be used late in the day."""

AT_ONCE: Final = 12
"""The part of a ceiling that may leave at once: one twelfth, two hours' worth."""

IDLE_DAYS: Final = 30
"""Days without a letter after which a provider has forgotten us: the schedule begins again."""

MEMORY_DAYS: Final = 7
"""Days of which complaints are judged together: they come late."""

_LEAST_COMPLAINTS: Final = 2
"""One angry reader is no pattern."""


@dataclass(frozen=True, slots=True)
class WarmUpRules:
    """The ceilings of one day after the other, and the shares of refusals that make a day bad."""

    ceilings: tuple[int, ...] = (50, 100, 200, 400, 800, 1500, 3000, 5000, 7500, 10_000, 15_000)
    deferred: float = 0.05
    bounced: float = 0.02
    complained: float = 0.001
    enough: int = 500
    """Letters from which on a plain share is believed; below, only what chance does not explain."""
    doubt: float = 0.05
    """How often chance alone may give as many or more: a one-sided bound of 95 %."""


@dataclass(frozen=True, slots=True)
class Results:
    """What a provider answered. `deferred` are refusals for now that are about us: no greylisting, no full mailbox."""

    delivered: int = 0
    deferred: int = 0
    bounced: int = 0
    complaints: int = 0

    def __add__(self, other: Results) -> Results:
        return Results(
            self.delivered + other.delivered,
            self.deferred + other.deferred,
            self.bounced + other.bounced,
            self.complaints + other.complaints,
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """What a day is judged by: its own results, and those of the last days together, as many as are judged."""

    day: Results = Results()
    recent: Results = Results()


class Mark(StrEnum):
    """What a day was."""

    GOOD = "good"
    BAD = "bad"
    THIN = "thin"
    """Less than half of the ceiling was used: that proves nothing, and the next day has the same."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a day was, and why."""

    mark: Mark
    why: str


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Where one warm-up stands. `step` is the place in the schedule; past its end there is no ceiling."""

    step: int
    day: int
    """The day, counted from the epoch, that `used` belongs to."""
    used: int = 0
    free_at: float = 0.0
    """When the next letter is due at an even flow."""
    tail: float = 0.0
    """The latest departure that was promised to anybody."""
    fell: int = 0
    """The day after the last one that was bad; what was before it is not held against us twice."""
    judgement: Judgement | None = None

    def ceiling(self, rules: WarmUpRules) -> int | None:
        """Letters a day; None: warm."""
        return rules.ceilings[self.step] if self.step < len(rules.ceilings) else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many letters want to leave together; `promised`: they were told to come now."""

    letters: int
    promised: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """So many may leave now; the others are to come back at `departs`."""

    letters: int
    departs: float | None = None


@dataclass(slots=True)
class _Taking:
    """One round of questions."""

    state: WarmUp
    ceiling: int
    now: float
    waits: int = 0
    """Who was promised this moment and has to wait on."""
    answers: list[Granted] = field(default_factory=list)

    @property
    def even(self) -> float:
        return DAY / self.ceiling

    @property
    def midnight(self) -> float:
        return (self.state.day + 1) * DAY

    def gap(self, moment: float) -> float:
        """Seconds from one letter to the next, at that moment."""
        left = self.ceiling - self.state.used
        if moment >= self.midnight or left <= 0:
            return self.even
        return max(self.even / CATCH_UP, (self.midnight - self.now) / left)

    def first(self) -> float:
        """When the next letter may leave: now, or later."""
        if self.state.used >= self.ceiling:
            return max(self.midnight, self.now)
        at_once = max(1, math.ceil(self.ceiling / AT_ONCE))
        return max(self.now, self.state.free_at - (at_once - 1) * self.even)

    def take(self, wanted: Wanted) -> None:
        """As many as may leave now; the others get a time."""
        granted = 0
        while granted < wanted.letters and self.state.used < self.ceiling and self.first() <= self.now:
            # Whoever was promised a time comes before those who come only now; but what was promised by a lower
            # ceiling leaves gaps, and those are free.
            if not wanted.promised and self.state.tail > self.now and self.state.free_at > self.now:
                break
            free_at = max(self.state.free_at, self.now) + self.gap(self.now)
            self.state = replace(self.state, used=self.state.used + 1, free_at=free_at)
            granted += 1
        rest = wanted.letters - granted
        self.answers.append(Granted(granted, self._promise(rest, wanted) if rest else None))

    def _promise(self, letters: int, wanted: Wanted) -> float:
        """When the first of them may leave; those who come after them are told a time behind the last of them."""
        departs = self.first()
        if wanted.promised:
            departs += self.waits * self.gap(departs)
            self.waits += letters
            self.state = replace(self.state, tail=max(self.state.tail, departs))
            return departs
        if self.state.tail > self.now:
            departs = max(departs, self._after(self.state.tail))
        tail = departs
        for _ in range(letters - 1):
            tail = self._after(tail)
        self.state = replace(self.state, tail=max(tail, self.state.tail))
        return departs

    def _after(self, moment: float) -> float:
        later = moment + self.gap(moment)
        return max(later, self.midnight) if moment < self.midnight <= later else later


def ask(state: WarmUp, wanted: Sequence[Wanted], now: float, rules: WarmUpRules) -> tuple[WarmUp, list[Granted]]:
    """Who may leave now and when the others may, in their order; `state` must be of today (`turned`)."""
    ceiling = state.ceiling(rules)
    if ceiling is None:
        return state, [Granted(one.letters) for one in wanted]
    # What is further ahead than a day at most is of a clock that was set back since (R27).
    taking = _Taking(replace(state, free_at=min(state.free_at, now + DAY)), ceiling, now)
    for one in wanted:
        taking.take(one)
    return taking.state, taking.answers


def today(now: float) -> int:
    """The day of a moment, counted from the epoch."""
    return int(now // DAY)


def turned(state: WarmUp, day: int, answered: Answered, rules: WarmUpRules, begins: int) -> WarmUp:
    """The state on `day`: if that is a new one, the last day with mail is judged by what was `answered`.

    Before the day `begins` nothing advances.
    """
    if state.day == day:
        return state
    if day < state.day or state.step >= len(rules.ceilings):
        return replace(state, day=day, used=0)
    if day - state.day > IDLE_DAYS:
        return WarmUp(0, day, fell=day, judgement=Judgement(Mark.THIN, f"no mail for {day - state.day} days"))
    judgement = judge(answered, state.used, rules.ceilings[state.step], rules)
    state = replace(state, day=day, used=0, judgement=judgement)
    match judgement.mark:
        case Mark.GOOD if state_began(day, begins):
            return replace(state, step=state.step + 1)
        case Mark.BAD:
            return replace(state, step=_fallen(state.step, rules), fell=day, tail=0.0)
        case _:
            return state


def state_began(day: int, begins: int) -> bool:
    """Whether the day before `day` belongs to the schedule."""
    return day > begins


def _fallen(step: int, rules: WarmUpRules) -> int:
    """The step after a bad day: at most half of its ceiling, where the schedule has that."""
    half = rules.ceilings[step] / 2
    return max((number for number, ceiling in enumerate(rules.ceilings[:step]) if ceiling <= half), default=0)


def judge(answered: Answered, used: int, ceiling: int, rules: WarmUpRules) -> Judgement:
    """What a day was, when `used` of its `ceiling` left; complaints are judged by the last days together."""
    results, recent = answered.day, answered.recent
    tried = results.delivered + results.deferred + results.bounced
    for count, total, limit, what in (
        (results.deferred, tried, rules.deferred, "deferred"),
        (results.bounced, tried, rules.bounced, "bounced"),
        (recent.complaints, recent.delivered, rules.complained, "complained of"),
    ):
        least = _LEAST_COMPLAINTS if what == "complained of" else 1
        if count >= least and _exceeds(count, total, limit, rules):
            return Judgement(Mark.BAD, f"{count} of {total} were {what}, {limit:.1%} is the limit")
    said = f"{used} of {ceiling} left, {results.deferred} deferred, {results.bounced} bounced"
    if 2 * used < ceiling:
        return Judgement(Mark.THIN, f"{said}: too few to tell")
    return Judgement(Mark.GOOD, f"{said}, {recent.complaints} complaints")


def _exceeds(count: int, total: int, limit: float, rules: WarmUpRules) -> bool:
    """Whether a share is over the limit, as far as that can be told from so few."""
    if total >= rules.enough:
        return count / total >= limit
    return at_least(count, max(total, count), limit) < rules.doubt
