"""The way in: may this letter be sent now, and if not, when?

Asked once for each letter that was not sent yet, before it is kept. Limits of the recipient and of a pair are final;
those of a sender for a day, and a crowd of the sender's kind of network, lead to the slow lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from relay.clock import Clock
from web.client_address import ClientAddress
from web.crowds import Crowd, Crowds
from web.limits import Admission, Held, LetterLimits
from web.network import Network
from web.pile import RETRY_AFTER, HeldPile
from web.slow_lane import SlowLane, Ticket, pace


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: ask again after `span`, with `ticket` if there is one."""

    span: timedelta
    ticket: str = ""
    is_full: bool = False
    """Because a person would look first, and too many letters wait for that."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants to send which letter to whom, with the token of a ticket they may have."""

    client: ClientAddress
    network: Network
    letter_id: str
    recipient: str
    ticket: str = ""
    is_held: bool = False
    """Whether a person looks at it first, whoever else writes to its recipient."""


class WayIn:
    """Decides. Without `limits` nobody waits. Raises SpoolUnavailableError."""

    def __init__(
        self,
        limits: LetterLimits | None,
        pile: HeldPile,
        lane: SlowLane,
        crowds: Crowds,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._pile = pile
        self._lane = lane
        self._crowds = crowds
        self._clock = clock

    async def ask(self, asked: Asked) -> Admission | Wait:
        """Count the letter and let it in, or say how long to wait; one that has to wait is not counted."""
        if asked.is_held and not await self._pile.takes(asked.network):
            return _full(asked)
        if self._limits is None:
            return Admission()
        ticket = self._lane.read(asked.ticket, asked.letter_id)
        if ticket is not None and ticket.at > self._clock.now():
            return self._wait(ticket)
        crowd = await self._crowds.of(asked.network)
        if ticket is None and crowd.crowded:
            return await self._queue(asked, crowd, timedelta(hours=1))
        sender = asked.client.network
        held = Held(asked.network, asked.is_held, asked.letter_id)
        admission = await self._limits.take(sender, asked.recipient, has_ticket=ticket is not None, held=held)
        if admission.is_full:
            return _full(asked)
        if admission.wait is None:
            return admission
        if admission.may_queue:
            return await self._queue(asked, crowd, admission.wait)
        return Wait(admission.wait)

    def knows(self, ticket: str, letter_id: str) -> bool:
        """Whether `ticket` is one of ours for this letter, and still good."""
        return self._lane.read(ticket, letter_id) is not None

    async def _queue(self, asked: Asked, crowd: Crowd, otherwise: timedelta) -> Wait:
        """A place in the row, or `otherwise` where there is none."""
        limits = self._limits
        # An exit of Tor speaks for many people: their row has a pace of its own, and that is all that holds it.
        if limits is not None and asked.network is not Network.TOR:
            wait = await limits.take_ticket(asked.client.network)
            if wait is not None:
                return Wait(max(wait, otherwise))
        ticket = await self._lane.offer(asked.letter_id, asked.network, pace(crowd.part))
        return Wait(otherwise) if ticket is None else self._wait(ticket)

    def _wait(self, ticket: Ticket) -> Wait:
        return Wait(ticket.at - self._clock.now(), ticket.token)


def _full(asked: Asked) -> Wait:
    """Later, with the place in the row that a letter has."""
    return Wait(timedelta(seconds=RETRY_AFTER), asked.ticket, is_full=True)
