"""The connections of the HTTP door: how many there may be, how long each may take, what a broken one is told.

aiohttp bounds neither their number nor the time of a request's header, and it writes what a stranger sent into
the log and into its answer. Here a connection past the caps gets a bare 503, whoever holds
most of them gives way to who has fewer, a header that is not there in time
ends its connection (slowloris), and a request that is no HTTP gets a bare 400 and one debug line without its text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network
from typing import Final, cast

from aiohttp import hdrs, web

from relay.clock import Clock
from relay.log import Log
from relay.peers import client_block, peer_address, plain_address
from relay.seats import Seat, Seats

_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_NOWHERE: Final = "0.0.0.0"  # noqa: S104 - stands for a peer that was gone at once, nothing listens on it
_TELL_SECONDS: Final = 10.0
"""Refused connections are logged no more often."""
LINGERING_SECONDS: Final = 3.0
KEEPALIVE_SECONDS: Final = 60.0

_log = Log("http")


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Counts a worker, times in seconds. `proxies` speak for many: no cap by address holds for them."""

    max_connections: int = 1000
    max_connections_per_address: int = 200
    header_seconds: float = 10.0
    """From the connection's begin, or a later request's first octet, to the end of the header."""
    unread_seconds: float = 60.0
    """How long a client may leave an answer unread."""
    proxies: Sequence[IPv4Network | IPv6Network] = ()
    names_peers: bool = False
    """Whether the log has a client's address: never where visitors come, it would tell who was there and when."""


class Room:
    """Counts connections, in total and by address (IPv6 by /64); `admit` and `leave` come in pairs.

    Proxies never give way to a newcomer.
    """

    def __init__(self, limits: HttpLimits, clock: Clock) -> None:
        self.limits = limits
        self._clock = clock
        self._seats = Seats(limits.max_connections)
        self._refused = 0
        self._told = -_TELL_SECONDS

    def admit(self, peer: str, seat: Seat) -> bool:
        """Count a connection from `peer` if there is room for it, or room can be made."""
        block, is_proxy = client_block(peer), self._is_proxy(peer)
        too_many = not is_proxy and self._seats.held_by(block) >= self.limits.max_connections_per_address
        if too_many or not self._seats.take(block, seat, firm=is_proxy):
            self._tell(peer)
            return False
        return True

    def leave(self, seat: Seat) -> None:
        """A connection that was admitted has ended."""
        self._seats.leave(seat)

    def named(self, peer: str) -> str:
        """`peer` as the log may have it: empty where clients are not named."""
        return peer if self.limits.names_peers else ""

    def _is_proxy(self, peer: str) -> bool:
        address = plain_address(peer)
        return address is not None and any(address in network for network in self.limits.proxies)

    def _tell(self, peer: str) -> None:
        self._refused += 1
        now = self._clock.monotonic()
        if now - self._told >= _TELL_SECONDS:
            _log.warning("connections-refused", count=self._refused, latest=self.named(peer), open=len(self._seats))
            self._refused, self._told = 0, now


class Connection(web.RequestHandler):
    """One client's connection, counted and timed."""

    __slots__ = ("_admitted", "_header_timer", "_peer", "_room", "_unread_timer")

    def __init__(self, server: web.Server, room: Room, loop: asyncio.AbstractEventLoop) -> None:
        # Compressed bodies are refused, so they need not be inflated while they are thrown away (S30).
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            lingering_time=LINGERING_SECONDS,
            keepalive_timeout=KEEPALIVE_SECONDS,
        )
        self._room = room
        self._peer = _NOWHERE
        self._admitted = False
        self._header_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._peer = peer_address(transport.get_extra_info("peername")) or _NOWHERE
        if not self._room.admit(self._peer, self):
            stream = cast("asyncio.Transport", transport)
            stream.write(_FULL)
            stream.close()
            return
        self._admitted = True
        super().connection_made(transport)
        self._await_header()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._admitted:
            return
        self._admitted = False
        self._room.leave(self)
        self._header_came()
        self._answer_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._header_came()
        elif self._header_timer is None and self._waiter is not None and not self._waiter.done():
            self._await_header()  # nothing is being answered, so these octets begin another header

    @property
    def waits_for_client(self) -> bool:
        """See `Seat`: a header or a body may have begun, or an answer may lie unread."""
        request = self._current_request
        return request is None or self._unread_timer is not None or not request.content.is_eof()

    def give_way(self) -> None:
        """See `Seat`."""
        self._abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self._loop.call_later(self._room.limits.unread_seconds, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer_read()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A bare answer; the log gets a traceback only of what broke here."""
        if self.transport is None and isinstance(exc, ConnectionError):
            # Who hangs up within a body has broken nothing here, and may do so a thousand times.
            _log.debug("client-left", peer=self._room.named(self._peer))
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.exception("request-failed")
        else:
            _log.debug("bad-request", peer=self._room.named(self._peer), kind=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        return _BareAnswer(status)

    def log_exception(self, *args: object, **kw: object) -> None:
        """What aiohttp itself could not handle."""
        _log.exception("connection-failed", peer=self._room.named(self._peer))

    def _await_header(self) -> None:
        self._header_timer = self._loop.call_later(self._room.limits.header_seconds, self._abort)

    def _header_came(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _answer_read(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _abort(self) -> None:
        """Out of time. Not closed but dropped: a client that does not read would keep a closing one."""
        _log.debug("client-too-slow", peer=self._room.named(self._peer))
        transport = self.transport
        if transport is not None:
            transport.abort()


class _BareAnswer(web.Response):
    """A status and nothing else; the connection ends with it."""

    def __init__(self, status: int) -> None:
        super().__init__(status=status, headers={hdrs.CACHE_CONTROL: "no-store"})
        self.force_close()

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall(hdrs.SERVER, None)
        self.headers.popall(hdrs.CONTENT_TYPE, None)
