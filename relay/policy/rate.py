"""Rate: how many messages a second a path takes, learnt from what is accepted and what is refused as too much. Pure.

Nothing limits a path until its far side first says "too many". From then on messages leave evenly, at a rate found in
four moves; evenly, because an even flow below the allowed rate breaks no window, whatever its length:

1. *closed*: after a refusal nothing is sent but a single message now and then, until one is accepted.
2. What was accepted, divided by the time from its first message to the end of the refusals, is a first rate.
3. *climbing*: a rate that held for its whole horizon (the longest the far side's window can be, as far as is known) is
   raised, by steps that grow while nothing refuses, and by a third of the way below a rate that was refused; by smaller
   ones where a refusal costs much (`relay.policy.steps`).
4. *holding*: close below what was refused. It is tried again after a time that doubles with every refusal.

A refusal of a rate that was proven lowers it by a tenth, the next ones by more: what a provider allows may change.
What is known is shown by `shown`. Times are seconds of any one clock; rates are messages a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final

from relay.policy.history import COUNTED_MORE, History
from relay.policy.reopening import FIRST_PAUSE, Reopening
from relay.policy.steps import bold, near, slack

FIRST_STEP: Final = 1.4
"""Over the first rate at once: it is a lower bound, since the refusals may outlast the far side's window by far."""

STEPS: Final = (1.06, 1.12, 1.25, 1.5, 2.0)
"""Factors of the climb while no even rate was refused; the last one repeats."""

MARGIN: Final = 0.97
"""Of what was seen to pass; the rest is for the jitter on the way."""

LONGEST_HORIZON: Final = 7200.0

PROBE_MESSAGES: Final = 600
"""Messages between two probes of a ceiling, at first: at two refusals a probe far less than 0.5 %."""
PROBE_PAUSES: Final = 20.0
"""Pauses that a probe may cost, between two probes: at most a twentieth of the time is lost."""
LAST_PROBE: Final = 64


class Stage(StrEnum):
    """Where the learning stands."""

    OPEN = "open"
    """Nothing is known to limit the path."""
    CLOSED = "closed"
    """Refused: one message at a time asks whether mail is taken again."""
    CLIMBING = "climbing"
    HOLDING = "holding"


@dataclass(slots=True)
class Rate:
    """What is known of one path's rate."""

    stage: Stage = Stage.OPEN
    per_second: float = inf
    ceiling: float = inf
    """The lowest rate that was refused."""
    proven: float = 0.0
    """The highest rate that held for its horizon."""
    horizon: float = 0.0
    """A rate is proven when it held so long."""
    burst: float = 0.0
    """What was accepted before the refusal that ended the last burst: so many fit into the far side's window."""
    burst_lasted: float = 0.0
    """Seconds it took."""
    penalty: float = 0.0
    """How long an even flow was refused after it was too much, as seen last."""
    probe: int = 1
    """How much longer than at first the next probe is waited for."""
    since: float = 0.0
    """When this rate began to be used."""
    sent: int = 0
    """What was accepted at this rate."""
    cycle: float = -inf
    """When the first message after the last pause began; -inf: none yet."""
    taken: int = 0
    """What was accepted since."""
    step: int = 0
    """Which of STEPS is next."""
    probing: bool = False
    """The ceiling is being tried again."""
    closed_at: float = 0.0
    tripped: float = 0.0
    """When the message that was refused began."""
    reopening: Reopening = field(default_factory=Reopening)
    opens_at: float = 0.0
    asking: bool = False
    """A message is under way to ask whether the pause is over."""
    next_at: float = -inf
    refusals: int = 0
    """Refusals of rates that had been proven, since the last one that was proven anew."""
    history: History = field(default_factory=History)

    def shown(self) -> str:
        """What is known, in a few words for people."""
        if self.per_second == inf:
            return self.stage.value
        return f"{self.stage.value} at {60 * self.per_second:.4g} a minute"

    # --- may a message begin?

    def free_at(self, now: float) -> float:
        """When the next message may begin: `now` or later; infinity while one asks whether the pause is over."""
        if self.stage is Stage.OPEN:
            return now
        if self.stage is Stage.CLOSED:
            return inf if self.asking else max(now, self.opens_at)
        return max(now, self.next_at)

    def begins(self, now: float) -> None:
        """A message begins now."""
        if self.stage is Stage.OPEN:
            return
        if self.stage is Stage.CLOSED:
            self.asking = True
            return
        gap = 1 / self.per_second
        # What came late by a little may be made up for: timers are never exact, and the average must hold.
        self.next_at = max(self.next_at, now - min(0.02, gap)) + gap

    def ended(self, begun: float) -> None:
        """A message that began at `begun` ended without saying anything about the rate."""
        if self.stage is Stage.CLOSED and self.asking and begun >= self.closed_at:
            self.asking = False
            self.opens_at = max(self.opens_at, begun + FIRST_PAUSE)

    # --- what came of it

    def accepted(self, begun: float, now: float) -> None:
        """A message that began at `begun` was not refused for the rate."""
        if self.stage is Stage.CLOSED:
            if begun >= self.closed_at and self.asking:
                self._reopen(begun, now)
            else:
                self.taken += 1
                self.cycle = begun if self.cycle == -inf else self.cycle
            self.history.add(begun)
            return
        self.history.add(begun)
        if self.cycle == -inf:
            self.cycle = begun
        self.taken += 1
        if self.stage is not Stage.OPEN:
            self.sent += begun >= self.since
            self._consider(now)

    def refused(self, begun: float, now: float) -> None:
        """A message that began at `begun` was refused as too much."""
        if self.stage is Stage.CLOSED:
            if self.asking and begun >= self.closed_at:
                self.asking = False
                self.reopening.refused(now)
                self.opens_at = now + self.reopening.pause
            return
        if begun < self.since and self.stage is not Stage.OPEN and not self.sent:
            return  # begun before the last change: what it says is known
        even = self.stage is not Stage.OPEN
        self.closed_at, self.tripped = now, begun
        gap = 1 / self.per_second if even else 0.0
        fills = self.horizon - self.history.window_of(self.burst, begun)[0] if self.burst else inf
        self.reopening.closed(now, gap, fills)
        self.opens_at = now + self.reopening.pause
        self.stage = Stage.CLOSED
        self.asking = False

    def _reopen(self, begun: float, now: float) -> None:
        """Mail is taken again: what does the refusal say?"""
        self.asking = False
        lasted = self.reopening.opened(begun)
        if self.per_second == inf:
            self._first_rate(begun)
        else:
            self.penalty = lasted
            self._lower(begun)
        self.cycle, self.taken = begun, 1
        self._use(self.per_second, begun)
        self.sent = 1
        self.next_at = begun + 1 / self.per_second

    def _first_rate(self, begun: float) -> None:
        """After a burst: what it had accepted, over the time until mail was taken again."""
        start = self.cycle if self.cycle != -inf else self.closed_at
        start = self.history.busiest_start(start, self.closed_at, begun - self.closed_at)
        count = max(1, self.history.count(start))
        self.burst = count
        self.burst_lasted = self.closed_at - start
        self.horizon = min(max(begun - start, 1.0), LONGEST_HORIZON)
        self.proven = count / self.horizon * MARGIN
        self.per_second = self.proven * FIRST_STEP
        self.stage = Stage.CLIMBING
        self.step = len(STEPS) - 1

    def _lower(self, begun: float) -> None:
        """An even rate was refused."""
        refused = self.per_second
        if self.proven and refused > self.proven:
            passed = self.history.count(self.tripped - self.horizon, self.tripped) / self.horizon
            self.ceiling = refused if self.probing else min(self.ceiling, refused)
            self.per_second = max(self.proven, min(max(passed, self._weigh(refused)) * MARGIN, refused / 1.02))
            self.probe = min(self.probe * 2, LAST_PROBE)
            if self.per_second == self.proven and self.burst and not self._is_near():
                self.per_second = self._third()  # it is proven: nothing to wait for
        elif not self.proven:
            # The first rate was too high: the whole cycle, with its pause, tells more.
            length = max(begun - self.cycle, 1.0)
            self.ceiling = refused
            self.horizon = min(max(self.horizon, length), LONGEST_HORIZON)
            self.per_second = min(refused * 0.9, max(self.taken, 1) / length * MARGIN)
        else:
            self.refusals += 1
            self.ceiling = refused
            self.per_second = refused * (0.94 if self.refusals == 1 else 0.8)
            self.proven = 0.0 if self.refusals > 1 else min(self.proven, self.per_second)
            self.probe = min(self.probe * 2, LAST_PROBE)
            if self.refusals > 1:
                self.horizon = min(self.horizon * 1.5, LONGEST_HORIZON)
        self.probing = False
        self.step = 0
        self.stage = Stage.HOLDING if self._is_near() else Stage.CLIMBING

    def _weigh(self, refused: float) -> float:
        """Lower the ceiling by the length of the far side's window; the rate that it takes at least, 0 if unknown.

        The burst told how many fit into the window. Now that so many, and one more, were too much, the window is as
        long as the last so many took, at least, and shorter than what one more took.
        """
        if not self.burst:
            return 0.0
        least, most = self.history.window_of(self.burst, self.tripped)
        if least <= self.burst_lasted:
            return 0.0  # the burst may have lasted longer than the window: it had more than fit
        if 0.95 * least > self.horizon:
            self.burst = 0.0  # less fits by now
            return 0.0
        self.ceiling = min(self.ceiling, COUNTED_MORE * self.burst / least)
        return self.burst / max(most, 1 / refused)

    # --- upwards

    def _consider(self, now: float) -> None:
        """Raise the rate if it is proven."""
        lasted = now - self.since
        held = self.burst and self.sent > 1.05 * self.burst + slack(self._question(), self._lost())
        if self.stage is Stage.HOLDING and not self.probing:
            if self.sent < PROBE_MESSAGES * self.probe or lasted < self.probe * max(
                PROBE_PAUSES * self.penalty, 4 * self.horizon
            ):
                if self.proven < self.per_second and lasted >= self.horizon:
                    self._prove(now)
                return
            self.probing = True
            self._use(max(self.ceiling, self.per_second * 1.03) * 1.01, now)
            return
        if not held and lasted < self.horizon:
            return
        used = self.sent / lasted if lasted > 0 else 0.0
        if used < 0.85 * self.per_second - 1 / max(lasted, 0.001):
            self._use(self.per_second, now)  # the path was not busy: that it was not refused says nothing
            return
        if held and lasted < self.horizon:
            self.horizon = max(lasted, 1.0)
        self._prove(now)
        self._raise(now)

    def _prove(self, now: float) -> None:
        self.proven = self.per_second
        self.refusals = 0

    def _raise(self, now: float) -> None:
        if self.probing:
            self.probing = False
            self.ceiling = inf
            self.probe = 1
            self.step = 0
            self.stage = Stage.CLIMBING
        factor = min(STEPS[min(self.step, len(STEPS) - 1)], bold(self._question(), self._lost()))
        self.step += 1
        target = self.per_second * factor
        if self.ceiling < inf:
            if self._is_near():
                self.stage = Stage.HOLDING
                self._use(self.per_second, now)
                return
            third = self._third()
            target = third if self.burst else min(target, third)
        self.next_at += 1 / target - 1 / self.per_second
        self._use(target, now)
        self.sent = 1

    def _is_near(self) -> bool:
        return self.ceiling <= self.per_second * near(self.per_second, self._lost())

    def _third(self) -> float:
        """A third of the way to the ceiling, if one may be so bold."""
        third = self.per_second + (self.ceiling - self.per_second) / 3
        return min(third, self.per_second * bold(self._question(), self._lost()))

    def _lost(self) -> float:
        """Seconds that a refusal costs; 0 if unknown."""
        return self.penalty or (self.reopening.shortest if self.reopening.shortest < inf else 0.0)

    def _question(self) -> float:
        """Seconds until a rate is proven."""
        return self.burst / self.per_second if self.burst else self.horizon

    def _use(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        self.since = now
        self.sent = 0
