"""One letter's hand-over to the relay, and what is noted of it: gone, withheld, or when it is tried again.

A try that could not be noted leaves the letter due, so that another round finds it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from relay.client.contract import LetterAccepted, LetterRefused
from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.ids import Entropy
from relay.log import Log
from web.departing import Later, NotAsked, WayOut
from web.departures import next_departure, spread
from web.letters import Expected, LetterStore, PendingLetter
from web.objections import Paused
from web.withheld_table import WithheldTable

_TIMEOUT: Final = 30.0
_SHORTEST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(minutes=5)
_RELAY_WAIT: Final = timedelta(seconds=10)
"""After so long at most a letter is tried again that found no relay to ask."""
_DECISION_WAIT: Final = timedelta(minutes=10)
"""Likewise one that a person has yet to decide about, or about a report of its recipient's."""
_GIVE_UP: Final = timedelta(days=5)

_log = Log("courier")


class HandOver:
    """Tries letters that their holder has claimed."""

    def __init__(
        self, way_out: WayOut, store: LetterStore, withheld: WithheldTable, clock: Clock, entropy: Entropy
    ) -> None:
        self._way_out = way_out
        self._store = store
        self._withheld = withheld
        self._clock = clock
        self._entropy = entropy

    async def attempt(self, letter: PendingLetter) -> bool:
        """Try, and raise nothing; False if the relay could not be asked."""
        try:
            outcome = await self._submit(letter)
            match outcome:
                case LetterAccepted():
                    await self._store.note_handed_over(letter.id, outcome.id, self._way_out.left(letter))
                    _log.info("letter-handed-over", message=outcome.id, attempts=letter.attempts)
                case Paused():
                    await self._wait_for_decision(letter)
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
            async with asyncio.timeout(_TIMEOUT):
                return await self._way_out.leave(letter)
        except TimeoutError:
            return LetterRefused(temporary=True, reason="hand-over timed out")
        except SpoolUnavailableError as error:
            return LetterRefused(temporary=True, reason=str(error))
        except Exception:  # noqa: BLE001 - whatever broke in between, the letter is still owed
            _log.exception("hand-over-broke", attempts=letter.attempts)
            return LetterRefused(temporary=True, reason="hand-over broke")

    async def _wait_for_decision(self, letter: PendingLetter) -> None:
        """Nobody is asked, and its page says what that of a letter says whose provider makes it wait."""
        if self._is_given_up(letter):
            await self._withhold(letter, "nobody decided")
            return
        due = next_departure(self._soon(_DECISION_WAIT))
        await self._withheld.delay(letter.id, due, self._way_out.left(letter))
        _log.info("letter-waits-for-decision")

    async def _wait_for_relay(self, letter: PendingLetter, why: str) -> None:
        """Nothing was handed over: the next try is a first one again, and until then its writer may take it back."""
        if self._is_given_up(letter):
            await self._withhold(letter, why)
            return
        await self._store.wait(letter.id, self._soon(_RELAY_WAIT))
        _log.info("letter-waits-for-relay", why=why)

    async def _note_refusal(self, letter: PendingLetter, refusal: LetterRefused) -> None:
        if not refusal.temporary or self._is_given_up(letter):
            await self._withhold(letter, refusal.reason)
            return
        longest = min(_LONGEST_WAIT, _SHORTEST_WAIT * 2 ** min(letter.attempts - 1, 10))
        await self._store.postpone(letter.id, self._soon(longest))
        _log.info("letter-postponed", attempts=letter.attempts, why=refusal.reason)

    async def _withhold(self, letter: PendingLetter, why: str) -> None:
        await self._withheld.withhold(letter.id, self._way_out.left(letter))
        _log.warning("letter-refused", attempts=letter.attempts, why=why)

    def _is_given_up(self, letter: PendingLetter) -> bool:
        return self._clock.now() - letter.created > _GIVE_UP

    def _soon(self, longest: timedelta) -> datetime:
        """At a random moment of the second half of a wait."""
        return self._clock.now() + longest * (0.5 + self._entropy.uniform() / 2)
