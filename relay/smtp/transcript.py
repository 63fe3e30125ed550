"""The transcript of an attempt: what was said and when, never content and never secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Exchange(NamedTuple):
    """One line of a transcript: milliseconds since the attempt began, who spoke, and what."""

    millis: int
    speaker: str
    """ "we", "they" or "net" (connected, TLS established, connection lost)."""
    text: str


@dataclass(slots=True)
class Transcript:
    """Collects exchanges; `started` is the monotonic time of the attempt's begin, in seconds."""

    started: float
    exchanges: list[Exchange]

    MAX_EXCHANGES = 200

    def add(self, now: float, speaker: str, text: str) -> None:
        """Append one exchange at monotonic time `now`; past the cap, further ones are dropped."""
        if len(self.exchanges) < self.MAX_EXCHANGES:
            self.exchanges.append(Exchange(int((now - self.started) * 1000), speaker, text[:500]))
