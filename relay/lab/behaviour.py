"""How a lab host behaves: what it offers, where it fails, and the local parts that choose an outcome.

Pure decisions over a bounded memory: a host's `Manners` are asked at each step and answer with a reply, or
None for "go on". Everything is deterministic; time comes from the clock that was handed in.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from relay.clock import Clock
from relay.smtp.reply import Reply, reply

MAX_SIZE: Final = 30_000_000
_MAX_REMEMBERED = 20_000
_GREY = re.compile(r"grey\+(\d{1,5})")
_DEFER = re.compile(r"defer\+([45]\d\d)x(\d{1,3})")
_SLOW = re.compile(r"slow\+(\d{1,3})")


class Tls(StrEnum):
    """What a host makes of STARTTLS."""

    GOOD = "good"
    """A certificate of the lab's authority for the host's name."""
    WRONG_NAME = "wrong-name"
    """Self-signed, for another name."""
    BROKEN = "broken"
    """Says 220 and closes instead of shaking hands."""
    NONE = "none"
    """Not offered."""


class Step(StrEnum):
    """The step of a session at which a host misbehaves."""

    BANNER = "banner"
    EHLO = "ehlo"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class Manner(Enum):
    """How it misbehaves there."""

    CLOSE_421 = "421"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Mishap:
    """One scripted failure. At DOT a RESET comes after the mail was stored: the sender cannot know."""

    step: Step
    manner: Manner


FLAKY: Final[tuple[Mishap | None, ...]] = (
    Mishap(Step.BANNER, Manner.CLOSE_421),
    Mishap(Step.BANNER, Manner.RESET),
    Mishap(Step.EHLO, Manner.RESET),
    Mishap(Step.MAIL, Manner.CLOSE_421),
    Mishap(Step.RCPT, Manner.CLOSE_421),
    Mishap(Step.RCPT, Manner.RESET),
    Mishap(Step.DATA, Manner.RESET),
    Mishap(Step.DOT, Manner.CLOSE_421),
    Mishap(Step.DOT, Manner.RESET),
    None,
)
"""One entry a connection, in turn."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a host offers and how it treats mail; `greylist` in seconds, 0 = none."""

    about: str
    esmtp: bool = True
    tls: Tls = Tls.GOOD
    greylist: int = 0
    mishaps: tuple[Mishap | None, ...] = ()
    max_size: int = MAX_SIZE


@dataclass(frozen=True, slots=True)
class Triplet:
    """What greylisting and deferring remember: who sends from where to whom."""

    client: str
    sender: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a recipient gets: a refusal or None, the seconds each later step is late, and a lost answer."""

    refusal: Reply | None = None
    late: int = 0
    drop_after_dot: bool = False


_WELCOME: Final = Treatment()
_UNKNOWN: Final = Treatment(reply(550, "5.1.1", "no mailbox here by that name"))
_FULL: Final = Treatment(reply(452, "4.2.2", "the mailbox is full"))

MAGIC: Final[tuple[tuple[str, str], ...]] = (
    ("ok", "takes the mail"),
    ("unknown", "550 5.1.1: no such mailbox; unknown+anything too"),
    ("full", "452 4.2.2: the mailbox is full"),
    ("grey+60", "greylists for 60 seconds (any number)"),
    ("defer+421x3", "answers 421 three times, then takes the mail (any 4xx or 5xx, any count)"),
    ("slow+20", "answers every step 20 seconds late (up to 600)"),
    ("drop-after-dot", "stores the mail and closes without an answer, the first time"),
    ("bounce-later+30", "takes the mail and reports after 30 seconds that it cannot be delivered (any number)"),
    ("complain", "takes the mail and sends a complaint about it"),
    ("vacation", "takes the mail and answers that its reader is away"),
)
"""The local parts that work at every host, and what they do."""


class Manners:
    """One host's memory of earlier attempts; bounded, the oldest forgotten first."""

    def __init__(self, behaviour: Behaviour, clock: Clock) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self._first_seen: OrderedDict[Triplet, float] = OrderedDict()
        self._counts: OrderedDict[Triplet, int] = OrderedDict()
        self._connections = 0

    def next_mishap(self) -> Mishap | None:
        """What befalls the connection that just came in."""
        mishaps = self._behaviour.mishaps
        if not mishaps:
            return None
        mishap = mishaps[self._connections % len(mishaps)]
        self._connections += 1
        return mishap

    def receive(self, who: Triplet) -> Treatment:
        """What the recipient of `who` gets at RCPT."""
        if self._behaviour.greylist:
            refusal = self._greylist(who, self._behaviour.greylist)
            if refusal is not None:
                return Treatment(refusal)
        local = who.recipient.rpartition("@")[0].lower().strip('"')
        match local:
            case "unknown":
                return _UNKNOWN
            case _ if local.startswith("unknown+"):  # as many addresses that do not exist as a test needs
                return _UNKNOWN
            case "full":
                return _FULL
            case "drop-after-dot":
                return Treatment(drop_after_dot=self._count(who, 1))
            case _:
                return self._numbered(local, who)

    def _numbered(self, local: str, who: Triplet) -> Treatment:
        if grey := _GREY.fullmatch(local):
            return Treatment(self._greylist(who, int(grey[1])))
        if slow := _SLOW.fullmatch(local):
            return Treatment(late=min(int(slow[1]), 600))
        if defer := _DEFER.fullmatch(local):
            code, times = int(defer[1]), int(defer[2])
            if self._count(who, times):
                return Treatment(reply(code, f"{code // 100}.3.0", "not now, as you asked"))
        return _WELCOME

    def _greylist(self, who: Triplet, seconds: int) -> Reply | None:
        now = self._clock.monotonic()
        first = self._first_seen.setdefault(who, now)
        _shrink(self._first_seen)
        if now - first >= seconds:
            return None
        left = max(1, round(seconds - (now - first)))
        return reply(451, "4.7.1", f"greylisted, come back in {left} seconds")

    def _count(self, who: Triplet, times: int) -> bool:
        """True the first `times` times, then False and from the start again: each letter meets the same."""
        seen = self._counts.pop(who, 0)
        if seen >= times:
            return False
        self._counts[who] = seen + 1
        _shrink(self._counts)
        return True


def _shrink(memory: OrderedDict[Triplet, float] | OrderedDict[Triplet, int]) -> None:
    while len(memory) > _MAX_REMEMBERED:
        memory.popitem(last=False)
