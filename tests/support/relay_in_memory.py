"""A relay for tests of its customers: the whole client contract, with a world of addresses a test can set."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from relay.client.contract import (
    AddressCheck,
    Admission,
    Letter,
    LetterAccepted,
    LetterRefused,
    LetterReply,
    LetterState,
    RelayAwayError,
)
from relay.errors import SpoolUnavailableError
from relay.mail.address import AddressError, parse_address
from web.mailbox import mailbox_of

_LONG_AGO = datetime(2026, 11, 21, tzinfo=UTC)


class RelayInMemory:
    """Keeps what it took in `letters`, one entry a key; `arrivals` counts every call of `submit`."""

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}
        self.states: dict[str, LetterState] = {}
        self.arrivals = 0
        self.refused: dict[str, bool] = {}
        self.refused_streams: dict[str, str] = {}
        self.erased: list[str] = []
        self.questions: list[str] = []
        """Whose refusal was asked for."""
        self.forgotten: list[str] = []
        self.kept: set[str] = set()
        """Mails that it cannot forget yet."""
        self.followed: list[str] = []
        self.waiting_replies: list[LetterReply] = []
        self.asked_for_replies = 0
        self.stumbles_at: set[str] = set()
        """Tokens at which it fails."""
        self.room = Admission(None)
        self.refusal: LetterRefused | None = None
        self.unavailable = False
        self.is_old = False
        """Whether it does not tell what was handed over."""
        self.away = False
        """Whether it is a relay elsewhere that cannot be asked."""
        self.domains: dict[str, str] = {"gone.test": "no-domain", "null.test": "null-mx", "bare.test": "no-host"}
        self.suggestions: dict[str, str] = {}
        self.silent_domains: set[str] = set()

    async def check(self, address: str) -> AddressCheck:
        """As the contract says; `domains` tells what is wrong with a domain."""
        try:
            text = str(parse_address(address))
        except AddressError:
            return AddressCheck(address, ok=False, reason="syntax")
        domain = text.rpartition("@")[2]
        suggestion = self.suggestions.get(text, "")
        if domain in self.silent_domains:
            return AddressCheck(text, ok=True, unknown=True)
        if domain in self.domains:
            return AddressCheck(text, ok=False, reason=self.domains[domain], suggestion=suggestion)
        return AddressCheck(text, ok=True, suggestion=suggestion)

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        """As the contract says, unless `refusal` or `unavailable` is set."""
        self._be_there()
        self.arrivals += 1
        if self.unavailable:
            raise SpoolUnavailableError("set by a test")
        if self.refusal is not None:
            return self.refusal
        self.letters.setdefault(letter.idempotency_key, letter)
        message_id = f"m-{letter.idempotency_key}"
        self.states.setdefault(message_id, LetterState("waiting", 0, _LONG_AGO, None))
        return LetterAccepted(message_id)

    async def state(self, message_id: str) -> LetterState | None:
        """What a test put into `states`."""
        self._be_there()
        if self.unavailable:
            raise SpoolUnavailableError("set by a test")
        return self.states.get(message_id)

    async def admission(self, sender: str, stream: str, recipient: str = "") -> Admission:
        """What a test put into `room`."""
        self._be_there()
        return self.room

    async def suppress(self, address: str, *, complaint: bool = False) -> bool:
        """Remembered in `refused`, with whether it was a complaint."""
        self._be_there()
        self.refused[address] = complaint
        return True

    async def suppressed(self, address: str, stream: str = "") -> bool:
        """Whether `suppress` was called for it, or a test refused this stream to it in `refused_streams`."""
        self._be_there()
        self.questions.append(address)
        refused = {mailbox_of(known) for known in self.refused}
        return mailbox_of(address) in refused or self.refused_streams.get(address) == stream

    async def refusals(self, stream: str) -> int:
        """How many `suppress` was called for."""
        self._be_there()
        return len(self.refused) + list(self.refused_streams.values()).count(stream)

    async def erase(self, address: str) -> int:
        """Remembered in `erased`."""
        self._be_there()
        self.erased.append(address)
        return 1

    async def forget(self, message_id: str) -> bool:
        """Remembered in `forgotten`, whether it can be or is in `kept`."""
        self._be_there()
        self.forgotten.append(message_id)
        return message_id not in self.kept

    async def handed(self, key: str) -> str | None:
        """What came under this key; None if `is_old`."""
        self._be_there()
        if self.unavailable:
            raise SpoolUnavailableError("set by a test")
        return None if self.is_old else f"m-{key}" if key in self.letters else ""

    async def opt_out(self, token: str) -> bool:
        """Remembered in `followed`; no link is good here."""
        self._be_there()
        if token in self.stumbles_at:
            raise RelayAwayError("set by a test")
        self.followed.append(token)
        return False

    async def replies(self, taken: Sequence[str] = ()) -> Sequence[LetterReply]:
        """What a test put into `waiting_replies`, until it is named in `taken`."""
        self._be_there()
        self.asked_for_replies += 1
        self.waiting_replies = [one for one in self.waiting_replies if one.message_id not in taken]
        return self.waiting_replies[:2]

    def preview(self, letter: Letter) -> Mapping[str, str]:
        """The fields a reader sees."""
        sender, recipient = parse_address(letter.sender), parse_address(letter.recipient)
        return {"From": f"{letter.sender_name} <{sender}>", "To": str(recipient), "Subject": letter.subject}

    def _be_there(self) -> None:
        if self.away:
            raise RelayAwayError("set by a test")

    def settle(
        self, state: str, *, attempts: int = 1, next_due: datetime | None = None, changed_at: datetime = _LONG_AGO
    ) -> None:
        """Put every message into `state`."""
        for message_id in self.states:
            self.states[message_id] = LetterState(state, attempts, changed_at, next_due)


class HesitantRelay(RelayInMemory):
    """Answers the question for a refusal when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def suppressed(self, address: str, stream: str = "") -> bool:
        found = await super().suppressed(address, stream)
        await self.may_answer.wait()
        return found
