"""The contract between a customer (the web front) and the relay, in plain values.

Two forms: in process (`relay.client.local`, injected by the node) and over HTTP with a key (`relay.client.remote`),
so that the front can stand on another machine. The same tests run against both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from relay.errors import SpoolUnavailableError


class RelayAwayError(SpoolUnavailableError):
    """The relay on its other machine cannot be asked just now; what the customer keeps itself is as good as ever."""


@dataclass(frozen=True, slots=True)
class AddressCheck:
    """What is known of an address without any SMTP call-out.

    `ok` False comes with `reason`: "syntax", "no-domain" (NXDOMAIN), "null-mx", "no-host".
    `unknown` is True when DNS did not answer: the address may still be submitted.
    `suggestion` is a whole address the writer may have meant ("ann@gmial.com" → "ann@gmail.com").
    """

    address: str
    ok: bool
    reason: str = ""
    suggestion: str = ""
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one recipient. `sender` is the From address and the reverse-path; bodies use \\n or CRLF."""

    sender: str
    sender_name: str
    recipient: str
    subject: str
    text: str
    html: str
    stream: str
    idempotency_key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    unnamed: bool = False
    """Whether the relay tells nobody to whom it went, whatever becomes of it."""
    answerable: bool = False
    """Whether its recipient may answer it by mail, at an address of its own: see `RelayClient.replies`."""


@dataclass(frozen=True, slots=True)
class LetterAccepted:
    """The relay has it, durably; `id` follows it."""

    id: str


@dataclass(frozen=True, slots=True)
class LetterRefused:
    """The relay will not take it: `temporary` True means try again later."""

    temporary: bool
    reason: str


@dataclass(frozen=True, slots=True)
class LetterReply:
    """What a letter's recipient answered by mail: their own words alone, as plain text with \\n; nobody judged them.

    `message_id` is the relay's of the letter, `recipient` the address that the letter went to.
    """

    message_id: str
    recipient: str
    words: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LetterState:
    """Where a letter stands. `state` is a label of `relay.policy.state.State`; `attempts` counts tries so far."""

    state: str
    attempts: int
    changed_at: datetime
    next_due: datetime | None
    meaning: str = ""
    """What a bounce, or a try that has to be made again, means in one word: "unknown-user", "full", "mailbox" (as full,
    something about one mailbox alone), "policy", "unreachable", "other". A relay of before may say nothing of tries."""
    departs_at: datetime | None = None
    """When it is expected to leave, if the ceiling of a young source holds it back; None otherwise."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the warm-up of our sources leaves. `remaining` letters may still leave today, None without a ceiling.

    `departs_at` is when a letter submitted now is expected to leave, None at once or where no recipient was named.
    """

    remaining: int | None
    departs_at: datetime | None = None
    provider: str = ""
    """Whom the recipient's mail goes to, in one word: what ceilings count by. "" where that is not known."""
    ceiling: int = 0
    """Letters a day to that provider, as today's ceiling is; 0 without one, and from a relay that does not tell."""


class RelayClient(Protocol):
    """What the front may ask of the relay. Whatever waits for an answer raises SpoolUnavailableError when none comes.

    Each call may be made again: a second time it changes nothing more.
    """

    async def check(self, address: str) -> AddressCheck:
        """Syntax, domain, null MX and likely typing errors; no call-out."""
        ...

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        """Hand a letter over; the same idempotency key answers the same id for a week.

        A sender that the customer may not use is refused for now: an operator may allow it.
        """
        ...

    async def state(self, message_id: str) -> LetterState | None:
        """Where a letter stands, None if the relay does not know it."""
        ...

    async def admission(self, sender: str, stream: str, recipient: str = "") -> Admission:
        """What may still leave today of this sender's mail: to the recipient's provider, else to all known ones.

        A front that keeps its letters submits no more than that; whatever it submits beyond waits in the relay, and
        `state` tells the departure. A recipient whose provider cannot be found has no ceiling.
        """
        ...

    async def suppress(self, address: str, *, complaint: bool = False) -> bool:
        """The recipient wants no more of this customer's mail, not even what waits: it holds for good.

        The address itself is not kept, a keyed hash of the mailbox is. False for what is no address.
        """
        ...

    async def suppressed(self, address: str, stream: str = "") -> bool:
        """Whether mail of `stream` to this address would not be sent."""
        ...

    async def refusals(self, stream: str) -> int | None:
        """How many recipients said that they want none of this customer's mail of `stream`.

        None from a relay that does not tell.
        """
        ...

    async def erase(self, address: str) -> int:
        """Delete this address, and the content of mail that went to nobody else, from what this customer sent.

        What waits for it is cancelled; a standing refusal holds on by its hash. The number of mails concerned.
        """
        ...

    async def forget(self, message_id: str) -> bool:
        """Delete the address and the content of one mail; what waits of it is cancelled. True once nothing is left."""
        ...

    async def handed(self, key: str) -> str | None:
        """The id of the letter that was handed over under an idempotency key, for who may have died before hearing it.

        "" if there is none; None from a relay that is too old to be asked.
        """
        ...

    async def opt_out(self, token: str) -> bool:
        """Act on the one-click link of a mail, named by its token; False if it is no good one."""
        ...

    async def replies(self, taken: Sequence[str] = ()) -> Sequence[LetterReply]:
        """Replies that wait for this customer, the oldest first, a few at a time; at most one a letter, ever.

        `taken` are the messages whose replies the customer has: the relay forgets those words first. What is not
        named there comes again. From a relay that is too old for replies none come.
        """
        ...

    def preview(self, letter: Letter) -> Mapping[str, str]:
        """The header fields a recipient will see ("From", "To", "Subject"), exactly as they will be written."""
        ...


class Followed(StrEnum):
    """What became of a one-click link that somebody followed."""

    DONE = "done"
    """Or kept, to be done."""
    UNKNOWN = "unknown"
    """It is no good one."""
    TOO_MANY = "too-many"
    """Nothing was done: their network has followed too many."""
    BUSY = "busy"
    """Nothing was done: everybody together has followed too many."""


@runtime_checkable
class ModerationBell(Protocol):
    """Calls a moderator."""

    async def letters_wait(
        self, letters: int, oldest: datetime | None, in_danger: int = 0, requests_due: int = 0, filled: int = 0
    ) -> None:
        """So many letters wait for a moderator for too long, the oldest since then: somebody is told. 0: it is over.

        `in_danger`: so many threaten a life, and no authority has been told of them.
        `requests_due`: so many requests of authorities are owed an answer soon, or were before.
        `filled`: so full, in per cent, is what may wait for a person; 0: there is room.
        """
        ...
