"""The assessor: turns an attempt's outcomes into verdicts, and verdicts into settlements and notices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from relay import metrics
from relay.clock import Clock
from relay.crash_points import reach
from relay.engine.attempt import AttemptResult
from relay.engine.notice import Notices, Told
from relay.engine.settler import Settler
from relay.event import EventKind
from relay.ids import Entropy
from relay.log import Log
from relay.policy.outcome import Outcome, Result
from relay.policy.quarantine import TRIES, why_held
from relay.policy.retry import RetrySchedule
from relay.policy.state import State
from relay.policy.verdict import Situation, Verdict, decide, ends
from relay.report.wording import Action
from relay.spool.work import AttemptRecord, Duty, NewMessage, Parcel, Settlement, Warmth
from relay.wary_clock import WaryClock

_log = Log("delivery")


class Assessor:
    """Decides with `relay.policy.verdict` and hands what follows to the settler."""

    def __init__(
        self,
        settler: Settler,
        notices: Notices,
        schedule: RetrySchedule,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._settler = settler
        self._notices = notices
        self._schedule = schedule
        self._clock = WaryClock.of(clock)
        self._entropy = entropy

    async def assess(self, parcel: Parcel, result: AttemptResult) -> None:
        """Settle every duty of the parcel by its outcome."""
        reach("outcome-known")
        now = self._clock.now()
        verdicts = [
            self._verdict(parcel, duty, outcome, now)
            for duty, outcome in zip(parcel.duties, result.outcomes, strict=True)
        ]
        # One session, one transcript: it is kept with the first delivery that failed on it.
        first = next((i for i, one in enumerate(result.outcomes) if one.result is not Result.DELIVERED), 0)
        settlements = [
            self._settlement(duty, verdict, self._record(duty, outcome, result, now, kept=i == first), result)
            for i, (duty, outcome, verdict) in enumerate(zip(parcel.duties, result.outcomes, verdicts, strict=True))
        ]
        for outcome, settlement in zip(result.outcomes, settlements, strict=True):
            self._tell(parcel, outcome, settlement, now)
        owed = {
            i: action
            for i, (duty, settlement) in enumerate(zip(parcel.duties, settlements, strict=True))
            if (action := self._notices.owed(parcel, duty, settlement)) is not None
        }
        if owed:
            try:
                settlements = await self._with_notice(parcel, settlements, owed)
            except asyncio.CancelledError:
                # We are stopping: what was delivered stays so, and the next life tells of the failures.
                for duty, settlement in zip(parcel.duties, settlements, strict=True):
                    self._settler.add(_unused(duty) if _failed(settlement) else settlement)
                raise
        for settlement in settlements:
            self._settler.add(settlement)

    def _verdict(self, parcel: Parcel, duty: Duty, outcome: Outcome, now: datetime) -> Verdict:
        situation = Situation(
            duty.attempts + 1, now, self._end(parcel), self._entropy.uniform(), self._age(parcel, now)
        )
        return decide(outcome, situation, self._schedule)

    def is_over(self, parcel: Parcel, now: datetime, failure: Outcome | None = None) -> bool:
        """Whether it is time to give the parcel up, whose site is known to answer with `failure`."""
        return self._end(parcel) <= now or (failure is not None and ends(failure, self._age(parcel, now)))

    def _end(self, parcel: Parcel) -> datetime:
        """When it is given up. A wall clock that may be ahead gives nothing up for the time it skipped (R27)."""
        return parcel.expires_at + self._clock.lead()

    def _age(self, parcel: Parcel, now: datetime) -> timedelta:
        return now - parcel.accepted_at - self._clock.lead()

    def _record(
        self, duty: Duty, outcome: Outcome, result: AttemptResult, now: datetime, *, kept: bool
    ) -> AttemptRecord:
        return AttemptRecord(
            number=duty.attempts + 1,
            at=now,
            outcome=outcome,
            source=result.source,
            duration_ms=result.duration_ms,
            transcript=result.transcript if kept else (),
        )

    @staticmethod
    def _settlement(duty: Duty, verdict: Verdict, attempt: AttemptRecord, result: AttemptResult) -> Settlement:
        if result.broken and duty.broken + 1 >= TRIES:
            return _quarantined(duty, why_held(duty.broken + 1), attempt)
        return Settlement(
            duty.seq,
            duty.n,
            verdict.state,
            verdict.due,
            verdict.event,
            attempt=attempt,
            broken=result.broken,
            # Where a host has seen it, it returns from: another source would be greylisted anew.
            source=result.source if result.reached and verdict.state is State.WAITING else "",
            warmth=result.warmth,
        )

    async def _with_notice(
        self, parcel: Parcel, settlements: list[Settlement], owed: Mapping[int, Action]
    ) -> list[Settlement]:
        """Attach the one DSN that is owed to the first it tells of: both are committed or neither."""
        told = [
            Told(parcel.duties[i], action, attempt.outcome, attempt.at)
            for i, action in owed.items()
            if (attempt := settlements[i].attempt) is not None
        ]
        return _noticed(settlements, owed, await self._notices.about(parcel, told))

    def _tell(self, parcel: Parcel, outcome: Outcome, settlement: Settlement, now: datetime) -> None:
        if settlement.state is State.DELIVERED:
            metrics.delivery_seconds.observe((now - parcel.accepted_at).total_seconds())
        _log.info(
            settlement.event.label if settlement.event else settlement.state.label,
            id=parcel.id,
            n=settlement.n,
            host=outcome.host.exchanger if outcome.host else "",
            phase=outcome.phase.value,
            scope=outcome.scope.value,
            decided_by=outcome.decided_by.value,
            reply=outcome.reply,
            meaning=outcome.diagnosis.meaning if outcome.diagnosis else "",
            rule=outcome.diagnosis.rule if outcome.diagnosis else "",
            next_due=settlement.due.isoformat(timespec="seconds") if settlement.due else "",
        )

    def hold_untold(self, parcel: Parcel, result: AttemptResult) -> None:
        """Assessing itself broke: what was delivered stays so, and what was not is held, for nobody can say why."""
        for duty, outcome in zip(parcel.duties, result.outcomes, strict=True):
            if outcome.result is Result.DELIVERED:
                self._settler.add(Settlement(duty.seq, duty.n, State.DELIVERED, event=EventKind.DELIVERED))
            else:
                self._settler.add(_quarantined(duty, "what became of its last attempt could not be assessed"))

    async def keeps_up(self) -> None:
        """Wait while what came of earlier attempts cannot be written down."""
        await self._settler.keeps_up()

    async def written(self) -> None:
        """Wait until every verdict so far is committed."""
        await self._settler.written()

    def give_back(self, parcel: Parcel) -> None:
        """Return leases unused: the deliveries are due as they were."""
        for duty in parcel.duties:
            self._settler.add(_unused(duty))

    def wait_for_site(self, parcel: Parcel, until: datetime) -> None:
        """Move deliveries to when their site is tried again: a new due time, not an attempt.

        None waits past its expiry, so that whoever sent it hears of the failure in time.
        """
        for settlement in self._waits(parcel, until):
            self._settler.add(settlement)

    def owes_delay_notice(self, parcel: Parcel, until: datetime) -> bool:
        """Whether the sender is to hear that mail waits for its site until then."""
        now = self._clock.now()
        return any(self._notices.delay_owed(parcel, duty, now, until) for duty in parcel.duties)

    async def wait_and_tell(self, parcel: Parcel, until: datetime, failure: Outcome) -> None:
        """The same as `wait_for_site`, and tell the sender; `failure` is what the site's last attempt met."""
        await self._tell_and_wait(parcel, until, failure, self._waits(parcel, until))

    async def wait_for_ceiling(self, parcel: Parcel, until: datetime, warmth: Warmth, failure: Outcome) -> None:
        """Move deliveries to the departure that their warm-up has for them, and tell the sender if that is owed."""
        due = min(until, self._end(parcel))
        settlements = [Settlement(duty.seq, duty.n, State.WAITING, due, warmth=warmth) for duty in parcel.duties]
        await self._tell_and_wait(parcel, until, failure, settlements)

    async def _tell_and_wait(
        self, parcel: Parcel, until: datetime, failure: Outcome, settlements: list[Settlement]
    ) -> None:
        now = self._clock.now()
        owed = {
            i: Action.DELAYED
            for i, duty in enumerate(parcel.duties)
            if self._notices.delay_owed(parcel, duty, now, until)
        }
        told = [Told(parcel.duties[i], action, failure) for i, action in owed.items()]
        try:
            if owed:
                settlements = _noticed(settlements, owed, await self._notices.about(parcel, told))
        finally:
            for settlement in settlements:
                self._settler.add(settlement)

    def wait_until(self, parcel: Parcel, until: datetime) -> None:
        """Move deliveries to when they may go: a new due time, not an attempt, and none past its expiry."""
        for duty in parcel.duties:
            self._settler.add(Settlement(duty.seq, duty.n, State.WAITING, min(until, self._end(parcel))))

    def _waits(self, parcel: Parcel, until: datetime) -> list[Settlement]:
        settlements: list[Settlement] = []
        for duty in parcel.duties:
            jitter = self._schedule.waits[0] * (self._schedule.jitter * self._entropy.uniform())
            due = min(until + jitter, self._end(parcel))
            settlements.append(Settlement(duty.seq, duty.n, State.WAITING, due))
        return settlements


def _noticed(settlements: list[Settlement], owed: Mapping[int, Action], notice: NewMessage | None) -> list[Settlement]:
    """The settlements with the notice that tells of those in `owed`."""
    if notice is None:
        return settlements
    noticed = list(settlements)
    for i, action in owed.items():
        noticed[i] = replace(noticed[i], delay_told=action is Action.DELAYED)
    first = min(owed)
    noticed[first] = replace(noticed[first], notice=notice)
    return noticed


def _failed(settlement: Settlement) -> bool:
    return settlement.state in (State.BOUNCED, State.EXPIRED)


def _quarantined(duty: Duty, reason: str, attempt: AttemptRecord | None = None) -> Settlement:
    """The settlement that holds what breaks us, with its alarm."""
    detail = {"reason": reason}
    return Settlement(duty.seq, duty.n, State.HELD, event=EventKind.HELD, detail=detail, attempt=attempt, broken=True)


def _unused(duty: Duty) -> Settlement:
    """The settlement that gives a lease back as it was."""
    return Settlement(duty.seq, duty.n, State.WAITING, duty.due)
