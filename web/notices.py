"""Notices of unlawful content: from anybody, kept as cases until a person has decided, with reasons (DSA, article 16).

The notice's author gets a secret link: the acknowledgement, and later the decision, stand there. Its secret is stored
as a hash. Name, mail and words go half a year after the decision, the bare case after a year more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from relay.ids import Entropy, base32
from web.decisions import Decision, DecisionLog
from web.letters import hash_secret
from web.network import Network
from web.pile import Pile, open_notices
from web.reports import Outcome
from web.turns import Turn, take_turn

_USUAL: Final = Pile()
_WORDS_KEPT: Final = timedelta(days=183)
_CASE_KEPT: Final = timedelta(days=548)
_SELECT: Final = (
    "SELECT id, at, language, item, grounds, name, mail, children, outcome, reason, decided FROM web_notice"
)
_COUNT: Final = "SELECT COUNT(*) FROM web_notice WHERE outcome IS NULL"
_ADD: Final = """
INSERT INTO web_notice (id, secret_hash, at, language, item, grounds, name, mail, children, network)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DECIDE: Final = """
UPDATE web_notice SET outcome = ?, reason = ?, decided = ?, network = 'direct' WHERE id = ? AND outcome IS NULL
"""
_STRIP: Final = "UPDATE web_notice SET item = '', grounds = '', name = '', mail = '' WHERE decided < ? AND item <> ''"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is said to be unlawful and why, and by whom; about abused children no name is asked."""

    item: str
    grounds: str
    name: str
    mail: str
    about_children: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A notice as it is kept."""

    id: str
    at: datetime
    language: str
    notice: Notice
    outcome: Outcome | None
    reason: str
    decided: datetime | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a notice's author gets: the case's number, and the secret of its page."""

    id: str
    secret: str


class NoticeStore:
    """Notices in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy, pile: Pile = _USUAL) -> None:
        self._database = database
        self._pile = pile
        self._clock = clock
        self._entropy = entropy
        self._log = DecisionLog(database, clock, entropy)

    async def file(self, notice: Notice, language: str, network: Network = Network.DIRECT) -> Receipt | None:
        """Keep a notice that came by `network`; None if too many wait.

        One about abused children finds as much room again: no flood of others keeps it out.
        """
        pile = replace(self._pile, most=2 * self._pile.most) if notice.about_children else self._pile
        receipt = Receipt(base32(self._entropy.bytes(8)), base32(self._entropy.bytes(20)))
        said = (notice.item, notice.grounds, notice.name, notice.mail, int(notice.about_children))
        values = (receipt.id, hash_secret(receipt.secret), to_millis(self._clock.now()), language, *said, network.value)

        def work(connection: Connection) -> bool:
            take_turn(connection, self._database.dialect, Turn.NOTICES)
            if not pile.has_room(open_notices(connection), network):
                return False
            connection.execute(_ADD, values)
            return True

        return receipt if await self._database.write(work) else None

    async def find(self, secret: str) -> Case | None:
        """The case of a secret link."""
        rows = await rows_of(self._database, f"{_SELECT} WHERE secret_hash = ?", (hash_secret(secret),))
        return _case(rows[0]) if rows else None

    async def waiting(self, limit: int = 1000) -> list[Case]:
        """Cases that nobody has decided, those about abused children first, then the oldest: no flood buries one."""
        sql = f"{_SELECT} WHERE outcome IS NULL ORDER BY children DESC, at, id LIMIT ?"
        return [_case(row) for row in await rows_of(self._database, sql, (limit,))]

    async def how_many(self) -> int:
        """So many cases wait."""
        return int((await rows_of(self._database, _COUNT))[0][0])

    async def one_waiting(self, case_id: str) -> Case | None:
        """The case, if nobody has decided it."""
        rows = await rows_of(self._database, f"{_SELECT} WHERE id = ? AND outcome IS NULL", (case_id,))
        return _case(rows[0]) if rows else None

    async def decide(self, decision: Decision, outcome: Outcome) -> bool:
        """Decide the case `decision.subject`; its author reads the reason. False if it does not wait."""
        values = (outcome.value, decision.reason, to_millis(self._clock.now()), decision.subject)
        return await self._log.commit(decision, (_DECIDE, values))

    async def forget(self) -> None:
        """Delete what is past its time."""
        now = self._clock.now()
        old = "DELETE FROM web_notice WHERE decided < ?"
        strip = (_STRIP, (to_millis(now - _WORDS_KEPT),))
        await change(self._database, strip, (old, (to_millis(now - _CASE_KEPT),)))


def _case(row: tuple[Any, ...]) -> Case:
    case_id, at, language, item, grounds, name, mail, children, outcome, reason, decided = row
    return Case(
        id=case_id,
        at=from_millis(at),
        language=language,
        notice=Notice(item, grounds, name, mail, bool(children)),
        outcome=Outcome(outcome) if outcome else None,
        reason=reason,
        decided=None if decided is None else from_millis(decided),
    )
