"""What people decide about letters, reports and frozen pairs: one place for the desk and for `leak letters`.

Each decision needs a reason and leaves a line in the log, in the transaction of what it changes; what somebody else
decided meanwhile is left as it is. Nothing here writes a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.database.contract import Database
from relay.ids import Entropy
from web.danger import DangerStore
from web.decisions import Action, Decision, DecisionLog
from web.departures import next_departure
from web.freezes import FreezeStore
from web.holds import HoldStore
from web.mailbox import MailboxHasher
from web.moderation.ruling import Rule
from web.notices import NoticeStore
from web.plain_text import clean_message
from web.replies import ReplyStore
from web.reports import Outcome, ReportStore
from web.wall import WallStore

MAX_REASON: Final = 2000
MAX_SHOWN: Final = 2400


class UndecidedError(ValueError):
    """What is missing before something can be decided; the text is "reason", "rules" or "shown"."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who decides, and why."""

    actor: str
    reason: str


class Deciding:
    """Each call says whether there was still something to decide. Raises UndecidedError, SpoolUnavailableError."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Entropy,
        jitter: timedelta = timedelta(0),
        mailboxes: MailboxHasher | None = None,
    ) -> None:
        """`mailboxes` knows whose reports wait; without it, nobody's are told of."""
        self.holds = HoldStore(database, clock, entropy)
        self.reports = ReportStore(database, clock, entropy)
        self.freezes = FreezeStore(database, clock, entropy)
        self.wall = WallStore(database, clock, entropy)
        self.replies = ReplyStore(database, clock, entropy)
        self.notices = NoticeStore(database, clock, entropy)
        self.dangers = DangerStore(database, clock, entropy)
        self._database = database
        self._log = DecisionLog(database, clock, entropy)
        self._clock = clock
        self._entropy = entropy
        self._jitter = jitter
        self._mailboxes = mailboxes

    async def note_entry(self, actor: str) -> None:
        """Somebody came to the desk."""
        await self._database.write(
            lambda connection: self._log.write(connection, Decision("desk", Action.ENTER, actor, ""))
        )

    async def release(self, letter_id: str, voice: Voice) -> bool:
        """Let a held letter go; an appeal is granted by it.

        The wait for a person is cool-down enough; the moment of departure stays nobody's to know. While a report of its
        recipient waits (`waits_for_report`) it waits at its departure like any other letter to them.
        """
        decision = _decision(letter_id, Action.RELEASE, voice)
        due = self._clock.now() + self._jitter * self._entropy.uniform()
        return await self.holds.release(decision, next_departure(due) if self._jitter else due)

    async def waits_for_report(self, address: str) -> bool:
        """Whether nothing reaches `address` now, since nobody has decided about what they reported."""
        return self._mailboxes is not None and await self.reports.is_paused(self._mailboxes.all_of(address))

    async def refuse(self, letter_id: str, rules: Sequence[str], voice: Voice, *, freeze: bool = False) -> bool:
        """Refuse a held letter by at least one rule; its writer reads rules and reason.

        `freeze` keeps whoever wrote it from its recipient, as a report that was upheld does.
        """
        known = {rule.value for rule in Rule}
        if not rules or not known.issuperset(rules):
            raise UndecidedError("rules")
        frozen = _decision(letter_id, Action.FREEZE, voice) if freeze else None
        return await self.holds.refuse(_decision(letter_id, Action.REFUSE, voice, tuple(rules)), frozen)

    async def settle(self, letter_id: str, outcome: Outcome, voice: Voice) -> bool:
        """Decide about the report of a letter."""
        return await self.reports.decide(_decision(letter_id, Action(outcome), voice), outcome)

    async def answer(self, case_id: str, outcome: Outcome, voice: Voice) -> bool:
        """Decide about a notice of unlawful content; its author reads the reason."""
        return await self.notices.decide(_decision(case_id, Action(f"notice-{outcome}"), voice), outcome)

    async def freeze_letter(self, letter_id: str, voice: Voice) -> bool:
        """A held or reported letter threatens a life: it never departs, and is kept until its case is closed."""
        return await self.dangers.freeze(_decision(letter_id, Action.DANGER, voice))

    async def note_told(self, letter_id: str, voice: Voice) -> bool:
        """The authorities were told of such a letter."""
        return await self.dangers.note_told(_decision(letter_id, Action.DANGER_TOLD, voice))

    async def close_case(self, letter_id: str, voice: Voice) -> bool:
        """Keep such a letter no longer."""
        return await self.dangers.close(_decision(letter_id, Action.DANGER_CLOSED, voice))

    async def thaw(self, letter_id: str, voice: Voice) -> bool:
        """Let the writer of a letter reach its recipient again."""
        return await self.freezes.thaw(_decision(letter_id, Action.THAW, voice))

    async def publish(self, letter_id: str, shown: str, voice: Voice) -> bool:
        """Show a letter on the wall as `shown`. Raises UndecidedError also for nothing to show."""
        text = clean_message(shown[:MAX_SHOWN]).strip()
        if not text:
            raise UndecidedError("shown")
        return await self.wall.publish(_decision(letter_id, Action.PUBLISH, voice), text)

    async def decline(self, letter_id: str, voice: Voice) -> bool:
        """Never show a letter that was offered."""
        return await self.wall.decline(_decision(letter_id, Action.DECLINE, voice))

    async def take_down(self, letter_id: str, voice: Voice) -> bool:
        """Take a letter off the wall."""
        return await self.wall.take_down(_decision(letter_id, Action.TAKE_DOWN, voice))

    async def show_reply(self, letter_id: str, voice: Voice) -> bool:
        """Let whoever wrote a letter see the held reply to it."""
        return await self.replies.show(_decision(letter_id, Action.REPLY_SHOW, voice))

    async def refuse_reply(self, letter_id: str, voice: Voice) -> bool:
        """Show the held reply to a letter to nobody; whoever answered reads why."""
        return await self.replies.refuse(_decision(letter_id, Action.REPLY_REFUSE, voice))


def _decision(subject: str, action: Action, voice: Voice, rules: tuple[str, ...] = ()) -> Decision:
    reason = clean_message(voice.reason[:MAX_REASON]).strip()
    if not reason:
        raise UndecidedError("reason")
    return Decision(subject, action, voice.actor, reason, rules)
