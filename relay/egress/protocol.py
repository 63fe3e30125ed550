"""The wire of an outbound session: aiosmtplib's protocol, taught to pipeline and to distrust.

Stands between the socket and the dialogue. aiosmtplib keeps one reply of a packet; this one parses all of
them, so a whole group of commands can be under way (RFC 2920). It guarantees that a reply is handed out only
for a command that was written (A22), that nonsense and floods end the connection in bounded memory (A06, A08,
S13), that reading goes on while a write waits for room (D07), and that no octet received in clear is believed
after STARTTLS (S04).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

from aiosmtplib import SMTPException, SMTPReadTimeoutError, SMTPResponse, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol

from relay.smtp.reply import MAX_REPLY_BYTES, MAX_REPLY_LINES, Reply, remote_reply

MAX_REPLY_TOTAL: Final = 64 * 1024
"""Octets of one reply over all its lines."""

_SHUTDOWN_TIMEOUT = 2.0
_USUAL_LENGTH = 40
"""Octets of "250 2.1.5 Ok" and its like; longer ones name queue ids or mailboxes and never come again."""


class ReplySyntaxError(SMTPException):
    """What came is no reply of SMTP, or is more than a reply may be."""


class UnsolicitedReplyError(SMTPException):
    """A reply came to no command; whatever follows it cannot be trusted to answer ours."""


class InjectedReplyError(SMTPException):
    """Octets in clear came after the 220 to STARTTLS (RFC 3207 §4.2, S04)."""


class PipelinedProtocol(SMTPProtocol):
    """One connection. One task talks on it; after any failure it is closed and only says so."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, on_lost: Callable[[SMTPProtocol], None] | None = None
    ) -> None:
        super().__init__(loop=loop, connection_lost_callback=on_lost)
        self._replies: deque[Reply] = deque()
        self._lines: list[bytes] = []
        self._code = 0
        self._length = 0
        self._expected = 1  # the greeting
        self._failure: SMTPException | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def healthy(self) -> bool:
        """Whether the connection stands and nothing lies in it that nobody asked for."""
        return self._failure is None and self.is_connected and not self._replies and not self._buffer

    @property
    def answered(self) -> bool:
        """Whether a reply waits to be read."""
        return bool(self._replies)

    def send(self, data: bytes, replies: int) -> None:
        """Write `data`, to which `replies` replies are expected. Raises what ended the connection, if it has ended."""
        if self._failure is not None:
            raise self._failure
        self._expected += replies
        super().write(data)

    def write(self, data: bytes) -> None:
        """Write one command of aiosmtplib's own methods, which expect one reply."""
        self.send(data, 1)

    async def read_reply(self, timeout: float) -> Reply:
        """The next reply, whole within `timeout` seconds.

        Raises SMTPReadTimeoutError, SMTPServerDisconnected or a syntax error; the connection is closed then.
        """
        if not self._replies:
            timer = self._loop.call_later(timeout, self._expire)
            try:
                while not self._replies:
                    if self._failure is not None:
                        raise self._failure
                    await self._happening()
            finally:
                timer.cancel()
        return self._replies.popleft()

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:
        """The next reply in aiosmtplib's form, for its own methods."""
        reply = await self.read_reply(60.0 if timeout is None else timeout)
        return SMTPResponse(reply.code, "\n".join(reply.lines))

    async def drained(self, timeout: float, *, or_answered: bool = False) -> None:
        """Wait until the socket has room for more, or (if asked) until a reply came; reading goes on meanwhile."""
        if self._must_wait(or_answered):
            timer = self._loop.call_later(timeout, self._expire)
            try:
                while self._must_wait(or_answered):
                    await self._happening()
            finally:
                timer.cancel()
        if self._failure is not None and not (or_answered and self._replies):
            raise self._failure

    def _must_wait(self, or_answered: bool) -> bool:
        return self._paused and self._failure is None and not (or_answered and self._replies)

    async def upgrade(self, context: ssl.SSLContext, server_name: str | None, timeout: float) -> ssl.SSLObject:
        """TLS from here on; call it right after the 220 to STARTTLS.

        Raises InjectedReplyError if anything came behind that 220; SMTPServerDisconnected, ssl.SSLError or OSError
        if the handshake failed.
        """
        injected = isinstance(self._failure, UnsolicitedReplyError | ReplySyntaxError)
        if injected or self._buffer or self._lines or self._replies:
            self.abort()
            raise InjectedReplyError("octets in clear after the answer to STARTTLS")
        if self._failure is not None:
            raise self._failure
        try:
            self.transport = await self._loop.start_tls(
                cast("asyncio.WriteTransport", self.transport),
                self,
                context,
                server_hostname=server_name,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT,
            )
        except BaseException:
            self.abort()
            raise
        if self.transport is None:
            raise SMTPServerDisconnected("the connection was closed during the handshake")
        self._over_ssl = True
        return cast("ssl.SSLObject", self.transport.get_extra_info("ssl_object"))

    def close(self) -> None:
        """Send what is written, then close."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once and drop what is written."""
        if self.transport is not None:
            cast("asyncio.WriteTransport", self.transport).abort()

    def data_received(self, data: bytes) -> None:
        if self._failure is not None:
            return
        if self._buffer:
            data = bytes(self._buffer) + data
            self._buffer.clear()
        *lines, rest = data.split(b"\n")
        try:
            for line in lines:
                self._take(line)
            if len(rest) > MAX_REPLY_BYTES:
                raise ReplySyntaxError("a reply line is too long")
        except SMTPException as error:
            self._fail(error)
        else:
            self._buffer += rest
        self._wake()

    def eof_received(self) -> bool:
        self._fail(SMTPServerDisconnected("the host closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._failure is None:
            self._failure = SMTPServerDisconnected("the connection was lost")
            self._failure.__cause__ = exc
        self._wake()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wake()

    def _take(self, line: bytes) -> None:
        """One line of a reply (RFC 5321 §4.2): three digits, then nothing, a space, or a hyphen for "goes on"."""
        line = line.removesuffix(b"\r")
        if not self._lines and line[3:4] == b" " and len(line) <= _USUAL_LENGTH:
            self._answer(_usual_reply(line))
            return
        code = _code_of(line)
        if self._lines and code != self._code:
            raise ReplySyntaxError("different codes in one reply")
        self._code = code
        self._lines.append(line[4:])
        self._length += len(line)
        if len(line) > MAX_REPLY_BYTES or len(self._lines) > MAX_REPLY_LINES or self._length > MAX_REPLY_TOTAL:
            raise ReplySyntaxError("a reply is too long")
        if line[3:4] == b"-":
            return
        texts = tuple(text.decode("utf-8", "replace") for text in self._lines)
        self._lines.clear()
        self._length = 0
        self._answer(remote_reply(code, texts))

    def _answer(self, reply: Reply) -> None:
        if self._expected:
            self._expected -= 1
            self._replies.append(reply)
        elif reply.code == 421:
            # The one reply a host may send unasked (RFC 5321 §3.8).
            raise SMTPServerDisconnected("the host ended the session with 421")
        else:
            raise UnsolicitedReplyError("a reply came that answers no command")

    def _expire(self) -> None:
        self._fail(SMTPReadTimeoutError("no answer in time"))
        self._wake()

    def _fail(self, error: SMTPException) -> None:
        if self._failure is None:
            self._failure = error
        self._buffer.clear()
        self._lines.clear()
        self.abort()

    async def _happening(self) -> None:
        """Wait until something happened: a reply, room to write, or the end."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _code_of(line: bytes) -> int:
    """The code of a reply's line; ReplySyntaxError if it is no such line."""
    code = line[:3]
    if len(code) < 3 or not code.isdigit() or code[0] not in b"2345" or line[3:4] not in {b" ", b"-", b""}:
        raise ReplySyntaxError("a line is no SMTP reply")
    return int(code)


@lru_cache(maxsize=256)
def _usual_reply(line: bytes) -> Reply:
    """A reply of one short line. Hosts say the same few again and again, so they are read once."""
    return remote_reply(_code_of(line), (line[4:].decode("utf-8", "replace"),))
