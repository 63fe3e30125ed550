"""The courier hands letters over to the relay: at once when they are sent, and again until it has them.

A letter is committed to the front's table before anybody is told that it was sent; from then on the courier
owes it to the relay, with the letter's id as idempotency key, so that a repeated hand-over makes no second
mail (the relay remembers a key for a week). A crash at any point leaves the letter due again.

Before a letter leaves, its recipient's refusal is asked for once more: who has refused our mail since the letter
was written gets none. That ends nothing its writer could see: such a letter is withheld (`web.withholding`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.client.contract import LetterAccepted, LetterRefused
from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.ids import Entropy
from relay.log import Log
from web.departing import Later, NotAsked, Paused, WayOut
from web.departures import next_departure, spread
from web.letters import Departure, Expected, LetterStore, NewLetter, PendingLetter
from web.withheld_table import WithheldTable

FIRST_LOOK: Final = timedelta(seconds=10)
"""When the rounds first look at a letter that was just added: the hand-over at once comes before."""

_HAND_OVER_TIMEOUT: Final = 30.0
_CLAIM: Final = timedelta(minutes=2)
_BATCH: Final = 16
_IN_FLIGHT: Final = 64
_SHORTEST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(minutes=5)
_RELAY_WAIT: Final = timedelta(seconds=10)
"""After so long at most a letter is tried again that found no relay to ask."""
_REPORT_WAIT: Final = timedelta(minutes=10)
"""Likewise one whose recipient has an open report."""
_GIVE_UP: Final = timedelta(days=5)
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

    def __init__(
        self,
        way_out: WayOut,
        store: LetterStore,
        withheld: WithheldTable,
        clock: Clock,
        entropy: Entropy,
        rounds: Rounds,
    ) -> None:
        self._way_out = way_out
        self._store = store
        self._withheld = withheld
        self._clock = clock
        self._entropy = entropy
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
        at_once = departure.hold is None and departure.due <= now
        if at_once:
            departure = Departure(now + FIRST_LOOK, claimed=True, expected=departure.expected)
        if not await self._store.add(letter, now, departure):
            return False
        if at_once and len(self._under_way) < _IN_FLIGHT:
            task = asyncio.create_task(
                self._hand_over(PendingLetter(letter.mail, 1, now, letter.network, departure.due)), name="web hand-over"
            )
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
        returned = await self._store.end_holds(self._clock.now())
        if returned:
            _log.warning("holds-ended", letters=returned, remedy="leak letters lists what waits for a decision")
        await _each(self._rounds.first)
        await self._watch()
        tried = await self._hand_all_over()
        await _each(self._rounds.last)
        if self._clock.monotonic() >= self._next_forgetting:
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
            is_there = any(await asyncio.gather(*(self._hand_over(letter) for letter in letters)))
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

    async def _hand_over(self, letter: PendingLetter) -> bool:
        """Try; False if the relay could not be asked."""
        try:
            outcome = await self._submit(letter)
            match outcome:
                case LetterAccepted():
                    await self._store.note_handed_over(letter.id, outcome.id, self._way_out.left(letter))
                    _log.info("letter-handed-over", message=outcome.id, attempts=letter.attempts)
                case Paused():
                    await self._wait_for_report(letter)
                case Later():
                    ask = spread(outcome.spot.ask, self._entropy.uniform())
                    await self._store.wait(letter.id, ask, Expected(outcome.place, outcome.spot))
                case NotAsked():
                    await self._wait_for_relay(letter, outcome.why)
                    return False
                case LetterRefused():
                    await self._note_refusal(letter, outcome)
        except SpoolUnavailableError as error:
            # The row keeps its due time, so another round finds it.
            _log.warning("hand-over-not-noted", attempts=letter.attempts, why=str(error))
        except Exception:  # noqa: BLE001 - likewise, and the task has nobody to raise to
            _log.exception("hand-over-not-noted", attempts=letter.attempts)
        return True

    async def _submit(self, letter: PendingLetter) -> LetterAccepted | LetterRefused | Paused | Later | NotAsked:
        try:
            async with asyncio.timeout(_HAND_OVER_TIMEOUT):
                return await self._way_out.leave(letter)
        except TimeoutError:
            return LetterRefused(temporary=True, reason="hand-over timed out")
        except SpoolUnavailableError as error:
            return LetterRefused(temporary=True, reason=str(error))
        except Exception:  # noqa: BLE001 - whatever broke in between, the letter is still owed
            _log.exception("hand-over-broke", attempts=letter.attempts)
            return LetterRefused(temporary=True, reason="hand-over broke")

    async def _wait_for_report(self, letter: PendingLetter) -> None:
        """Nobody is asked, and its page says what that of a letter says whose provider makes it wait."""
        now = self._clock.now()
        if now - letter.created > _GIVE_UP:
            await self._note_refusal(letter, LetterRefused(temporary=True, reason="the report was never decided about"))
            return
        due = next_departure(now + _REPORT_WAIT * (0.5 + self._entropy.uniform() / 2))
        await self._withheld.delay(letter.id, due, self._way_out.left(letter))
        _log.info("letter-waits-for-report")

    async def _wait_for_relay(self, letter: PendingLetter, why: str) -> None:
        """Nothing was handed over: the next try is a first one again, and until then its writer may take it back."""
        now = self._clock.now()
        if now - letter.created > _GIVE_UP:
            await self._note_refusal(letter, LetterRefused(temporary=True, reason=why))
            return
        await self._store.wait(letter.id, now + _RELAY_WAIT * (0.5 + self._entropy.uniform() / 2))
        _log.info("letter-waits-for-relay", why=why)

    async def _note_refusal(self, letter: PendingLetter, refusal: LetterRefused) -> None:
        now = self._clock.now()
        if not refusal.temporary or now - letter.created > _GIVE_UP:
            await self._withheld.withhold(letter.id, self._way_out.left(letter))
            _log.warning("letter-refused", attempts=letter.attempts, why=refusal.reason)
            return
        longest = min(_LONGEST_WAIT, _SHORTEST_WAIT * 2 ** min(letter.attempts - 1, 10))
        wait = longest * (0.5 + self._entropy.uniform() / 2)
        await self._store.postpone(letter.id, now + wait)
        _log.info("letter-postponed", attempts=letter.attempts, why=refusal.reason)


async def _each(keepers: tuple[Callable[[], Awaitable[object]], ...]) -> None:
    """Let everyone look after what is theirs; that one of them fails ends no other."""
    for keep in keepers:
        try:
            await keep()
        except (SpoolUnavailableError, TimeoutError) as error:
            _log.warning("watch-failed", why=str(error) or "timed out")
