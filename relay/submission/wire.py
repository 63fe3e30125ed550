"""The wire of an SMTP server session: connection, TLS, lines, replies and time; no command of SMTP itself.

Built on aiosmtpd's protocol class, of which it keeps the life of a connection and of its handler task. What
it does otherwise, and why:

- construction is cheap: aiosmtpd's own inspects the handler and resolves the host's name at each connection;
- replies are collected and written once no further full line is buffered, which is what PIPELINING promises
  (RFC 2920 §3.2; D08);
- STARTTLS uses the loop's public upgrade, with a deadline, on an empty buffer only: clear text can neither
  precede the handshake nor outlive it (RFC 3207 §4.2; E03);
- one coarse timer a session, moved without being re-armed; it speaks 421 before it closes (C08).
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from typing import Any, Final, cast

from aiosmtpd.smtp import SMTP

from relay import metrics
from relay.peers import peer_address
from relay.smtp.reply import Reply, reply
from relay.submission.connections import FULL
from relay.submission.context import LOCAL_ERROR, DoorContext, log
from relay.submission.options import (
    BUFFER,
    CLOSE_SECONDS,
    HANDSHAKE_SECONDS,
    MAX_AUTH_LINE,
    MAX_COMMAND,
    MAX_ERRORS,
    MAX_REPLIES,
)
from relay.submission.patience import ClientTimer

TIMED_OUT: Final = reply(421, "4.3.2", "too slow, closing")
SHUTTING_DOWN: Final = reply(421, "4.3.2", "shutting down, try again later")
TOO_MANY_ERRORS: Final = reply(421, "4.7.0", "too many errors, closing")
LINE_TOO_LONG: Final = reply(500, "5.5.2", "line too long")
AUTH_LINE_TOO_LONG: Final = reply(500, "5.5.6", "authentication exchange line too long")
BAD_LINE: Final = reply(500, "5.5.2", "commands are lines of UTF-8 that end in CRLF, without control characters")

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class LineTooLongError(Exception):
    """No line end within the buffer; what follows cannot be told from commands."""


class WireSession(SMTP, ABC):
    """One client's connection. A subclass knows the commands."""

    timer: ClientTimer

    def __init__(self, context: DoorContext, loop: asyncio.AbstractEventLoop) -> None:
        # SMTP.__init__ is left out on purpose: 150-220 µs and a DNS look-up a connection.
        self.loop = loop
        self._reader = asyncio.StreamReader(limit=BUFFER, loop=loop)
        # No callback, which would be a method of ours: a session that never begins would hold itself.
        asyncio.StreamReaderProtocol.__init__(self, self._reader, None, loop)
        self.context = context
        self.hostname = context.options.hostname
        self.transport = None
        self._original_transport = None
        self._handler_coroutine = None
        self.peer = ""
        self.trusted = False
        self.secure = False
        self._replies: list[bytes] = []
        self._errors = 0
        self._closing = False

    @abstractmethod
    def greeting(self) -> bytes:
        """The first reply, complete."""

    @abstractmethod
    async def dispatch(self, verb: str, argument: str) -> None:
        """Act on one command and answer it."""

    @abstractmethod
    def forget(self) -> None:
        """Drop all that the client said in clear (RFC 3207 §4.2)."""

    @abstractmethod
    def forget_transaction(self) -> None:
        """Back to where the client was after EHLO."""

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether closing now would cut a transaction."""

    # The life of the connection.

    @property
    def busy(self) -> bool:
        """Whether something is under way that a shut-down should let finish."""
        return self.in_transaction or self.timer.working

    @property
    def waits_for_client(self) -> bool:
        """Whether ending now would cost nobody's promise: the client has yet to say something."""
        return not self.timer.working

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer = peer_address(transport.get_extra_info("peername"))
        refusal = SHUTTING_DOWN if self.context.draining else self.context.connections.admit(self.peer, self)
        if refusal is not None:
            self._turn_away(cast("asyncio.Transport", transport), refusal)
            return
        metrics.smtp_clients.inc()
        self.context.sessions.add(self)
        self.trusted = self.context.connections.is_trusted(self.peer)
        # aiosmtpd learns of TLS by STARTTLS only; a client on an implicit port is as secure.
        self.secure = transport.get_extra_info("ssl_object") is not None
        self.timer = ClientTimer(
            self.loop, self.context.clock, self.context.options.idle_timeout, self._expired, self.context.pressure
        )
        super().connection_made(transport)
        self._writer = asyncio.StreamWriter(cast("asyncio.Transport", transport), self, self._reader, self.loop)

    def _turn_away(self, transport: asyncio.Transport, refusal: Reply) -> None:
        metrics.refused.labels("smtp", refusal.status).inc()
        log.info("connection-refused", peer=self.peer, reply=refusal)
        transport.write(refusal.wire())
        transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self not in self.context.sessions:
            return
        self.context.sessions.discard(self)
        self.context.connections.leave(self)
        metrics.smtp_clients.dec()
        self._closing = True
        handler = cast("asyncio.Task[None]", self._handler_coroutine)
        super().connection_lost(error)
        handler.add_done_callback(self._let_go)
        self.context.tell_quiet()

    def _let_go(self, _: asyncio.Task[None]) -> None:
        """Drop what leads back here: an ended session is freed at once, and waits for no collector."""
        self._handler_coroutine = self._timeout_handle = None
        del self._writer, self.timer

    def eof_received(self) -> bool | None:
        """A client that half-closes has said all; what it said is still answered. Over TLS it ends the session."""
        # Not aiosmtpd's, which cancels the handler and with it the replies that are still owed.
        return asyncio.StreamReaderProtocol.eof_received(self)

    def _reset_timeout(self, duration: float | None = None) -> None:
        # Asked for by aiosmtpd when the connection is made; it cancels the handle when it is lost.
        self._timeout_handle = cast("asyncio.TimerHandle", self.timer)

    def _set_rset_state(self) -> None:
        self.forget_transaction()

    async def _handle_client(self) -> None:
        try:
            self._replies.append(self.greeting())
            while not self._closing:
                await self._one_command()
                if self.context.draining and not self.in_transaction and not self._closing:
                    self.close(SHUTTING_DOWN)
            await self._flush()
        except LineTooLongError:
            self.close(LINE_TOO_LONG)
            await self._flush()
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("client-left", peer=self.peer)
        finally:
            self._shut()

    def _shut(self) -> None:
        """Close the transport, and make sure that it goes even if the client never reads."""
        if self.transport is not None and self in self.context.sessions:
            self.transport.close()
            self.timer.expire_in(CLOSE_SECONDS)

    async def _one_command(self) -> None:
        line = await self.next_line()
        verb, argument = _split_command(line)
        if len(line) > (MAX_AUTH_LINE if verb == "AUTH" else MAX_COMMAND):
            self.answer(AUTH_LINE_TOO_LONG if verb == "AUTH" else LINE_TOO_LONG)
        elif not verb:
            self.answer(BAD_LINE)
        else:
            try:
                await self.dispatch(verb, argument)
            except (LineTooLongError, asyncio.IncompleteReadError, ConnectionError):
                raise
            except Exception:  # noqa: BLE001 - one broken command must not end as a 5xx, nor tell the client why
                log.exception("command-failed", peer=self.peer, verb=verb)
                self.forget_transaction()
                self.answer(LOCAL_ERROR)

    # Lines in, replies out.

    @property
    def talks_early(self) -> bool:
        """Whether the client sent something before its turn (D09)."""
        return self.buffered() > 0

    def buffered(self) -> int:
        """Octets received and not yet read."""
        return len(self._reader._buffer)  # type: ignore[attr-defined]

    def _has_line(self) -> bool:
        return b"\n" in self._reader._buffer  # type: ignore[attr-defined]

    async def next_line(self) -> bytes:
        """The next line with its line end; replies that wait are sent first if there is none yet.

        Raises LineTooLongError and IncompleteReadError; the session's timer bounds the wait.
        """
        must_wait = not self._has_line()
        if len(self._replies) >= MAX_REPLIES:
            await self._flush()
            await asyncio.sleep(0)  # a flood of short commands must not hold the loop
        elif must_wait:
            await self._flush()
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise LineTooLongError from None
        if must_wait:  # pipelined lines take no time, so they need no look at the clock
            self.timer.refill()
        return line

    async def push(self, status: str | bytes) -> None:
        """Queue a line, CRLF added; it is sent at once unless the client has pipelined a further line."""
        self._replies.append((status.encode() if isinstance(status, str) else status) + b"\r\n")
        if not self._has_line():
            await self._flush()

    def say(self, octets: bytes) -> None:
        """Queue a positive reply, complete with CRLF."""
        self._replies.append(octets)

    async def say_now(self, octets: bytes = b"") -> None:
        """Send what waits, and `octets` after it, before anything else happens."""
        if octets:
            self._replies.append(octets)
        await self._flush()

    def answer(self, what: Reply) -> None:
        """Queue `what`; 421 ends the session, and so do too many permanent refusals (C13)."""
        if what.permanent:
            self._errors += 1
            if self._errors >= MAX_ERRORS:
                log.info("too-many-errors", peer=self.peer)
                what = TOO_MANY_ERRORS
        self._replies.append(what.wire())
        if what.code == 421:
            self._closing = True

    def forgive_errors(self) -> None:
        """A message was accepted: the client knows what it does."""
        self._errors = 0

    def close(self, last: Reply | None = None) -> None:
        """End the session after the command at hand, with `last` as the final reply."""
        if last is not None:
            self._replies.append(last.wire())
        self._closing = True

    async def _flush(self) -> None:
        """Send what waits. A client that does not read is bounded by the session's timer."""
        if self._replies:
            octets = b"".join(self._replies)
            self._replies.clear()
            self._writer.write(octets)
            await self._writer.drain()

    # TLS.

    async def start_tls(self) -> bool:
        """Take the handshake; True when the session is secure. The input buffer must be empty."""
        tls = self.context.tls
        if tls is None or not self.context.begin_handshake(self.peer):
            self._closing = True
            return False
        clear = cast("asyncio.Transport", self.transport)
        self.timer.begin_work()  # the handshake has a deadline of its own
        try:
            transport = await self.loop.start_tls(
                clear,
                self,
                tls,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except OSError as error:
            log.info("handshake-failed", peer=self.peer, error=error)
            self._closing = True
            clear.abort()
            # asyncio does not always tell the protocol about a connection lost in the handshake.
            self.loop.call_soon(self.connection_lost, None)
            return False
        finally:
            self.context.end_handshake(self.peer)
            self.timer.end_work()
        if transport is None or self._closing:
            return False
        self._take_over(transport)
        return True

    def _take_over(self, transport: asyncio.Transport) -> None:
        """Speak through `transport` from now on; `start_tls` swaps the transport's side only."""
        self.transport = transport
        self._reader._transport = transport  # type: ignore[attr-defined]
        self._writer._transport = transport  # type: ignore[attr-defined]
        self._transport = transport
        self._over_ssl = True
        self.secure = True
        self.forget()

    # The end, from outside the handler.

    def _expired(self) -> None:
        if self.transport is None or self.transport.is_closing():
            self.abort()
        else:
            log.info("client-too-slow", peer=self.peer, phase=self.timer.phase)
            self.hang_up(TIMED_OUT)

    def hang_up(self, last: Reply) -> None:
        """Say `last` and close now; a client that does not read just loses the line."""
        self._closing = True
        transport: Any = self.transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > 0:
            transport.abort()
            return
        transport.write(last.wire())
        transport.close()
        self.timer.expire_in(CLOSE_SECONDS)

    def give_way(self) -> None:
        """See `Seat`."""
        self.hang_up(FULL)

    def abort(self) -> None:
        """Drop the connection at once."""
        transport: Any = self.transport
        if transport is not None:
            transport.abort()


def _split_command(line: bytes) -> tuple[str, str]:
    """Verb in upper case and argument; an empty verb for what is no command line."""
    if not line.endswith(b"\r\n") or _CONTROL.search(line, 0, len(line) - 2):
        return "", ""
    try:
        verb, _, argument = line[:-2].decode().partition(" ")
    except UnicodeDecodeError:
        return "", ""
    return verb.upper(), argument.strip(" ")
