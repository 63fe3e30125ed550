"""Letters as the front keeps them: the values, and the contract of the table they stand in.

Promise: `add` returns after the commit; from then on a letter is either waiting here (for its departure, for a
person's decision, for the relay), or known to the relay under `message_id`, or ended. Recipient and text leave the
table in the transaction that notes either. The status link's secret is never stored, only its hash; no address,
no agent and no exact time of a writer is (S53).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from relay.client.contract import Letter
from web.network import Network
from web.row import Spot
from web.sealing import Sealed

STREAM: Final = "letters"

DOORBELLS: Final = "doorbells"
"""The stream of mails that only ask: suppressed, braked and counted apart from letters."""

HOLD_TIME: Final = timedelta(hours=48)
"""How long a letter waits for a person; then it goes back to its writer and never departs."""

WORDS_KEPT: Final = timedelta(days=7)
"""How long the status page gives back the words of a letter that nobody decided about."""


WAITS: Final = timedelta(days=14)
"""How long a letter waits to be asked for, after a doorbell."""


class HeldFor(StrEnum):
    """Why a letter waits for a person; the words are in the catalogue under `held.<value>`."""

    RULES = "rules"
    APPEAL = "appeal"
    REPORT = "report"
    """A letter of an older program, whose recipient has an open report."""
    PILE_ON = "pile-on"
    """Many write to its recipient."""
    SCHOOL = "school"
    """It is for an address at a school."""
    COPIES = "copies"
    """The same words have gone to several people."""

    @property
    def is_told(self) -> bool:
        """Whether a writer may know: not what follows from letters of others, or from what their recipient did."""
        return self not in (HeldFor.REPORT, HeldFor.PILE_ON)


class Ending(StrEnum):
    """How a letter ended without the relay; the words are in the catalogue under `stage.<value>`."""

    CANCELLED = "cancelled"
    RETURNED = "returned"
    REFUSED = "refused"
    UNDELIVERABLE = "undeliverable"


@dataclass(frozen=True, slots=True)
class Hold:
    """Until when a person may decide, and why they are asked."""

    until: datetime
    why: HeldFor
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewLetter:
    """A letter as it is sent: its secret's hash and the finished mail, whose idempotency key is the id."""

    id: str
    secret_hash: bytes
    language: str
    signature: str
    mail: Letter
    message: str = ""
    """The writer's own words: what a moderator reads, and what goes back."""
    sealed: Sealed | None = None
    """Who sent it, for nobody here to read."""
    rings: bool = False
    """Whether `mail` only asks, and the letter waits to be asked for, signed `sender_name` and under `subject`."""
    sender_name: str = ""
    subject: str = ""
    wall_after: timedelta | None = None
    """How long after it was sent it may be looked at for the wall; None: its writer does not offer it."""
    pair: bytes | None = None
    """Who wrote to whom, as a hash whose key is in memory alone."""
    network: Network = Network.DIRECT
    """In whose share of a day it leaves."""
    over: bool = False
    """Whether it is one too many for its recipient: it is kept as one that they refuse, and never leaves."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose warm-up a letter needs room of ("" for nobody's), and its spot in the row if there is none just now."""

    place: str
    spot: Spot | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """When a letter may leave: at `due`, but not while there is a `hold`.

    Under one of which its writer is told nothing, it looks from `due` on as if it had left.
    """

    due: datetime
    hold: Hold | None = None
    claimed: bool = False
    """Whether somebody is handing it over right now, so that it cannot be called back."""
    wished: datetime | None = None
    """When it would leave if no ceiling held it back; None: at `due`."""
    expected: Expected | None = None
    """What is known of its place in the row."""


@dataclass(frozen=True, slots=True)
class Left:
    """That a letter left, or looks to its writer as if it had, and for which place (`MailboxHasher.place_of`)."""

    at: datetime
    place: bytes


@dataclass(frozen=True, slots=True)
class LetterRecord:
    """What is kept of a letter. `due` is set while the relay does not have it and no person is asked."""

    id: str
    language: str
    signature: str
    created: datetime
    message_id: str | None
    refused: bool
    due: datetime | None
    attempts: int = 0
    expected: datetime | None = None
    """By when it leaves that a ceiling holds back, as was last told."""
    hold: Hold | None = None
    ending: Ending | None = None
    ended: datetime | None = None
    rules: tuple[str, ...] = ()
    reason: str = ""
    """What the person who refused it told the writer."""
    words: str = ""
    """The writer's words, of a letter that goes back."""
    left: datetime | None = None
    """When it left, in its writer's eyes."""
    beside: str | None = None
    """The relay's id of another letter, about which the relay is asked while it does not have this one."""
    is_withheld: bool = False
    """Whether it will not arrive, and nothing of that is told yet."""
    off_wall: bool = False
    """Whether its recipient wants it published nowhere, which no writer is told."""

    def may_be_cancelled(self, now: datetime) -> bool:
        """Whether nobody has begun to hand it over."""
        if self.left is not None:
            return False
        waits = self.due is not None and self.attempts == 0 and self.due > now
        is_held = self.hold is not None and self.hold.why.is_told
        return self.message_id is None and self.ending is None and (waits or is_held)


@dataclass(frozen=True, slots=True)
class PendingLetter:
    """A letter to hand over now. `attempts` counts the tries, this one included; `created` is rounded."""

    mail: Letter
    attempts: int
    created: datetime
    network: Network
    wished: datetime
    """When it would have left without a ceiling: who comes first in the row."""
    has_place: bool = False
    """Whether a try before this one has found its place among those of the day."""
    erased: bool = False
    """Whether its recipient was erased or wanted no letters: it has no words, and of the address @ and the domain."""
    held: bool = False
    """Whether a person has yet to look at it, of which its writer is told nothing."""

    @property
    def id(self) -> str:
        """The letter's id, which is its idempotency key at the relay."""
        return self.mail.idempotency_key


def hash_secret(secret: str) -> bytes:
    """What is stored of a status link's secret; 160 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


class LetterStore(Protocol):
    """Keeps letters. Every call may raise SpoolUnavailableError."""

    async def prepare(self) -> None:
        """Make or update the tables."""
        ...

    async def add(self, letter: NewLetter, now: datetime, departure: Departure) -> bool:
        """Keep `letter` until its departure; False if its id is known already."""
        ...

    async def knows(self, letter_id: str) -> bool:
        """Whether a letter of this id was sent."""
        ...

    async def find(self, secret_hash: bytes) -> LetterRecord | None:
        """The letter of a status link."""
        ...

    async def find_by_id(self, letter_id: str) -> LetterRecord | None:
        """The letter of a recipient's link."""
        ...

    async def disown(self, letter_id: str, nobodys: bytes) -> None:
        """The writer of a letter that ended wants nothing of it: words given back, for the wall and of a reply go.

        Its link leads nowhere, since what is kept of its secret becomes `nobodys`, drawn by lot. The line stays: the
        recipient may still report the letter, and the relay still has to be told to forget them.
        """
        ...

    async def keep_off_wall(self, letter_id: str) -> None:
        """Its recipient wants it published nowhere."""
        ...

    async def erase_recipient(self, address: str) -> int:
        """Forget the address, and all that no person has to read, of every letter that waits for a mailbox; how many.

        They go on as they would have, which their pages tell, but never leave (`web.emptying`).
        """
        ...

    async def take_due(self, now: datetime, claim: timedelta, limit: int) -> list[PendingLetter]:
        """Letters to hand over now, those due first by id; nobody else gets them before `claim` is over."""
        ...

    async def postpone(self, letter_id: str, due: datetime) -> None:
        """The relay could not take the letter: try again at `due`."""
        ...

    async def wait(self, letter_id: str, due: datetime, expected: Expected | None = None) -> None:
        """The letter may not leave before `due`, and nobody has begun to hand it over; `expected` at a ceiling.

        One that rings waits to be asked for as long after that as any other.
        """
        ...

    async def note_handed_over(self, letter_id: str, message_id: str, left: Left) -> None:
        """The relay has the letter under `message_id`: forget recipient and text. Again is harmless."""
        ...

    async def cancel(self, letter_id: str, now: datetime) -> bool:
        """The writer takes it back; False if somebody has begun to hand it over, or it has ended."""
        ...

    async def end_holds(self, now: datetime) -> int:
        """End every hold by which a person should have decided by now; how many.

        The letter goes back, or fails if its writer was told of none.
        """
        ...

    async def forget(self, now: datetime, before: datetime, limit: int) -> int:
        """Delete up to `limit` letters older than `before` that are nobody's duty any more; how many it were.

        Those that the relay knows are left to `web.forgetting`.

        Words that were given back go after `WORDS_KEPT`.
        """
        ...
