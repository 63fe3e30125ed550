"""When it is told that a letter failed which never left: as late as those beside it show that one could have failed.

After the courier, before the status page. A letter whose recipient wants none, has reported its writer or was erased
ends here, and one that left ends somewhere else: at a provider that may be out of reach for hours, may make first mail
wait, or behind a relay that takes nothing. So a withheld letter fails once letters for the same domain, that left
around it, have shown that mail was answered there, and no sooner than the quickest of them was. What one of them alone
met, a full mailbox for one, holds up no other, nor does what another domain meets: whoever owns those could tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay.client.contract import LetterState, RelayClient
from relay.clock import Clock
from relay.log import Log
from web.withheld_table import Withheld, WithheldTable

LONGEST: Final = timedelta(days=5)
"""After so long the relay has given up every letter that left beside it."""
SLOW: Final = timedelta(minutes=2)
"""What is answered sooner is answered at once."""

_ANSWERED: Final = frozenset({"delivered", "bounced"})
_UNDER_WAY: Final = frozenset({"waiting", "leased"})
_OF_A_MAILBOX: Final = frozenset({"full", "mailbox", "unknown-user"})
_BATCH: Final = 100
_STATE_TIMEOUT: Final = 5.0
_LOOK_SECONDS: Final = 60.0

_log = Log("courier")


@dataclass(frozen=True, slots=True)
class Beside:
    """A letter for the same domain that left around a withheld one, and where it stands at the relay."""

    left: datetime
    state: LetterState

    @property
    def answered(self) -> datetime | None:
        """When its provider took or refused it."""
        return self.state.changed_at if self.state.state in _ANSWERED else None

    def is_stuck(self, now: datetime) -> bool:
        """Whether something keeps it waiting that may keep others waiting too."""
        waits = self.state.state in _UNDER_WAY and now - self.left > SLOW
        return waits and (self.state.attempts == 0 or self.state.meaning not in _OF_A_MAILBOX)


def is_stuck(beside: Iterable[Beside], since: datetime, now: datetime) -> bool:
    """Whether a letter that left beside these could not have failed from `since` to `now`."""
    known = tuple(beside)
    if any(one.answered is not None and one.answered >= since for one in known):
        return False
    return any(one.is_stuck(now) for one in known)


def least_wait(beside: Iterable[Beside], since: datetime) -> timedelta:
    """How long the quickest of those waited that were answered before `since`."""
    waits = [at - one.left for one in beside if (at := one.answered) is not None and at < since]
    least = min(waits, default=timedelta(0))
    return timedelta(0) if least < SLOW else least


class Withholding:
    """Ends withheld letters. Raises SpoolUnavailableError, TimeoutError: the rest is looked at in the next round."""

    def __init__(
        self, relay: RelayClient, table: WithheldTable, clock: Clock, told_after: Callable[[str], timedelta]
    ) -> None:
        """`told_after` says how long after it failed that is told of a letter."""
        self._relay = relay
        self._table = table
        self._clock = clock
        self.told_after = told_after
        self._next_look = clock.monotonic()

    async def look(self) -> None:
        """Each round those of which it would be told now; once a minute all."""
        at_all = self._clock.monotonic() >= self._next_look
        if at_all:
            self._next_look = self._clock.monotonic() + _LOOK_SECONDS
        # Of this moment are the states too: what is answered while the look lasts is seen by the next one.
        now = self._clock.now()
        states: dict[str, LetterState | None] = {}
        last = ""
        while letters := await self._table.open(last, _BATCH):
            last = letters[-1].id
            for letter in letters:
                if at_all or self._would_be_told(letter, timedelta(0), now):
                    await self._look_at(letter, states, now)

    async def ended(self, letter_id: str) -> datetime | None:
        """When a withheld letter failed, if that may be told by now."""
        letter = await self._table.find(letter_id)
        if letter is None:  # a round was quicker
            return await self._table.ended(letter_id)
        now = self._clock.now()
        if not self._would_be_told(letter, timedelta(0), now):
            return None
        return await self._look_at(letter, {}, now)

    async def withdrawn(self, letter_id: str, since: datetime) -> datetime | None:
        """The same of a letter that the relay has and will not deliver `since` then."""
        ended = await self.ended(letter_id)
        if ended is None and await self._table.find(letter_id) is None:
            await self._table.note_withdrawn(letter_id, since)
            ended = await self.ended(letter_id)
        return ended

    async def _look_at(self, letter: Withheld, states: dict[str, LetterState | None], now: datetime) -> datetime | None:
        beside = await self._beside(letter, states)
        refused = await self._table.is_refused_for_now(letter.since)
        is_late = now - letter.left > LONGEST
        if not is_late and (refused or is_stuck(beside, letter.since, now)):
            await self._table.put_off(letter.id, max(letter.since, now))
            return None
        wait = timedelta(0) if is_late else least_wait(beside, letter.since)
        # As far as is known of this moment: what has happened since may keep it from failing.
        if not self._would_be_told(letter, wait, now):
            return None
        ended = letter.since + wait
        await self._table.end(letter.id, ended)
        _log.info("withheld-letter-ended")
        return ended

    def _would_be_told(self, letter: Withheld, wait: timedelta, now: datetime) -> bool:
        return letter.since + wait + self.told_after(letter.id) <= now

    async def _beside(self, letter: Withheld, states: dict[str, LetterState | None]) -> list[Beside]:
        found = []
        for message_id, left in await self._table.beside(letter, letter.left - LONGEST):
            if message_id not in states:
                async with asyncio.timeout(_STATE_TIMEOUT):
                    states[message_id] = await self._relay.state(message_id)
            state = states[message_id]
            if state is not None:
                found.append(Beside(left, state))
        return found
