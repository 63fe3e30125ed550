"""The way out: the last look before a letter leaves, and its hand-over to the relay.

Does its recipient still want letters, and may they get one now? Asked at the first hand-over only: a later try may
repeat one that was taken, and then the relay alone knows.
"""

from __future__ import annotations

from relay.client.contract import LetterAccepted, LetterRefused, RelayClient
from relay.clock import Clock
from web.letters import HOLD_TIME, STREAM, HeldFor, Hold, PendingLetter
from web.mailbox import MailboxHasher
from web.reports import ReportStore


class WayOut:
    """What the courier takes each letter to."""

    def __init__(self, relay: RelayClient, reports: ReportStore, mailboxes: MailboxHasher, clock: Clock) -> None:
        self._relay = relay
        self._reports = reports
        self._mailboxes = mailboxes
        self._clock = clock

    async def leave(self, letter: PendingLetter) -> LetterAccepted | LetterRefused | Hold:
        """Hand `letter` over, unless it may not leave. Raises SpoolUnavailableError."""
        if letter.attempts == 1:
            recipient = letter.mail.recipient
            if await self._relay.suppressed(recipient, STREAM):
                return LetterRefused(temporary=False, reason="the recipient wants none")
            if await self._reports.is_frozen(letter.id):
                return LetterRefused(temporary=False, reason="the recipient has reported this sender")
            if await self._reports.is_paused(self._mailboxes.all_of(recipient)):
                return Hold(self._clock.now() + HOLD_TIME, HeldFor.REPORT)
        return await self._relay.submit(letter.mail)
