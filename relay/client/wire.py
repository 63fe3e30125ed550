"""What a front on another machine and its relay say to each other, as documents: one place for both ends.

Either may be the newer one. What says who gets which letter (letters, refusals, erasures, links) is taken whole or not
at all: an unknown field in it is refused. In everything else, and in all answers, an unknown field is left out and
named once in the log; what has its usual value is not written at all. Refusals of a letter are answers and no HTTP
status: no proxy's 4xx may end a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from relay.client.contract import (
    AddressCheck,
    Admission,
    Letter,
    LetterAccepted,
    LetterRefused,
    LetterReply,
    LetterState,
)

PATH: Final = "/api/v1/front"
"""Everything a front asks stands below it."""
MAX_BODY: Final = 1_000_000
"""Octets of a request: a letter has some 15 kB, the weekly some 100."""
MAX_ANSWER: Final = 64 * 1024
MAX_HEADERS: Final = 20
BUSY_SECONDS: Final = 1
"""When to come again if too much is asked at once."""


AddressText = Annotated[str, Field(max_length=1000, description="A mail address, however it was typed.")]
StreamText = Annotated[str, Field(max_length=64, pattern="^[A-Za-z0-9._-]*$", description="The kind of mail it is.")]
KeyText = Annotated[
    str, Field(min_length=1, max_length=255, pattern="^[!-~]+$", description="The same key is the same letter.")
]


class _Asked(BaseModel):
    """What may decide who gets what."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Open(BaseModel):
    """What decides nothing of that: it may say more than is known here."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Told(_Open):
    """An answer."""


def written(asked: BaseModel) -> bytes:
    """The document of a question: what has its usual value is left out, so that an older far side knows the rest."""
    return asked.model_dump_json(exclude_defaults=True).encode()


def unknown_in(document: BaseModel) -> tuple[str, ...]:
    """The names of what a far side said and nobody here knows."""
    inner = (value for _, value in document if isinstance(value, BaseModel))
    return (*(document.model_extra or ()), *(name for one in inner for name in unknown_in(one)))


class AddressAsked(_Open):
    """An address somebody typed."""

    address: AddressText


class ErasureHanded(_Asked):
    """An address that is to be deleted."""

    address: AddressText


class HandedAsked(_Asked):
    """Under which key a letter may have been handed over."""

    key: KeyText


class HandedTold(_Told):
    """Which letter was."""

    id: str = Field(description="The message's id, empty if there is none.")


class AddressTold(_Told):
    """What is known of it without any SMTP call-out."""

    address: str = Field(description="As the relay writes it.")
    ok: bool
    reason: str = Field("", description='Why not: "syntax", "no-domain", "null-mx" or "no-host".')
    suggestion: str = Field("", description="An address its writer may have meant.")
    unknown: bool = Field(False, description="The DNS did not answer; mail may be handed in all the same.")

    def value(self) -> AddressCheck:
        """As the contract has it."""
        return AddressCheck(self.address, self.ok, self.reason, self.suggestion, self.unknown)


class LetterHanded(_Asked):
    """One mail to one recipient."""

    key: KeyText
    sender: AddressText
    sender_name: str = Field(max_length=1000)
    recipient: AddressText
    subject: str = Field(max_length=2000)
    text: str
    html: str
    stream: StreamText
    headers: dict[str, str] = Field(default={}, max_length=MAX_HEADERS)
    unnamed: bool = Field(False, description="Whether nobody is told to whom it went, whatever becomes of it.")
    answerable: bool = Field(False, description="Whether its recipient may answer it at an address of its own.")

    @classmethod
    def of(cls, letter: Letter) -> LetterHanded:
        """The document of a letter."""
        return cls(
            key=letter.idempotency_key,
            sender=letter.sender,
            sender_name=letter.sender_name,
            recipient=letter.recipient,
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            stream=letter.stream,
            headers=dict(letter.headers),
            unnamed=letter.unnamed,
            answerable=letter.answerable,
        )

    def value(self) -> Letter:
        """As the contract has it."""
        return Letter(
            sender=self.sender,
            sender_name=self.sender_name,
            recipient=self.recipient,
            subject=self.subject,
            text=self.text,
            html=self.html,
            stream=self.stream,
            idempotency_key=self.key,
            headers=self.headers,
            unnamed=self.unnamed,
            answerable=self.answerable,
        )


class LetterTaken(_Told):
    """Whether the relay has the letter: `id` follows it, else `refused` says why not."""

    id: str | None = Field(None, description="The letter is on disk; the same for a key that was used before.")
    refused: str | None = None
    temporary: bool = Field(False, description="A refusal that may be over later.")

    @classmethod
    def of(cls, answer: LetterAccepted | LetterRefused) -> LetterTaken:
        """The document of an answer."""
        if isinstance(answer, LetterAccepted):
            return cls(id=answer.id)
        return cls(refused=answer.reason, temporary=answer.temporary)

    def value(self) -> LetterAccepted | LetterRefused:
        """As the contract has it; what says neither is no refusal for good."""
        if self.id:
            return LetterAccepted(self.id)
        return LetterRefused(temporary=self.temporary or self.refused is None, reason=self.refused or "no word of it")


class LetterLife(_Told):
    """Where a letter stands."""

    state: str
    attempts: int
    changed_at: AwareDatetime
    next_due: AwareDatetime | None
    meaning: str = Field("", description="What a bounce, or a try that is made again, means, in one word.")
    departs_at: AwareDatetime | None = Field(None, description="When it is expected to leave, if a ceiling holds it.")


class LetterTold(_Told):
    """Where a letter stands, null if the relay does not know it."""

    letter: LetterLife | None

    @classmethod
    def of(cls, state: LetterState | None) -> LetterTold:
        """The document of a state."""
        if state is None:
            return cls(letter=None)
        return cls(
            letter=LetterLife(
                state=state.state,
                attempts=state.attempts,
                changed_at=state.changed_at,
                next_due=state.next_due,
                meaning=state.meaning,
                departs_at=state.departs_at,
            )
        )

    def value(self) -> LetterState | None:
        """As the contract has it."""
        one = self.letter
        if one is None:
            return None
        return LetterState(one.state, one.attempts, one.changed_at, one.next_due, one.meaning, one.departs_at)


class AdmissionAsked(_Open):
    """Whose mail, and to whom; no recipient: to all known providers."""

    sender: AddressText
    stream: StreamText
    recipient: AddressText = ""


class AdmissionTold(_Told):
    """What may still leave today, null without a ceiling."""

    remaining: int | None
    departs_at: AwareDatetime | None = Field(None, description="When a letter handed in now is expected to leave.")
    provider: str = Field("", description="Whose ceiling it is.")
    ceiling: int = Field(0, description="Letters a day, as today's ceiling is; 0 without one.")

    def value(self) -> Admission:
        """As the contract has it."""
        return Admission(self.remaining, self.departs_at, self.provider, self.ceiling)


class RefusalHanded(_Asked):
    """A recipient who wants no more of this front's mail."""

    address: AddressText
    complaint: bool = False


class RefusalAsked(_Asked):
    """Whether somebody wants none."""

    address: AddressText
    stream: StreamText = ""


class LinkHanded(_Asked):
    """The token of a one-click link, as somebody followed it."""

    token: str = Field(max_length=100)


class Answer(_Told):
    """Yes or no."""

    yes: bool


class Count(_Told):
    """How many mails it concerned."""

    mails: int


class RefusalsAsked(_Open):
    """How many want none."""

    stream: StreamText


class RefusalsTold(_Told):
    """How many recipients want none."""

    addresses: int


class RepliesAsked(_Asked):
    """The next replies, and which the front has."""

    taken: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=100, description="Letters whose replies the front has: their words are deleted first."
    )


class ReplyTold(_Told):
    """What a letter's recipient answered by mail, in their own words."""

    id: str = Field(description="The letter's.")
    recipient: str = Field(description="The address that the letter went to.")
    words: str


class RepliesTold(_Told):
    """Replies that wait, the oldest first."""

    replies: list[ReplyTold]

    @classmethod
    def of(cls, replies: Sequence[LetterReply]) -> RepliesTold:
        """The document of replies."""
        return cls(replies=[ReplyTold(id=one.message_id, recipient=one.recipient, words=one.words) for one in replies])

    def value(self) -> tuple[LetterReply, ...]:
        """As the contract has them."""
        return tuple(LetterReply(one.id, one.recipient, one.words) for one in self.replies)


class LettersWait(_Open):
    """Letters that wait for a moderator for too long; 0: it is over."""

    letters: int = Field(ge=0, le=10_000_000)
    oldest: AwareDatetime | None = None
    in_danger: int = Field(0, ge=0, le=10_000_000)
    """Letters that threaten a life, and of which no authority has been told."""
    requests_due: int = Field(0, ge=0, le=10_000_000)
    """Requests of authorities that are owed an answer soon, or were before."""

    filled: int = Field(0, ge=0, le=1_000_000)
    """How full is what may wait for a person, in per cent; 0: there is room."""

    @classmethod
    def of(
        cls, letters: int, oldest: datetime | None, in_danger: int = 0, requests_due: int = 0, filled: int = 0
    ) -> LettersWait:
        """The document of a call."""
        return cls(letters=letters, oldest=oldest, in_danger=in_danger, requests_due=requests_due, filled=filled)
