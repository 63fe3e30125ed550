"""Custody: the leased parcels in this worker's hands, and the ways in which they leave them.

Under the dispatcher and the sessions. A parcel that was taken is given back, waits for a later time, or is settled, and
nothing else can become of it; it counts in the bounded window until the commit of its settlements.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from relay.engine.assess import Assessor
from relay.engine.attempt import AttemptResult
from relay.engine.line import Rest
from relay.engine.owned import OwnedTasks
from relay.engine.window import Window
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.outcome import Outcome
from relay.policy.quarantine import Care
from relay.spool.contract import Spool
from relay.spool.work import Parcel, Warmth

_log = Log("dispatcher")


class Custody:
    """What is in hand. `explain` finds the diagnosis of an outcome; `tasks` are those of the dispatcher."""

    def __init__(
        self,
        window: Window,
        assessor: Assessor,
        spool: Spool,
        tasks: OwnedTasks,
        explain: Callable[[Outcome, str], Outcome],
    ) -> None:
        self.window = window
        self.tasks = tasks
        self.assessor = assessor
        self.draining = False
        """Nothing new is begun: what is not under way goes back."""
        self.spool = spool
        self._explain = explain

    def give_back(self, parcel: Parcel) -> None:
        """Return the parcel's leases unused."""
        self.window.drop_content(parcel)
        self.assessor.give_back(parcel)

    def wait_until(self, parcel: Parcel, until: datetime) -> None:
        """The parcel waits in the spool until then: no attempt."""
        self.window.drop_content(parcel)
        self.assessor.wait_until(parcel, until)

    def wait_for_rest(self, parcel: Parcel, rest: Rest, now: datetime) -> None:
        """The parcel waits until its site is tried again, or ends if its time is over.

        What the last attempt met stands for all mail of the site. If each expired letter had to meet a dead host's
        time-outs itself, a long queue would take days to end, and would fill the window meanwhile.
        """
        if self.assessor.is_over(parcel, now, rest.failure):
            self.settle_soon(parcel, rest.failure)
            return
        self.window.drop_content(parcel)
        if self.assessor.owes_delay_notice(parcel, rest.until):
            telling = self.assessor.wait_and_tell(parcel, rest.until, rest.failure)
            self.tasks.start(telling, f"tell-{parcel.id}")
        else:
            self.assessor.wait_for_site(parcel, rest.until)

    def wait_for_ceiling(self, parcel: Parcel, until: datetime, warmth: Warmth, failure: Outcome) -> None:
        """The parcel waits for the departure that its warm-up has for it."""
        self.window.drop_content(parcel)
        waiting = self.assessor.wait_for_ceiling(parcel, until, warmth, failure)
        self.tasks.start(waiting, f"wait-{parcel.id}")

    def settle_soon(self, parcel: Parcel, outcome: Outcome) -> None:
        """Have the parcel settled by what became of it before anything was sent."""
        self.tasks.start(self.settle_unsent(parcel, outcome), f"settle-{parcel.id}")

    async def settle_unsent(self, parcel: Parcel, outcome: Outcome, *, broken: bool = False) -> None:
        """Settle the parcel by what became of it before anything was sent."""
        self.window.drop_content(parcel)
        outcome = self._explain(outcome, parcel.duties[0].recipient.address.domain)
        outcomes = (outcome,) * len(parcel.duties)
        result = AttemptResult(outcomes, None, reached=False, transcript=(), duration_ms=0, broken=broken)
        try:
            await self.note_begun(parcel)
        except SpoolUnavailableError:
            self.give_back(parcel)
            return
        await self.assess(parcel, result)

    async def assess(self, parcel: Parcel, result: AttemptResult) -> None:
        """Settle the parcel by what its attempt gave."""
        try:
            await self.assessor.assess(parcel, result)
        except Exception:  # noqa: BLE001 - a lease that nobody settles would be held until we end
            _log.exception("assess-failed", id=parcel.id)
            self.assessor.hold_untold(parcel, result)

    async def note_begun(self, parcel: Parcel) -> None:
        """Let the spool know that a suspect is being handled: if we die now, it was this one (R33)."""
        if parcel.care is not Care.USUAL:
            await self.spool.note_begun(parcel.seq, [duty.n for duty in parcel.duties])
