"""The way out: the last look before a letter leaves, and its hand-over to the relay.

Does its recipient still want letters, and may they get one now? Asked until the relay has it: a later try may repeat
one that was taken, so the relay is asked for that first.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.client.contract import LetterAccepted, LetterRefused, RelayAwayError, RelayClient
from relay.clock import Clock
from web.ceilings import Ceilings, Look, Waits, Way
from web.letters import Left, PendingLetter
from web.mailbox import MailboxHasher
from web.objections import Objections, Paused
from web.row import Spot


@dataclass(frozen=True, slots=True)
class Later:
    """The letter may leave, but not yet: a ceiling is reached, and it has a spot in the row."""

    place: str
    """Whose warm-up it needs room of."""
    spot: Spot


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The relay could not be asked whether the letter may leave, so nothing was handed over; `why` for the log."""

    why: str


class WayOut:
    """What the courier takes each letter to."""

    def __init__(
        self,
        relay: RelayClient,
        objections: Objections,
        ceilings: Ceilings,
        mailboxes: MailboxHasher,
        clock: Clock,
    ) -> None:
        self._relay = relay
        self._objections = objections
        self._ceilings = ceilings
        self._mailboxes = mailboxes
        self._clock = clock

    def left(self, letter: PendingLetter) -> Left:
        """That it leaves now."""
        return Left(self._clock.now(), self._mailboxes.place_of(letter.mail.recipient))

    async def leave(self, letter: PendingLetter) -> LetterAccepted | LetterRefused | Paused | Later | NotAsked:
        """Hand `letter` over, unless it may not leave. Raises SpoolUnavailableError."""
        if letter.attempts == 1 or letter.erased or letter.held:
            try:
                answer = await self._stopped(letter)
            except RelayAwayError as error:
                return NotAsked(str(error))
            if answer is not None:
                return answer
        elif (earlier := await self._since_an_earlier_try(letter)) is not None:
            return earlier
        return await self._relay.submit(letter.mail)

    async def _stopped(self, letter: PendingLetter) -> LetterRefused | Paused | Later | None:
        """Why a letter that nobody has handed over yet may not leave now; None if it may.

        The ceiling has the first word: a letter that nobody wants waits as long as one that somebody does, or its page
        would tell which it is. It takes nobody's room.
        """
        unwanted = await self._objections.to(letter)
        look = await self._look(letter, counts=unwanted is None)
        return unwanted if look.spot is None else Later(look.place, look.spot)

    async def _since_an_earlier_try(
        self, letter: PendingLetter
    ) -> LetterAccepted | LetterRefused | Paused | Later | None:
        """What became of a letter that somebody may have handed over, or why it may not leave after all."""
        handed = await self._relay.handed(letter.id)
        if handed:
            return LetterAccepted(handed)
        if handed is None:  # a relay of before does not tell: what was taken must not end here
            return await self._objections.kept_here(letter)
        return await (self._objections.to(letter) if letter.has_place else self._stopped(letter))

    async def _look(self, letter: PendingLetter, *, counts: bool) -> Look:
        """What it meets at the ceilings; one that `counts` takes its place among those of today."""
        recipient = f"erased{letter.mail.recipient}" if letter.erased else letter.mail.recipient
        way = Way(letter.mail.sender, letter.mail.stream, recipient)
        return await self._ceilings.opens(way, Waits(letter.network, letter.wished, letter.id), counts=counts)
