"""The courier hands letters over to the relay: at once when they are sent, and again until it has them.

A letter is committed to the front's table before anybody is told that it was sent; from then on the courier
owes it to the relay, with the letter's id as idempotency key, so that a repeated hand-over makes no second
mail (the relay remembers a key for a week). A crash at any point leaves the letter due again.

Before a letter leaves, its recipient's refusal is asked for once more (`web.wishes` did, when it was kept): who has
refused our mail since gets none. That ends nothing its writer could see: such a letter is withheld (`web.withholding`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.wary_clock import WaryClock
from web.handing_over import HandOver
from web.letters import Departure, LetterStore, NewLetter, PendingLetter

FIRST_LOOK: Final = timedelta(seconds=10)
"""When the rounds first look at a letter that was just added: the hand-over at once comes before."""

_CLAIM: Final = timedelta(minutes=2)
_BATCH: Final = 16
_IN_FLIGHT: Final = 64
_MOST_A_ROUND: Final = 5000
_FORGET_EVERY: Final = 3600.0
_WATCH_EVERY: Final = 60.0
_FORGET_BATCH: Final = 500
_STOP_TIMEOUT: Final = 5.0

_log = Log("courier")


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often the courier looks for letters, how long a status link works, and what else is forgotten hourly."""

    every: timedelta
    status_kept: timedelta
    forget: tuple[Callable[[], Awaitable[object]], ...] = ()
    first: tuple[Callable[[], Awaitable[object]], ...] = ()
    """What comes before the letters of each round."""
    last: tuple[Callable[[], Awaitable[object]], ...] = ()
    """What comes after them."""
    watch: tuple[Callable[[], Awaitable[object]], ...] = ()
    """What else is looked after once a minute; that one of them fails ends no other."""


class Courier:
    """Owns the tasks that hand letters over; `start` and `stop` belong to the application."""

    def __init__(self, hand_over: HandOver, store: LetterStore, clock: Clock, rounds: Rounds) -> None:
        self._hand_over = hand_over
        self._store = store
        self._clock = WaryClock.of(clock)
        self._rounds = rounds
        self._loop: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[bool]] = set()
        self._next_forgetting = self._next_watch = clock.monotonic()

    async def start(self) -> None:
        """Begin the rounds; letters left by an earlier run are handed over first."""
        self._loop = asyncio.create_task(self._go_round(), name="web courier")

    async def stop(self) -> None:
        """End the rounds, wait a moment for hand-overs under way; what remains is due at the next start."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=_STOP_TIMEOUT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def send(self, letter: NewLetter, departure: Departure) -> bool:
        """Keep `letter` durably; if it may leave now, begin to hand it over: how long that takes is told to nobody.

        False if the same letter was sent before. Raises SpoolUnavailableError if it could not be kept.
        """
        now = self._clock.now()
        # One too many is withheld in the next round: nothing of it is handed over.
        at_once = departure.hold is None and departure.due <= now and not letter.over
        if at_once:
            departure = Departure(now + FIRST_LOOK, claimed=True, expected=departure.expected)
        if not await self._store.add(letter, now, departure):
            return False
        if at_once and len(self._under_way) < _IN_FLIGHT:
            pending = PendingLetter(letter.mail, 1, now, letter.network, departure.due)
            task = asyncio.create_task(self._hand_over.attempt(pending), name="web hand-over")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return True

    async def _go_round(self) -> None:
        while True:
            try:
                await self.make_round()
            except SpoolUnavailableError as error:
                _log.warning("round-failed", why=str(error))
            except Exception:  # noqa: BLE001 - the rounds keep a promise and never end before the application
                _log.exception("round-failed")
            await asyncio.sleep(self._rounds.every.total_seconds())

    async def make_round(self) -> int:
        """Hand over every letter that is due, give back what nobody decided about, forget old letters once an hour.

        How many letters were tried.
        """
        is_believed = not self._clock.lead()  # a clock that was ahead for a while ends no hold and deletes nothing
        if is_believed and (returned := await self._store.end_holds(self._clock.now())):
            _log.warning("holds-ended", letters=returned, remedy="leak letters lists what waits for a decision")
        await _each(self._rounds.first)
        await self._watch()
        tried = await self._hand_all_over()
        await _each(self._rounds.last)
        if is_believed and self._clock.monotonic() >= self._next_forgetting:
            self._next_forgetting = self._clock.monotonic() + _FORGET_EVERY
            now = self._clock.now()
            while await self._store.forget(now, now - self._rounds.status_kept, _FORGET_BATCH) == _FORGET_BATCH:
                pass
            await _each(self._rounds.forget)
        return tried

    async def _hand_all_over(self) -> int:
        """Hand over what is due, as long as it is new: what else a round looks after has its turn in time too."""
        tried = set[str]()
        while len(tried) < _MOST_A_ROUND and (letters := await self._store.take_due(self._clock.now(), _CLAIM, _BATCH)):
            is_there = any(await asyncio.gather(*(self._hand_over.attempt(letter) for letter in letters)))
            comes_again = not tried.isdisjoint(letter.id for letter in letters)
            tried.update(letter.id for letter in letters)
            if comes_again or not is_there:
                break  # while the relay is away the rest need not be tried in this round
        return len(tried)

    async def _watch(self) -> None:
        if self._clock.monotonic() < self._next_watch:
            return
        self._next_watch = self._clock.monotonic() + _WATCH_EVERY
        await _each(self._rounds.watch)


async def _each(keepers: tuple[Callable[[], Awaitable[object]], ...]) -> None:
    """Let everyone look after what is theirs; that one of them fails ends no other."""
    for keep in keepers:
        try:
            await keep()
        except (SpoolUnavailableError, TimeoutError) as error:
            _log.warning("watch-failed", why=str(error) or "timed out")
