"""The receiving end of one SMTP connection: lines and mail data from a peer that may be hostile.

An asyncio protocol with a buffer of its own: a command line is bounded, mail data is bounded while it is
read, and reading stops when the session is slower than its peer. The upgrade to TLS refuses whatever was sent
before the handshake (RFC 3207 §4.2; S04).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Final

MAX_COMMAND: Final = 4096
"""Longest command line with extensions (RFC 5321 §4.5.3.1.4, RFC 3461 §5)."""
MAX_TEXT_LINE: Final = 65_536
_HIGH_WATER = 262_144
_END = b"\r\n.\r\n"


class PeerGoneError(Exception):
    """The peer closed or reset the connection."""


class TooMuchError(Exception):
    """The peer sent a line, or data after the limit, without end: close the connection."""


class Wire(asyncio.Protocol):
    """One connection; `serve` is started as its task when the peer connects."""

    def __init__(
        self, serve: Callable[[Wire], Coroutine[Any, Any, None]], adopt: Callable[[Wire, asyncio.Task[None]], None]
    ):
        self._serve = serve
        self._adopt = adopt
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._gone = False
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiter: asyncio.Future[None] | None = None
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first = self._transport is None
        self._transport = transport  # type: ignore[assignment]
        if first:
            peer = transport.get_extra_info("peername")
            self.peer = str(peer[0]) if peer else ""
            self._adopt(self, asyncio.get_running_loop().create_task(self._serve(self)))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _HIGH_WATER and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        self._wake()

    def eof_received(self) -> bool:
        self._gone = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def has_line(self) -> bool:
        """Whether a further command waits already: a pipelined reply may wait for it."""
        return b"\n" in self._buffer

    async def read_line(self, timeout: float) -> bytes:
        """One command line without its end; TimeoutError, PeerGoneError, TooMuchError past 4,096 octets."""
        async with asyncio.timeout(timeout):
            while (end := self._buffer.find(b"\n", 0, MAX_COMMAND)) < 0:
                if len(self._buffer) >= MAX_COMMAND:
                    raise TooMuchError
                await self._more()
        line = bytes(self._buffer[:end])
        self._consume(end + 1)
        return line.removesuffix(b"\r")

    async def read_data(self, limit: int, timeout: float) -> bytes | None:
        """Mail data up to the lone dot, dots unstuffed (RFC 5321 §4.5.2); None if it is longer than `limit`.

        `timeout` is the seconds of silence allowed. TooMuchError when a line never ends, or when the peer goes
        on for as much again after the limit.
        """
        pieces = bytearray(b"\r\n")  # so that a lone dot in the first line is found like any other
        total = 0
        line_start = 0
        while True:
            start = max(0, len(pieces) - 4)
            pieces += self._buffer
            total += len(self._buffer)
            self._consume(len(self._buffer))
            end = pieces.find(_END, start)
            if end >= 0:
                rest = bytes(pieces[end + 5 :])
                self._buffer[:0] = rest
                return _unstuffed(pieces, end) if total - len(rest) <= limit + 3 else None
            if total > 2 * limit + MAX_TEXT_LINE:
                raise TooMuchError
            newline = pieces.rfind(b"\n", max(start, line_start))
            line_start = newline + 1 if newline >= 0 else line_start
            if len(pieces) - line_start > MAX_TEXT_LINE:
                raise TooMuchError
            if total > limit and len(pieces) > 4 * MAX_TEXT_LINE:
                # The answer is no already: keep only what the end may begin in.
                cut = len(pieces) - 4
                del pieces[:cut]
                line_start = max(0, line_start - cut)
            async with asyncio.timeout(timeout):
                await self._more()

    async def write(self, data: bytes, timeout: float = 30.0) -> None:
        """Send; PeerGoneError if nobody is there, TimeoutError if the peer does not read."""
        if self._gone or self._transport is None:
            raise PeerGoneError
        self._transport.write(data)
        if not self._writable.is_set():
            async with asyncio.timeout(timeout):
                await self._writable.wait()

    async def start_tls(self, context: ssl.SSLContext, timeout: float) -> None:
        """Shake hands; PeerGoneError if the peer sent anything ahead of it, ssl.SSLError and OSError if it fails."""
        if self._buffer or self._transport is None:
            raise PeerGoneError
        loop = asyncio.get_running_loop()
        upgraded = await loop.start_tls(
            self._transport, self, context, server_side=True, ssl_handshake_timeout=timeout, ssl_shutdown_timeout=2.0
        )
        if upgraded is None:
            raise PeerGoneError
        self._transport = upgraded

    def tls(self) -> tuple[str, str] | None:
        """Version and cipher of the session, or None in clear."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport else None
        if tls is None:
            return None
        cipher = tls.cipher()
        return str(tls.version()), str(cipher[0]) if cipher else ""

    def close(self) -> None:
        """Close after what was written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with RST, as a crashed host does."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        """Close now, whatever was still to be written."""
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        if self._gone:
            raise PeerGoneError
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        if self._paused and len(self._buffer) < _HIGH_WATER // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()


def _unstuffed(pieces: bytearray, end: int) -> bytes:
    content = bytes(pieces[: end + 2]).replace(b"\r\n.", b"\r\n")
    return content[2:]


def has_bare_line_end(content: bytes) -> bool:
    """Whether a CR or LF stands alone: no mail, and the means of smuggling (RFC 5321 §2.3.8)."""
    return not content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
