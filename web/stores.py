"""Everything that a front keeps in its database, as one value: pages, courier and desk share these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from web.admission import DayAdmission
from web.danger import DangerStore
from web.day_counts import DayCounts
from web.doorbell import DoorbellStore
from web.errand_table import ErrandSeal, ErrandTable
from web.forgetting import LetterForgetter, QuestionForgetter
from web.legal_requests import LegalRequestStore
from web.letters import LetterStore
from web.limit_keys import LimitKeys
from web.limits import LetterLimits
from web.mailbox import MailboxHasher
from web.notices import NoticeStore
from web.options import FrontOptions
from web.outside import Outside
from web.pile import HeldPile
from web.replies import ReplyStore
from web.reports import ReportStore
from web.ruling_counts import RulingCounts
from web.sealed_store import SealedStore
from web.slow_lane import SlowLane
from web.tallies import DatabaseTallies
from web.token import TokenSigner
from web.wall import WallStore
from web.weekly_store import WeeklyStore
from web.withheld_table import WithheldTable


@dataclass(frozen=True, slots=True)
class Stores:
    """The tables of one front, and what their rows are hashed with."""

    letters: LetterStore
    admission: DayAdmission
    counts: DayCounts
    dangers: DangerStore
    doorbell: DoorbellStore
    errands: ErrandTable
    limits: LetterLimits
    lane: SlowLane
    legal: LegalRequestStore
    notices: NoticeStore
    pile: HeldPile
    old: LetterForgetter
    questions: QuestionForgetter
    replies: ReplyStore
    reports: ReportStore
    rulings: RulingCounts
    sealed: SealedStore
    tallies: DatabaseTallies
    wall: WallStore
    weekly: WeeklyStore
    withheld: WithheldTable
    keys: LimitKeys
    mailboxes: MailboxHasher

    def forgetting(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        """What is done hourly so that nothing is kept longer than it should be."""
        keepers = (
            self.sealed,
            self.reports,
            self.limits,
            self.doorbell,
            self.admission,
            self.counts,
            self.notices,
            self.wall,
            self.rulings,
            self.dangers,
            self.legal,
            self.old,
            self.questions,
            self.replies,
        )
        return tuple(keeper.forget for keeper in keepers)


def make_stores(options: FrontOptions, outside: Outside) -> Stores:
    """The stores of the database outside; nothing is read or written yet."""
    database, clock, entropy = outside.database, outside.clock, outside.entropy
    mailboxes = MailboxHasher((options.block_key, *options.old_block_keys))
    seal = ErrandSeal((options.link_key, *options.old_link_keys))
    keys = LimitKeys(outside.memory, clock, entropy)
    weekly = WeeklyStore(database, clock)
    pile = HeldPile(database, options.pile)
    most, doorbells = options.admission_per_day, options.doorbells_per_day
    return Stores(
        letters=outside.letters,
        admission=DayAdmission(database, clock, most, options.shares, doorbells),
        counts=DayCounts(database, clock),
        dangers=DangerStore(database, clock, entropy),
        doorbell=DoorbellStore(database, mailboxes, clock),
        errands=ErrandTable(database, seal, mailboxes, clock),
        limits=LetterLimits(database, keys, clock, options.organisations, pile),
        lane=SlowLane(database, TokenSigner(options.form_key, clock), clock),
        legal=LegalRequestStore(database, clock),
        notices=NoticeStore(database, clock, entropy, options.pile),
        pile=pile,
        old=LetterForgetter(outside.relay, database, clock, options.status_kept),
        questions=QuestionForgetter(outside.relay, weekly, clock),
        replies=ReplyStore(database, clock, entropy, options.most_waiting),
        reports=ReportStore(database, clock, entropy),
        rulings=RulingCounts(database, clock),
        sealed=SealedStore(database, clock),
        tallies=DatabaseTallies(database),
        wall=WallStore(database, clock, entropy),
        weekly=weekly,
        withheld=WithheldTable(database),
        keys=keys,
        mailboxes=mailboxes,
    )
