"""What recipients report: kept until somebody has decided, and meanwhile no letter reaches them.

A report names a letter and a rule. The words are attached only if the recipient copied them in, at once or later. The
mailbox is kept as a keyed hash while the report waits. The decision and its line in the log are one transaction, which
deletes words and hash; a report that was dismissed is opened once more if its author then brings words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from relay.ids import Entropy
from web.day_counts import What, count
from web.decisions import Decision, DecisionLog
from web.freezes import FREEZE, THAW
from web.wall import REMOVE_POST

_FILE: Final = """
INSERT INTO web_report (letter_id, at, mailbox, rule, words) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING letter_id
"""
HOLD_REPORT: Final = "UPDATE web_report SET rule = rule WHERE letter_id = ?"
"""Changes nothing: until the transaction ends, no other one adds to this report, erases its words or decides."""
_KNOWN: Final = """
SELECT outcome, rule, words,
  (SELECT COUNT(*) FROM web_decision d WHERE d.subject = r.letter_id AND d.action = 'dismissed')
FROM web_report r WHERE letter_id = ?
"""
_STATE: Final = """
SELECT outcome, rule,
  (SELECT MAX(at) FROM web_decision d WHERE d.subject = r.letter_id AND d.action IN ('upheld', 'dismissed', 'danger')),
  (SELECT COUNT(*) FROM web_decision d WHERE d.subject = r.letter_id AND d.action = 'dismissed'),
  (SELECT COUNT(*) FROM web_freeze f JOIN web_letter l ON l.pair = f.pair WHERE l.id = r.letter_id)
FROM web_report r WHERE letter_id = ?
"""
_ADD: Final = "UPDATE web_report SET rule = ?, words = ? WHERE letter_id = ?"
_OPEN_AGAIN: Final = """
UPDATE web_report SET at = ?, mailbox = ?, rule = ?, words = ?, outcome = NULL WHERE letter_id = ?
"""
_MOST_KEPT: Final = 40_000
"""Characters of a report's words, when its author adds to them again and again; the latest stay."""
_OPEN: Final = "SELECT letter_id, at, rule, words FROM web_report WHERE outcome IS NULL ORDER BY at LIMIT ?"
DECIDE_REPORT: Final = """
UPDATE web_report SET outcome = ?, words = '', mailbox = ? WHERE letter_id = ? AND outcome IS NULL
"""
"""Outcome, `NOBODY`, letter: what was copied in goes, and whose report it was."""
NOBODY: Final = b""
_FORGETTING: Final = (
    ("DELETE FROM web_report WHERE outcome IS NOT NULL AND at < ?", timedelta(days=366)),
    ("DELETE FROM web_freeze WHERE at < ?", timedelta(days=60)),
    ("DELETE FROM web_decision WHERE at < ?", timedelta(days=366)),
)
"""What goes after which time; a frozen pair's key is gone from memory by then."""


class Outcome(StrEnum):
    """What was decided about a report."""

    UPHELD = "upheld"
    """The letter broke a rule: its writer's network stays kept from this recipient."""
    DISMISSED = "dismissed"


class Filed(StrEnum):
    """What became of a report that a recipient sent; the words are in the catalogue under `recipient.done_<value>`."""

    NEW = "report"
    ADDED = "report_added"
    """The letter was reported before and nobody has decided yet: rule and words are with that report."""
    AGAIN = "report_again"
    """It had been dismissed; with words it waits for a second decision."""
    WORDLESS = "report_wordless"
    """It had been dismissed, and would be looked at once more if it came with words. Nothing waits."""
    DECIDED = "report_decided"
    """It was upheld, or dismissed twice. Nothing waits."""

    @property
    def waits(self) -> bool:
        """Whether somebody has something new to decide."""
        return self in (Filed.NEW, Filed.AGAIN)


@dataclass(frozen=True, slots=True)
class Report:
    """What a recipient reports; `words` is what they copied from the letter or add to it."""

    letter_id: str
    rule: str
    """What they say is wrong with it; one who added to a report may have named several, between blanks."""
    words: str


@dataclass(frozen=True, slots=True)
class ReportState:
    """Where a report stands: what was decided, around when, and whether no further words open it again.

    Never why: the reason may speak of others.
    """

    outcome: Outcome | None = None
    decided: datetime | None = None
    is_final: bool = False
    rule: str = ""
    """What its author said is wrong with the letter."""
    keeps_away: bool = False
    """Whether the network that wrote it is known, and kept from its recipient now."""


@dataclass(frozen=True, slots=True)
class OpenReport:
    """A report that waits for a decision."""

    at: datetime
    report: Report


class ReportStore:
    """Reports in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._log = DecisionLog(database, clock, entropy)

    async def file(self, report: Report, mailbox: bytes) -> Filed:
        """Keep a report and freeze the pair; one of a letter that was reported before adds to that report."""
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> Filed:
            values = (report.letter_id, now, mailbox, report.rule, report.words)
            if list(connection.execute(_FILE, values)):
                connection.execute(FREEZE, (now, report.letter_id))
                count(connection, now, What.REPORTS)
                return Filed.NEW
            # PostgreSQL runs writers side by side: two that add at once would each read what was there before both.
            connection.execute(HOLD_REPORT, (report.letter_id,))
            ((outcome, rules, kept, dismissals),) = connection.execute(_KNOWN, (report.letter_id,))
            filed = _filed_again(outcome, dismissals, report.words)
            if filed is Filed.ADDED:
                both = " ".join(dict.fromkeys((*rules.split(), report.rule)))
                connection.execute(_ADD, (both, _joined(kept, report.words), report.letter_id))
            elif filed is Filed.AGAIN:
                connection.execute(_OPEN_AGAIN, (now, mailbox, report.rule, report.words, report.letter_id))
                connection.execute(FREEZE, (now, report.letter_id))
            return filed

        return await self._database.write(work)

    async def is_paused(self, mailboxes: Sequence[bytes]) -> bool:
        """Whether a report about mail to any of these hashes waits for a decision."""
        return await self._database.read(lambda connection: is_paused(connection, mailboxes))

    async def of_letter(self, letter_id: str) -> ReportState | None:
        """Where the report of this letter stands; None if there is none."""
        rows = await rows_of(self._database, _STATE, (letter_id,))
        if not rows:
            return None
        ((outcome, rule, decided, dismissals, frozen),) = rows
        if outcome is None:
            return ReportState(rule=rule, keeps_away=bool(frozen))
        is_final = outcome != Outcome.DISMISSED or dismissals > 1
        at = None if decided is None else from_millis(decided)
        return ReportState(Outcome(outcome), at, is_final, rule, bool(frozen))

    async def open_reports(self, limit: int = 1000) -> list[OpenReport]:
        """What waits for a decision, the oldest first."""
        rows = await rows_of(self._database, _OPEN, (limit,))
        return [OpenReport(from_millis(at), Report(letter, rule, words)) for letter, at, rule, words in rows]

    async def decide(self, decision: Decision, outcome: Outcome) -> bool:
        """Settle the report of the letter `decision.subject`, its post too if upheld; False if none waits."""
        # A post goes for good: what hides it from the wall is this report, which is forgotten before the wall is.
        effect = THAW if outcome is Outcome.DISMISSED else REMOVE_POST
        decide = (DECIDE_REPORT, (outcome.value, NOBODY, decision.subject))
        return await self._log.commit(decision, decide, (effect, (decision.subject,)))

    async def erase(self, letter_id: str) -> None:
        """Delete the words of a report at its author's wish; that there was one stays until it is decided."""
        await change(self._database, ("UPDATE web_report SET words = '' WHERE letter_id = ?", (letter_id,)))

    async def forget(self) -> None:
        """Delete decided reports, freezes and decisions whose time is over."""
        now = self._clock.now()
        await change(self._database, *((sql, (to_millis(now - kept),)) for sql, kept in _FORGETTING))


def is_paused(connection: Connection, mailboxes: Sequence[bytes]) -> bool:
    """`ReportStore.is_paused`, for who reads more than that at a time."""
    marks = ", ".join("?" * len(mailboxes))
    sql = f"SELECT 1 FROM web_report WHERE outcome IS NULL AND mailbox IN ({marks}) LIMIT 1"  # noqa: S608 - marks only
    return bool(list(connection.execute(sql, tuple(mailboxes))))


def is_frozen(connection: Connection, letter_id: str) -> bool:
    """Whether the recipient of this letter has reported its sender, and nobody has found them wrong."""
    sql = "SELECT 1 FROM web_freeze f JOIN web_letter l ON l.pair = f.pair WHERE l.id = ?"
    return bool(list(connection.execute(sql, (letter_id,))))


def _filed_again(outcome: str | None, dismissals: int, words: str) -> Filed:
    """What a further report of the same letter is."""
    if outcome is None:
        return Filed.ADDED
    if outcome != Outcome.DISMISSED or dismissals > 1:
        return Filed.DECIDED
    return Filed.AGAIN if words.strip() else Filed.WORDLESS


def _joined(kept: str, words: str) -> str:
    """Both, unless one says all of the other: a form that is sent twice adds nothing."""
    if words in kept:
        return kept
    return (words if kept in words else f"{kept}\n\n{words}")[-_MOST_KEPT:]
