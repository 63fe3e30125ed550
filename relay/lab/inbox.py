"""The lab's inbox: what arrived, newest last, bounded in number and octets; the oldest goes first."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from relay.clock import Clock, to_millis
from relay.ids import Entropy, new_spool_id
from relay.lab.mailbox import Arrival, Posting
from relay.lab.reading import Mailbox

MAX_MAILS: Final = 2000
MAX_OCTETS: Final = 200_000_000
_MAX_TERMS = 20
_TERM = re.compile(r'(?:(subject|from|to|cc|bcc|addressed|message-id|is|has):)?("[^"]*"|\S+)', re.IGNORECASE)


class Inbox:
    """Keeps arrivals in memory, by id; `told` are called with each new one."""

    def __init__(
        self, clock: Clock, entropy: Entropy, *, max_mails: int = MAX_MAILS, max_octets: int = MAX_OCTETS
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._max_mails = max_mails
        self._max_octets = max_octets
        self._held: OrderedDict[str, Arrival] = OrderedDict()
        self._octets = 0
        self._dropped = 0
        self._told: list[Callable[[Arrival], None]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def octets(self) -> int:
        """Octets held, with envelopes and transcripts."""
        return self._octets

    @property
    def dropped(self) -> int:
        """How many mails made room for later ones."""
        return self._dropped

    @property
    def unread(self) -> int:
        """How many were never opened."""
        return sum(not arrival.read for arrival in self._held.values())

    def tell(self, listener: Callable[[Arrival], None]) -> None:
        """Call `listener` with each arrival from now on; it must not block or raise."""
        self._told.append(listener)

    def add(self, posting: Posting) -> str:
        """Keep a posting and return its id; makes room first."""
        now = self._clock.now()
        name = str(new_spool_id(to_millis(now), self._entropy))
        arrival = Arrival(name, now, posting)
        size = posting.weight
        while self._held and (len(self._held) >= self._max_mails or self._octets + size > self._max_octets):
            self._forget(next(iter(self._held)))
            self._dropped += 1
        self._held[name] = arrival
        self._octets += size
        for listener in self._told:
            listener(arrival)
        return name

    def get(self, name: str) -> Arrival | None:
        """The arrival of that id, or the newest for "latest"."""
        if name == "latest":
            return next(reversed(self._held.values()), None)
        return self._held.get(name)

    def newest_first(self) -> Iterator[Arrival]:
        """All arrivals."""
        return reversed(self._held.values())

    def search(self, query: str) -> list[Arrival]:
        """The arrivals that match every term, newest first.

        Terms are words, "quoted phrases", and `subject:`, `from:`, `to:`, `cc:`, `bcc:`, `addressed:`,
        `message-id:`, `is:read`, `is:unread`, `has:attachment`. Case does not matter.
        """
        terms = [(key.lower(), value.strip('"').lower()) for key, value in _TERM.findall(query[:1000])][:_MAX_TERMS]
        return [a for a in self.newest_first() if all(_matches(a, key, value) for key, value in terms)]

    def delete(self, names: Iterable[str]) -> None:
        """Forget these; unknown ids are no error."""
        for name in names:
            if name in self._held:
                self._forget(name)

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._octets = 0

    def _forget(self, name: str) -> None:
        self._octets -= self._held.pop(name).posting.weight


def _matches(arrival: Arrival, key: str, value: str) -> bool:
    summary = arrival.summary
    match key:
        case "subject":
            return value in summary.subject.lower()
        case "from":
            return value in str(summary.sender).lower() or value in arrival.posting.reverse_path.lower()
        case "to":
            return _among(value, (*summary.to, *summary.bcc))
        case "cc":
            return _among(value, summary.cc)
        case "bcc":
            return _among(value, summary.bcc)
        case "addressed":
            return _among(value, (summary.sender, *summary.to, *summary.cc, *summary.bcc, *summary.reply_to))
        case "message-id":
            return value.strip("<>") in summary.message_id.lower()
        case "is":
            return value == ("read" if arrival.read else "unread")
        case "has":
            return value.startswith("attachment") and summary.attachments > 0
        case _:
            return value in summary.haystack


def _among(value: str, boxes: Iterable[Mailbox]) -> bool:
    return any(value in str(box).lower() for box in boxes)
