"""What a recipient may have against a letter: a refusal, a report that was upheld, or one that waits for a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.client.contract import LetterRefused, RelayClient
from web.errands import Errands
from web.letters import PendingLetter
from web.mailbox import MailboxHasher
from web.refusals import refuses_mail
from web.reports import ReportStore

_WANTS_NONE: Final = LetterRefused(temporary=False, reason="the recipient wants none")


@dataclass(frozen=True, slots=True)
class Paused:
    """A person has yet to decide, about a letter that its recipient reported or about this one: ask again in a while.

    Its writer is told of neither.
    """


class Objections:
    """Asks the relay and the front's own tables. Raises SpoolUnavailableError, and RelayAwayError where it asks it."""

    def __init__(self, relay: RelayClient, errands: Errands, reports: ReportStore, mailboxes: MailboxHasher) -> None:
        self._relay = relay
        self._errands = errands
        self._reports = reports
        self._mailboxes = mailboxes

    async def to(self, letter: PendingLetter) -> LetterRefused | Paused | None:
        """What there is against a letter that nobody has handed over yet."""
        recipient = letter.mail.recipient
        if letter.held:
            return Paused()
        if letter.erased:
            return _WANTS_NONE
        if await refuses_mail(self._relay, recipient) or await self._errands.waits(recipient):
            return _WANTS_NONE
        if await self._reports.is_frozen(letter.id):
            return LetterRefused(temporary=False, reason="the recipient has reported this sender")
        if await self._reports.is_paused(self._mailboxes.all_of(recipient)):
            return Paused()
        return None

    async def kept_here(self, letter: PendingLetter) -> LetterRefused | None:
        """A refusal that has yet to reach the relay; of any other the relay knows itself."""
        return _WANTS_NONE if await self._errands.waits(letter.mail.recipient) else None
