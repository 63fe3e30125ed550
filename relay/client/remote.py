"""The relay on another machine as its front sees it: the client contract over HTTP, with a key.

Every call has an end in time and may be made again, for each says the same twice (a letter by its key). What
`relay.client.line` takes for no answer of the relay is RelayAwayError: it refuses no letter and forgets nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Final

from pydantic import ValidationError

from relay.client import wire
from relay.client.checking import CHECK_TIMEOUT, unchecked
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
from relay.client.line import Call, RefusedError, RelayLine, UnknownError, Way
from relay.client.writing import shown_fields
from relay.clock import Clock
from relay.ids import is_spool_id
from relay.log import Log
from relay.mail.address import parse_address

HAND_OVER_SECONDS: Final = 25.0
"""For a letter: the relay may be inside its commit. Less than the courier waits."""
ERASE_SECONDS: Final = 20.0
PLAIN_SECONDS: Final = 3600.0
"""Between two attempts to tell an older relay what it does not know."""

_log = Log("front")

_CHECK: Final = Call("check", "/check", seconds=CHECK_TIMEOUT + 0.3)
_SUBMIT: Final = Call("submit", "/letters", seconds=HAND_OVER_SECONDS)
_ADMISSION: Final = Call("admission", "/admission")
_SUPPRESS: Final = Call("suppress", "/refusals")
_SUPPRESSED: Final = Call("suppressed", "/refused")
_REFUSALS: Final = Call("refusals", "/refusal-count", is_new=True)
_ERASE: Final = Call("erase", "/erasures", seconds=ERASE_SECONDS)
_HANDED: Final = Call("handed", "/handed", is_new=True)
_OPT_OUT: Final = Call("opt-out", "/opt-outs", is_anybodys=True)
_REPLIES: Final = Call("replies", "/replies", is_new=True)
_BELL: Final = Call("bell", "/bell")


class RemoteRelayClient:
    """Implements `relay.client.contract.RelayClient` and `ModerationBell`; `close` belongs to the front's end."""

    def __init__(self, way: Way, key: str, clock: Clock) -> None:
        self.line = RelayLine(way, key, clock)
        """What is known of the relay's silence, and by which key it is asked."""
        self._clock = clock
        self._unknown_until: dict[str, float] = {}
        """Until when the relay is taken for one that knows no threats to life: they are letters that wait, then."""

    async def close(self) -> None:
        """Close what is open."""
        await self.line.close()

    async def check(self, address: str) -> AddressCheck:
        """See `RelayClient.check`. While the relay is away: what the address tells by itself."""
        read = unchecked(address)
        if not read.ok:
            return read
        try:
            return (await self.line.ask(_CHECK, wire.AddressTold, wire.AddressAsked(address=read.address))).value()
        except RelayAwayError:
            return read

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        """See `RelayClient.submit`."""
        try:
            handed = wire.LetterHanded.of(letter)
        except ValidationError as error:
            return LetterRefused(temporary=False, reason=str(error.errors()[0]["msg"]))
        return (await self.line.ask(_SUBMIT, wire.LetterTaken, handed)).value()

    async def state(self, message_id: str) -> LetterState | None:
        """See `RelayClient.state`."""
        if not is_spool_id(message_id):
            return None
        return (await self.line.ask(Call("state", f"/letters/{message_id}", "GET"), wire.LetterTold)).value()

    async def admission(self, sender: str, stream: str, recipient: str = "") -> Admission:
        """See `RelayClient.admission`. Raises AddressError (a ValueError)."""
        sender, recipient = str(parse_address(sender)), str(parse_address(recipient)) if recipient else ""
        asked = wire.AdmissionAsked(sender=sender, stream=stream, recipient=recipient)
        return (await self.line.ask(_ADMISSION, wire.AdmissionTold, asked)).value()

    async def suppress(self, address: str, *, complaint: bool = False) -> bool:
        """See `RelayClient.suppress`."""
        if not unchecked(address).ok:
            return False
        handed = wire.RefusalHanded(address=address, complaint=complaint)
        return (await self.line.ask(_SUPPRESS, wire.Answer, handed)).yes

    async def suppressed(self, address: str, stream: str = "") -> bool:
        """See `RelayClient.suppressed`."""
        if not unchecked(address).ok:
            return False
        return (await self.line.ask(_SUPPRESSED, wire.Answer, wire.RefusalAsked(address=address, stream=stream))).yes

    async def refusals(self, stream: str) -> int | None:
        """See `RelayClient.refusals`."""
        try:
            return (await self.line.ask(_REFUSALS, wire.RefusalsTold, wire.RefusalsAsked(stream=stream))).addresses
        except UnknownError:
            return None

    async def erase(self, address: str) -> int:
        """See `RelayClient.erase`."""
        if not unchecked(address).ok:
            return 0
        return (await self.line.ask(_ERASE, wire.Count, wire.ErasureHanded(address=address))).mails

    async def forget(self, message_id: str) -> bool:
        """See `RelayClient.forget`."""
        if not is_spool_id(message_id):
            return True
        return (await self.line.ask(Call("forget", f"/letters/{message_id}", "DELETE"), wire.Answer)).yes

    async def handed(self, key: str) -> str | None:
        """See `RelayClient.handed`."""
        try:
            return (await self.line.ask(_HANDED, wire.HandedTold, wire.HandedAsked(key=key))).id
        except UnknownError:
            return None

    async def opt_out(self, token: str) -> bool:
        """See `RelayClient.opt_out`."""
        return (await self.line.ask(_OPT_OUT, wire.Answer, wire.LinkHanded(token=token))).yes

    async def letters_wait(
        self, letters: int, oldest: datetime | None, in_danger: int = 0, requests_due: int = 0, filled: int = 0
    ) -> None:
        """See `ModerationBell.letters_wait`.

        A relay that refuses what it does not know is told the same in the words that an older one has.
        """
        if filled:
            if await self._ring(
                wire.LettersWait.of(letters, oldest, in_danger, requests_due, filled), "piles that are nearly full"
            ):
                return
            letters, oldest = max(letters, 1), oldest or self._clock.now()
        if requests_due:
            if await self._ring(
                wire.LettersWait.of(letters, oldest, in_danger, requests_due), "requests of authorities"
            ):
                return
            letters, oldest = max(letters, requests_due), oldest or self._clock.now()
        if in_danger:
            if await self._ring(wire.LettersWait.of(letters, oldest, in_danger), "threats to life"):
                return
            letters, oldest = max(letters, in_danger), oldest or self._clock.now()
        await self.line.ask(_BELL, wire.Answer, wire.LettersWait.of(letters, oldest))

    async def _ring(self, document: wire.LettersWait, news: str) -> bool:
        """Whether the relay took a document that tells of `news`; one that does not know it is asked again later."""
        if self._clock.monotonic() < self._unknown_until.get(news, -math.inf):
            return False
        try:
            await self.line.ask(_BELL, wire.Answer, document)
        except RefusedError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            self._unknown_until[news] = self._clock.monotonic() + PLAIN_SECONDS
            _log.warning("bell-is-older", remedy=f"bring the relay up to date: it knows no {news}")
            return False
        return True

    async def replies(self, taken: Sequence[str] = ()) -> Sequence[LetterReply]:
        """See `RelayClient.replies`."""
        try:
            return (await self.line.ask(_REPLIES, wire.RepliesTold, wire.RepliesAsked(taken=list(taken)))).value()
        except UnknownError:
            return ()

    def preview(self, letter: Letter) -> Mapping[str, str]:
        """See `RelayClient.preview`. Raises AddressError, HeaderError (both ValueError) as `submit` would refuse."""
        return shown_fields(letter)
