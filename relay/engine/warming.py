"""Warming: a letter leaves from a young source only while the day's ceiling of its warm-up has room.

Stands between the ways of a parcel and the lines. The book of warm-ups is asked for all parcels that came meanwhile, in
one transaction. What may not leave now leaves from a warm source of its pool, or waits in the spool for the departure
it was told; a letter is counted once, by its first transaction, and its later attempts pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from relay import metrics
from relay.clock import Clock
from relay.engine.attempt import AttemptResult
from relay.engine.custody import Custody
from relay.engine.shaper import Shaper
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.route import Plan
from relay.policy.way import Way
from relay.shaping.contract import Answer, Question, Unused, WarmUpKey
from relay.shaping.warm_ups import WarmUpBook
from relay.smtp.reply import reply
from relay.spool.work import Duty, Parcel, Settlement, Warmth

_log = Log("warm-up")

AT_ONCE: Final = 200
"""Parcels asked for in one transaction."""

MOST_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """A parcel for which the book is being asked."""

    parcel: Parcel
    plan: Plan
    key: WarmUpKey
    question: Question
    wanting: tuple[Duty, ...]


@dataclass(frozen=True, slots=True)
class _Ticket:
    """The right of one delivery to leave by a warm-up, counted on a day."""

    key: WarmUpKey
    row: int
    day: int


class Warming:
    """The warm-ups as one worker uses them. `line_up` finds a place for a parcel once an answer is there."""

    def __init__(
        self, book: WarmUpBook, shaper: Shaper, custody: Custody, clock: Clock, line_up: Callable[[Parcel, Plan], None]
    ) -> None:
        self._book = book
        self._shaper = shaper
        self._custody = custody
        self._clock = clock
        self._line_up = line_up
        self._tickets: dict[tuple[int, int], _Ticket] = {}
        self._refused: dict[tuple[int, int], dict[WarmUpKey, Answer]] = {}
        self._rows: dict[WarmUpKey, int] = {}
        self._asked: list[_Asked] = []
        self._unused: list[Unused] = []
        self._asking = False

    def choose(self, parcel: Parcel, plan: Plan, ways: Sequence[Way]) -> Way | None:
        """The first of the ways that the parcel may leave by now; None: it was taken care of, and comes again."""
        refused = self._refused.get(_name(parcel), {})
        for way in ways:
            if self.may_leave(parcel, way):
                if refused:
                    del self._refused[_name(parcel)]
                    metrics.warm_up_overflows.labels(way.source.name).inc(len(parcel.duties))
                return way
            if self._key(parcel, way) not in refused:
                self._ask(parcel, plan, way)
                return None
        self._wait(parcel, refused)
        return None

    def may_leave(self, parcel: Parcel, way: Way) -> bool:
        """Whether no ceiling stands against it: the source is warm, or all its deliveries are counted already."""
        if way.source.warms_since is None:
            return True
        return not self._wanting(parcel, self._key(parcel, way))

    def _wanting(self, parcel: Parcel, key: WarmUpKey) -> tuple[Duty, ...]:
        """The deliveries that are still to be counted."""
        return tuple(duty for duty in parcel.duties if not self._is_counted(duty, key))

    def _is_counted(self, duty: Duty, key: WarmUpKey) -> bool:
        ticket = self._tickets.get((duty.seq, duty.n))
        if ticket is not None and ticket.key == key:
            return True
        # It left by this warm-up before, and returns from the same source.
        return duty.source == key.source and duty.warmth is not None and _has_left(duty.warmth)

    def _key(self, parcel: Parcel, way: Way) -> WarmUpKey:
        domain = parcel.duties[0].recipient.address.domain
        shaping = self._shaper.shaping(way.path, way.plan, domain)
        version = 6 if any(":" in one.address for one in (*way.candidates, *way.relaxed)[:1]) else 4
        return WarmUpKey(parcel.sign_as or "", way.source.name, version, shaping.provider or way.plan.site)

    def _ask(self, parcel: Parcel, plan: Plan, way: Way) -> None:
        key, since = self._key(parcel, way), way.source.warms_since
        wanting = self._wanting(parcel, key)
        rules = self._shaper.shaping(way.path, way.plan, parcel.duties[0].recipient.address.domain).warm_up
        promised = any(duty.warmth is not None and duty.warmth.promised is not None for duty in wanting)
        question = Question(key, len(wanting), promised, rules, since or 0)
        self._asked.append(_Asked(parcel, plan, key, question, wanting))
        self._start()

    def _start(self) -> None:
        if not self._asking and not self._custody.draining:
            self._asking = True
            self._custody.tasks.start(self._run(), "warm-up")

    async def _run(self) -> None:
        try:
            while self._asked or self._unused:
                await self._ask_book()
        finally:
            self._asking = False

    async def _ask_book(self) -> None:
        asked, unused = self._asked[:AT_ONCE], self._unused
        self._unused = []
        try:
            answers = await self._book.ask([one.question for one in asked], unused)
        except SpoolUnavailableError as error:
            # What was not used stays counted: that a few letters fewer leave harms nobody.
            _log.warning("ceilings-unknown", parcels=len(asked), error=error)
            del self._asked[: len(asked)]
            for one in asked:
                self._custody.give_back(one.parcel)
            return
        del self._asked[: len(asked)]
        for one, answer in zip(asked, answers, strict=True):
            self._answered(one, answer)

    def _answered(self, asked: _Asked, answer: Answer) -> None:
        key, parcel = asked.key, asked.parcel
        if len(self._rows) >= MOST_KEYS:
            self._rows.clear()
        self._rows[key] = answer.row
        for duty in asked.wanting[: answer.granted]:
            self._tickets[duty.seq, duty.n] = _Ticket(key, answer.row, answer.day)
        waiting = asked.wanting[answer.granted :]
        going = tuple(duty for duty in parcel.duties if duty not in waiting)
        for duties in (going, waiting):
            if duties:
                part = parcel if len(duties) == len(parcel.duties) else _part(parcel, duties)
                if duties is waiting:
                    self._refused.setdefault(_name(part), {})[key] = answer
                self._lined_up(part, asked.plan)

    def _lined_up(self, parcel: Parcel, plan: Plan) -> None:
        if self._custody.draining:
            self._custody.give_back(parcel)
        else:
            self._line_up(parcel, plan)

    def _wait(self, parcel: Parcel, refused: dict[WarmUpKey, Answer]) -> None:
        """The parcel waits for the earliest departure that it was told, or ends if its time is over."""
        self._refused.pop(_name(parcel), None)
        now = self._clock.now()
        key, answer = min(refused.items(), key=lambda item: item[1].departs or now)
        departs = answer.departs or now
        words = f"the warm-up of {key} has no room before {departs:%Y-%m-%d %H:%M} UTC"
        outcome = Outcome(Result.TEMPORARY, Scope.MESSAGE, Phase.PERMIT, DecidedBy.RELAY, reply(451, "4.7.1", words))
        if self._custody.assessor.is_over(parcel, now):
            self._custody.settle_soon(parcel, outcome)
            return
        metrics.warm_up_waits.labels(key.source).inc(len(parcel.duties))
        _log.info("waits-for-ceiling", id=parcel.id, warm_up=key, departs=departs.isoformat(timespec="seconds"))
        self._custody.wait_for_ceiling(parcel, departs, Warmth(answer.row, departs), outcome)

    def concluded(self, parcel: Parcel, way: Way, result: AttemptResult) -> AttemptResult:
        """The result with the warm-up that it counts for; if no host was reached, it counts for none."""
        if not result.reached:
            return result
        if way.source.warms_since is None:
            left_before = any(duty.warmth is not None for duty in parcel.duties)
            return replace(result, warmth=Warmth(0)) if left_before else result
        for duty in parcel.duties:
            self._tickets.pop((duty.seq, duty.n), None)
        row = self._rows.get(self._key(parcel, way))
        if row is None:
            row = next((duty.warmth.row for duty in parcel.duties if duty.warmth is not None), 0)
        return replace(result, warmth=Warmth(row))

    def released(self, settlements: Sequence[Settlement]) -> None:
        """These deliveries are out of our hands: tickets that they did not use go back."""
        for one in settlements:
            self._refused.pop((one.seq, one.n), None)
            ticket = self._tickets.pop((one.seq, one.n), None)
            if ticket is not None:
                self._unused.append(Unused(ticket.row, ticket.day, 1))
        if self._unused:
            self._start()

    def take_back(self) -> list[Parcel]:
        """Every parcel that still waits for an answer, which is then no longer waited for."""
        parcels = [one.parcel for one in self._asked]
        self._asked.clear()
        return parcels

    async def flush(self) -> None:
        """Give back what was not used, at the end."""
        unused, self._unused = self._unused, []
        try:
            await self._book.give_back(unused)
        except SpoolUnavailableError as error:
            _log.warning("ceilings-not-given-back", letters=len(unused), error=error)


def _has_left(warmth: Warmth) -> bool:
    return warmth.row > 0 and warmth.promised is None


def _name(parcel: Parcel) -> tuple[int, int]:
    return parcel.seq, parcel.duties[0].n


def _part(parcel: Parcel, duties: tuple[Duty, ...]) -> Parcel:
    recipients = tuple(duty.recipient for duty in duties)
    return replace(parcel, duties=duties, envelope=replace(parcel.envelope, recipients=recipients))
