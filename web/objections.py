"""What a recipient may have against a letter: a refusal, a report that was upheld, or one that waits for a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.client.contract import LetterRefused, RelayClient
from relay.database.contract import Connection, Database
from web.errands import Errands
from web.letters import PendingLetter
from web.mailbox import MailboxHasher
from web.refusals import refuses_mail
from web.reports import is_frozen, is_paused

_WANTS_NONE: Final = LetterRefused(temporary=False, reason="the recipient wants none")


@dataclass(frozen=True, slots=True)
class Paused:
    """A person has yet to decide, about a letter that its recipient reported or about this one: ask again in a while.

    Its writer is told of neither.
    """


class Objections:
    """Asks the relay and the front's own tables. Raises SpoolUnavailableError, and RelayAwayError where it asks it."""

    def __init__(self, relay: RelayClient, errands: Errands, database: Database, mailboxes: MailboxHasher) -> None:
        self._relay = relay
        self._errands = errands
        self._database = database
        self._mailboxes = mailboxes

    async def to(self, letter: PendingLetter) -> LetterRefused | Paused | None:
        """What there is against a letter that nobody has handed over yet."""
        recipient = letter.mail.recipient
        if letter.held:
            return Paused()
        if letter.erased:
            return _WANTS_NONE
        waits, frozen, paused = await self._here(letter.id, recipient)
        # The relay is asked last: a refusal that is on its way to it is found in one of both.
        if await refuses_mail(self._relay, recipient) or waits:
            return _WANTS_NONE
        if frozen:
            return LetterRefused(temporary=False, reason="the recipient has reported this sender")
        return Paused() if paused else None

    async def _here(self, letter_id: str, recipient: str) -> tuple[bool, bool, bool]:
        """What the front tells in one read: a refusal on its way to the relay, a frozen pair, an open report."""
        waits, mailboxes = self._errands.question(recipient), self._mailboxes.all_of(recipient)

        def look(connection: Connection) -> tuple[bool, bool, bool]:
            return waits(connection), is_frozen(connection, letter_id), is_paused(connection, mailboxes)

        return await self._database.read(look)

    async def kept_here(self, letter: PendingLetter) -> LetterRefused | None:
        """A refusal that has yet to reach the relay; of any other the relay knows itself."""
        return _WANTS_NONE if await self._errands.waits(letter.mail.recipient) else None
