"""The relay on another machine as its front sees it: the client contract over HTTP, with a key.

Every call has an end in time and may be made again, for each says the same twice (a letter by its key). What is no
answer of the relay in the form of the contract (no connection, a status, a page of some proxy) is RelayAwayError: it
refuses no letter and forgets nothing. No redirect is followed, no proxy of the environment is used, an answer is read
up to 64 KiB. The key and addresses stand in no URL and in no log.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, Literal, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from relay import metrics
from relay.client import wire
from relay.client.away import Away
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
from relay.client.unknown_fields import UnknownFields
from relay.client.writing import shown_fields
from relay.clock import Clock
from relay.ids import Entropy, is_spool_id
from relay.log import Log
from relay.mail.address import parse_address

CONNECT_SECONDS: Final = 2.0
"""Until a connection stands, TLS included."""
ASK_SECONDS: Final = 4.5
"""For a question whose answer somebody waits for; less than pages wait."""
HAND_OVER_SECONDS: Final = 25.0
"""For a letter: the relay may be inside its commit. Less than the courier waits."""
ERASE_SECONDS: Final = 20.0
CONNECTIONS: Final = 32
CALLS: Final = 128
"""Calls of a worker under way or in line; more fail at once."""
LINKS: Final = 16
"""One-click links among them: anybody may post one."""
PLAIN_SECONDS: Final = 3600.0
"""Between two attempts to tell an older relay what it does not know."""

_log = Log("front")

_Told = TypeVar("_Told", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Way:
    """How to the relay: scheme and host, and what its certificate is verified with."""

    url: str
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    """One question: where, for how long, and how metrics call it."""

    name: str
    path: str
    method: Literal["GET", "POST", "DELETE"] = "POST"
    seconds: float = ASK_SECONDS
    is_new: bool = False
    """Whether a relay may be too old to know it: that is no sign that it is away, nor that something is wrong."""


_CHECK: Final = _Call("check", "/check", seconds=CHECK_TIMEOUT + 0.3)
_SUBMIT: Final = _Call("submit", "/letters", seconds=HAND_OVER_SECONDS)
_ADMISSION: Final = _Call("admission", "/admission")
_SUPPRESS: Final = _Call("suppress", "/refusals")
_SUPPRESSED: Final = _Call("suppressed", "/refused")
_REFUSALS: Final = _Call("refusals", "/refusal-count", is_new=True)
_ERASE: Final = _Call("erase", "/erasures", seconds=ERASE_SECONDS)
_OPT_OUT: Final = _Call("opt-out", "/opt-outs")
_REPLIES: Final = _Call("replies", "/replies", is_new=True)
_BELL: Final = _Call("bell", "/bell")


class _RefusedError(RelayAwayError):
    """The relay, or what stands in its place, answered by a status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the relay answers HTTP status {status}")
        self.status = status


class _UnknownError(Exception):
    """The relay is too old for a question."""


class RemoteRelayClient:
    """Implements `relay.client.contract.RelayClient` and `ModerationBell`; `close` belongs to the front's end."""

    def __init__(self, way: Way, key: str, clock: Clock, entropy: Entropy) -> None:
        self._way = way
        self._key = key
        self._entropy = entropy
        self._away = Away(clock)
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0
        self._links = 0
        self._clock = clock
        self._refused_with: int | None = None
        self._failing: tuple[float, str] | None = None
        self._unknown = UnknownFields(_log, "the relay is newer than this front")
        self._unknown_until: dict[str, float] = {}
        """Until when the relay is taken for one that knows no threats to life: they are letters that wait, then."""

    @property
    def is_away(self) -> bool:
        """Whether the last call got no answer."""
        return self._away.is_away

    def silence(self) -> tuple[float, str]:
        """For how many seconds no question was answered, and why the last one was not; 0 if it was."""
        if self._failing is None:
            return 0.0, ""
        return self._clock.monotonic() - self._failing[0], self._failing[1]

    @property
    def remedy(self) -> str:
        """What mends the last refusal, after a colon; "" if there was none."""
        return "" if self._refused_with is None else f": {_REMEDIES.get(self._refused_with, _LOOK)}"

    def use_key(self, key: str) -> None:
        """Prove ourselves by another key from now on."""
        self._key = key

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def check(self, address: str) -> AddressCheck:
        """See `RelayClient.check`. While the relay is away: what the address tells by itself."""
        read = unchecked(address)
        if not read.ok:
            return read
        try:
            return (await self._ask(_CHECK, wire.AddressTold, wire.AddressAsked(address=read.address))).value()
        except RelayAwayError:
            return read

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        """See `RelayClient.submit`."""
        try:
            handed = wire.LetterHanded.of(letter)
        except ValidationError as error:
            return LetterRefused(temporary=False, reason=str(error.errors()[0]["msg"]))
        return (await self._ask(_SUBMIT, wire.LetterTaken, handed)).value()

    async def state(self, message_id: str) -> LetterState | None:
        """See `RelayClient.state`."""
        if not is_spool_id(message_id):
            return None
        return (await self._ask(_Call("state", f"/letters/{message_id}", "GET"), wire.LetterTold)).value()

    async def admission(self, sender: str, stream: str, recipient: str = "") -> Admission:
        """See `RelayClient.admission`. Raises AddressError (a ValueError)."""
        sender, recipient = str(parse_address(sender)), str(parse_address(recipient)) if recipient else ""
        asked = wire.AdmissionAsked(sender=sender, stream=stream, recipient=recipient)
        return (await self._ask(_ADMISSION, wire.AdmissionTold, asked)).value()

    async def suppress(self, address: str, *, complaint: bool = False) -> bool:
        """See `RelayClient.suppress`."""
        if not unchecked(address).ok:
            return False
        return (await self._ask(_SUPPRESS, wire.Answer, wire.RefusalHanded(address=address, complaint=complaint))).yes

    async def suppressed(self, address: str, stream: str = "") -> bool:
        """See `RelayClient.suppressed`."""
        if not unchecked(address).ok:
            return False
        return (await self._ask(_SUPPRESSED, wire.Answer, wire.RefusalAsked(address=address, stream=stream))).yes

    async def refusals(self, stream: str) -> int | None:
        """See `RelayClient.refusals`."""
        try:
            return (await self._ask(_REFUSALS, wire.RefusalsTold, wire.RefusalsAsked(stream=stream))).addresses
        except _UnknownError:
            return None

    async def erase(self, address: str) -> int:
        """See `RelayClient.erase`."""
        if not unchecked(address).ok:
            return 0
        return (await self._ask(_ERASE, wire.Count, wire.ErasureHanded(address=address))).mails

    async def forget(self, message_id: str) -> bool:
        """See `RelayClient.forget`."""
        if not is_spool_id(message_id):
            return True
        return (await self._ask(_Call("forget", f"/letters/{message_id}", "DELETE"), wire.Answer)).yes

    async def opt_out(self, token: str) -> bool:
        """See `RelayClient.opt_out`."""
        return (await self._ask(_OPT_OUT, wire.Answer, wire.LinkHanded(token=token))).yes

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
        await self._ask(_BELL, wire.Answer, wire.LettersWait.of(letters, oldest))

    async def _ring(self, document: wire.LettersWait, news: str) -> bool:
        """Whether the relay took a document that tells of `news`; one that does not know it is asked again later."""
        if self._clock.monotonic() < self._unknown_until.get(news, -math.inf):
            return False
        try:
            await self._ask(_BELL, wire.Answer, document)
        except _RefusedError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            self._unknown_until[news] = self._clock.monotonic() + PLAIN_SECONDS
            _log.warning("bell-is-older", remedy=f"bring the relay up to date: it knows no {news}")
            return False
        return True

    async def replies(self, taken: Sequence[str] = ()) -> Sequence[LetterReply]:
        """See `RelayClient.replies`."""
        try:
            return (await self._ask(_REPLIES, wire.RepliesTold, wire.RepliesAsked(taken=list(taken)))).value()
        except _UnknownError:
            return ()

    def preview(self, letter: Letter) -> Mapping[str, str]:
        """See `RelayClient.preview`. Raises AddressError, HeaderError (both ValueError) as `submit` would refuse."""
        return shown_fields(letter, self._entropy)

    async def _ask(self, call: _Call, told: type[_Told], asked: BaseModel | None = None) -> _Told:
        if self._is_full(call) or not self._away.may_try():
            metrics.relay_calls.labels(call.name, "not-made").inc()
            raise RelayAwayError("the relay does not answer")
        self._under_way += 1
        self._links += call is _OPT_OUT
        try:
            answer = told.model_validate_json(await self._talk(call, asked))
        except RelayAwayError as error:
            self._failed(call, str(error))
            raise
        except ValidationError:
            why = "the answer is none of a relay's"
            self._failed(call, why)
            raise RelayAwayError(why) from None
        finally:
            self._under_way -= 1
            self._links -= call is _OPT_OUT
        metrics.relay_calls.labels(call.name, "answered").inc()
        self._unknown.note(call.path if call.method == "POST" else call.name, answer)
        self._failing = None
        return answer

    def _is_full(self, call: _Call) -> bool:
        """No page counts who posts one-click links, so these have a small part of the calls: letters need the rest."""
        return self._under_way >= CALLS or (call is _OPT_OUT and self._links >= LINKS)

    def _failed(self, call: _Call, why: str) -> None:
        metrics.relay_calls.labels(call.name, "failed").inc()
        self._failing = (self._failing[0] if self._failing else self._clock.monotonic(), why)

    async def _talk(self, call: _Call, asked: BaseModel | None) -> bytes:
        """The body of a good answer. Raises RelayAwayError."""
        body = None if asked is None else wire.written(asked)
        try:
            async with asyncio.timeout(call.seconds):
                try:
                    status, answer = await self._request(call, body)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if isinstance(error, aiohttp.ClientConnectorError):
                        raise
                    # The far side closed a connection that was kept open: no sign that it is away.
                    status, answer = await self._request(call, body)
        except TimeoutError:
            raise self._silent(f"no answer within {call.seconds:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise self._silent("its certificate does not verify") from None
        except aiohttp.ClientSSLError:
            raise self._silent("TLS failed") from None
        except aiohttp.ClientConnectorError:
            raise self._silent("no connection") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise self._silent("the connection broke off") from None
        metrics.relay_away.set(0)
        if self._away.answered():
            _log.info("relay-back")
        if call.is_new and status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            raise _UnknownError
        return self._judged(status, answer)

    def _silent(self, why: str) -> RelayAwayError:
        metrics.relay_away.set(1)
        if self._away.silent():
            _log.warning("relay-away", why=why, remedy="letters wait here until it is back")
        return RelayAwayError(f"the relay does not answer: {why}")

    def _judged(self, status: int, answer: bytes) -> bytes:
        if status == HTTPStatus.OK:
            self._refused_with = None
            return answer
        if status != self._refused_with:
            self._refused_with = status
            _log.warning("relay-refuses", status=status, remedy=_REMEDIES.get(status, _LOOK))
        raise _RefusedError(status)

    async def _request(self, call: _Call, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = URL(self._way.url + wire.PATH + call.path, encoded=True)
        async with self._client().request(
            call.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            read = await answer.content.read(wire.MAX_ANSWER + 1)
            while read and len(read) <= wire.MAX_ANSWER and (more := await answer.content.read(wire.MAX_ANSWER)):
                read += more
            if len(read) > wire.MAX_ANSWER:
                answer.close()
                raise ValueError("the answer is too long")
            return answer.status, read

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            secure = True if self._way.context is None else self._way.context
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=secure, limit=CONNECTIONS, keepalive_timeout=15),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers={"User-Agent": "leak-front", "Accept": "application/json", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=8190,
                max_field_size=8190,
            )
        return self._session


_LOOK: Final = "the relay's log says more"
_REMEDIES: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "web.relay.key_file holds no key of a front; on the relay: leak user add NAME --front",
    HTTPStatus.NOT_FOUND: "web.relay.url names no relay, or one without the role api, or one that is older",
    HTTPStatus.UNPROCESSABLE_ENTITY: "the relay is older than this front, or the other way round",
}
