"""The line to a relay on another machine: one question over HTTP, with a key, and one answer.

What is no answer of the relay in the form of the contract (no connection, a status, a page of some proxy) is
RelayAwayError. While the relay is silent most questions fail at once. No redirect is followed, no proxy of the
environment is used, an answer is read up to 64 KiB. The key and addresses stand in no URL and in no log.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from relay import metrics
from relay.client import wire
from relay.client.away import Away
from relay.client.contract import RelayAwayError
from relay.client.unknown_fields import UnknownFields
from relay.clock import Clock
from relay.log import Log

CONNECT_SECONDS: Final = 2.0
"""Until a connection stands, TLS included."""
ASK_SECONDS: Final = 4.5
"""For a question whose answer somebody waits for; less than pages wait."""
CONNECTIONS: Final = 32
CALLS: Final = 128
"""Calls of a worker under way or in line; more fail at once."""
LINKS: Final = 16
"""One-click links among them: anybody may post one."""

_LOOK: Final = "the relay's log says more"
_REMEDIES: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "web.relay.key_file holds no key of a front; on the relay: leak user add NAME --front",
    HTTPStatus.NOT_FOUND: "web.relay.url names no relay, or one without the role api, or one that is older",
    HTTPStatus.UNPROCESSABLE_ENTITY: "the relay is older than this front, or the other way round",
}

_log = Log("front")

_Told = TypeVar("_Told", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Way:
    """How to the relay: scheme and host, and what its certificate is verified with."""

    url: str
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One question: where, for how long, and how metrics call it."""

    name: str
    path: str
    method: Literal["GET", "POST", "DELETE"] = "POST"
    seconds: float = ASK_SECONDS
    is_new: bool = False
    """Whether a relay may be too old to know it: that is no sign that it is away, nor that something is wrong."""
    is_anybodys: bool = False
    """Whether anybody may have it asked, as often as they like."""


class RefusedError(RelayAwayError):
    """The relay, or what stands in its place, answered by a status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the relay answers HTTP status {status}")
        self.status = status


class UnknownError(Exception):
    """The relay is too old for a question."""


class RelayLine:
    """One worker's line to its relay. Opened by the first question; `close` ends it."""

    def __init__(self, way: Way, key: str, clock: Clock) -> None:
        self._way = way
        self._key = key
        self._clock = clock
        self._away = Away(clock)
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0
        self._links = 0
        self._refused_with: int | None = None
        self._failing: tuple[float, str] | None = None
        self._unknown = UnknownFields(_log, "the relay is newer than this front")

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

    async def ask(self, call: Call, told: type[_Told], asked: BaseModel | None = None) -> _Told:
        """The answer to a question. Raises RelayAwayError, and UnknownError for what an older relay may not know."""
        if self._is_full(call) or not self._away.may_try():
            metrics.relay_calls.labels(call.name, "not-made").inc()
            raise RelayAwayError("the relay does not answer")
        self._under_way += 1
        self._links += call.is_anybodys
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
            self._links -= call.is_anybodys
        metrics.relay_calls.labels(call.name, "answered").inc()
        self._unknown.note(call.path if call.method == "POST" else call.name, answer)
        self._failing = None
        return answer

    def _is_full(self, call: Call) -> bool:
        """No page counts who posts one-click links, so these have a small part of the calls: letters need the rest."""
        return self._under_way >= CALLS or (call.is_anybodys and self._links >= LINKS)

    def _failed(self, call: Call, why: str) -> None:
        metrics.relay_calls.labels(call.name, "failed").inc()
        self._failing = (self._failing[0] if self._failing else self._clock.monotonic(), why)

    async def _talk(self, call: Call, asked: BaseModel | None) -> bytes:
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
            raise UnknownError
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
        raise RefusedError(status)

    async def _request(self, call: Call, body: bytes | None) -> tuple[int, bytes]:
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
