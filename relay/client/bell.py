"""Calls a moderator by an alarm. Each front has alarms of its own, so that none of them ends another's.

Stands between what counts letters in a front's tables and the node's alarms, which reach a person.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from relay.client.contract import ModerationBell
from relay.engine.alarms import Alarms
from relay.policy.alarms import AlarmKind

OWN: Final = "letters"
"""The subject of the alarms about letters of a node's own front."""
KINDS: Final = (AlarmKind.MODERATION, AlarmKind.THREAT_TO_LIFE, AlarmKind.LEGAL_REQUEST, AlarmKind.PILE)
"""What a bell starts and ends."""


def subject_of(front: str) -> str:
    """The subject of the alarms about letters of a front on another machine, by the name of its key."""
    return f"{OWN} at {front}"


class AlarmBell:
    """Implements `ModerationBell` by this node's alarms, about the letters of one front."""

    def __init__(self, alarms: Alarms, front: str = "") -> None:
        """`front` names one on another machine; "" is this node's own."""
        self._alarms = alarms
        self._subject = subject_of(front) if front else OWN

    async def letters_wait(
        self, letters: int, oldest: datetime | None, in_danger: int = 0, requests_due: int = 0, filled: int = 0
    ) -> None:
        """See `ModerationBell.letters_wait`."""
        if letters and oldest is not None:
            waiting = _told(letters, "letter waits", "letters wait")
            evidence = f"{waiting} for a decision, the oldest since {oldest:%Y-%m-%d %H:%M} UTC"
            await self._alarms.start(AlarmKind.MODERATION, self._subject, evidence)
        else:
            await self._alarms.end(AlarmKind.MODERATION, self._subject)
        if in_danger:
            threatening = _told(in_danger, "letter that threatens", "letters that threaten")
            evidence = f"{threatening} a life; no authority has been told"
            await self._alarms.start(AlarmKind.THREAT_TO_LIFE, self._subject, evidence)
        else:
            await self._alarms.end(AlarmKind.THREAT_TO_LIFE, self._subject)
        if requests_due:
            owed = _told(requests_due, "request of an authority is", "requests of authorities are")
            evidence = f"{owed} due within two days, or overdue"
            await self._alarms.start(AlarmKind.LEGAL_REQUEST, self._subject, evidence)
        else:
            await self._alarms.end(AlarmKind.LEGAL_REQUEST, self._subject)
        if filled:
            evidence = f"{filled} % of the letters or notices that may wait for a person do; at 100 % no more are taken"
            await self._alarms.start(AlarmKind.PILE, self._subject, evidence)
        else:
            await self._alarms.end(AlarmKind.PILE, self._subject)


class LoneBell:
    """Implements `ModerationBell` for a front alone: by its own alarms, and by its relay's if it can call nobody."""

    def __init__(self, own: ModerationBell, relay: ModerationBell, *, calls_somebody: bool) -> None:
        self._own = own
        self._relay = relay
        self._calls_somebody = calls_somebody

    async def letters_wait(
        self, letters: int, oldest: datetime | None, in_danger: int = 0, requests_due: int = 0, filled: int = 0
    ) -> None:
        """See `ModerationBell.letters_wait`. Raises SpoolUnavailableError if the relay cannot be asked.

        The relay is told in any case that nothing waits for it: what it was told before may still stand there.
        """
        await self._own.letters_wait(letters, oldest, in_danger, requests_due, filled)
        if self._calls_somebody:
            await self._relay.letters_wait(0, None)
        else:
            await self._relay.letters_wait(letters, oldest, in_danger, requests_due, filled)


def _told(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
