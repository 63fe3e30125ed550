"""A far side that keeps no content: it sees who attempts which recipient when, and what the bodies' digests are.

For tests with a great deal of mail, and for the question whether two workers ever attempt one recipient at once: an
attempt lasts from its RCPT to the answer after the dot, or to the end of its connection.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self, cast

_END = b"\r\n.\r\n"


@dataclass
class Body:
    """The digest of a content's body as it passes by, decoded where it is quoted-printable."""

    tail: bytes = b""
    """The last octets, which may be part of the terminator."""
    head: bytes | None = b""
    """The header so far; None once the empty line has come."""
    size: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    eight_bit: bool = False
    encoded: bytes | None = None
    """Of a quoted-printable body what is no whole line yet."""

    def take(self, octets: bytes) -> bytes | None:
        """What follows the terminator; None while it has not come."""
        text = self.tail + octets
        end = text.find(_END)
        keep = len(text) - 4 if end < 0 else end + 2
        self.tail = text[max(0, keep) :]
        self._pass(text[: max(0, keep)])
        return None if end < 0 else text[end + 5 :]

    def _pass(self, octets: bytes) -> None:
        self.size += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        if self.head is not None:
            self.head += octets
            header, empty, octets = self.head.partition(b"\r\n\r\n")
            if not empty:
                return
            self.head = None
            if b"\r\ncontent-transfer-encoding: quoted-printable" in header.lower():
                self.encoded = b""
        if self.encoded is not None:
            lines, end, self.encoded = (self.encoded + octets).rpartition(b"\r\n")
            octets = binascii.a2b_qp(lines + end)
        self.digest.update(octets)


class WatchingSink:
    """An SMTP server on 127.0.0.1; recipients are known by their local part. Answers the dot after `pause` seconds."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.arrived: Counter[str] = Counter()
        self.digests: dict[str, str] = {}
        self.attempted: Counter[str] = Counter()
        """The attempts under way."""
        self.overlaps: list[str] = []
        """Recipients that were named while another attempt of theirs was under way."""
        self.waits: list[float] = []
        """Seconds from the end of a connection that cut an attempt to the next attempt of its recipient."""
        self.cut: dict[str, float] = {}
        self.eight_bit: list[str] = []
        """Recipients whose letter held octets above 127, which this host does not say it takes."""
        self.sessions: set[SinkSession] = set()
        self.most = 0
        """The most sessions at once."""
        self._holding = ""
        self._held: list[Callable[[], None]] = []
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """As a next hop is written."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: SinkSession(self), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for session in list(self.sessions):
            session.transport.abort()
        await self._server.wait_closed()

    def hold(self, since: Literal["RCPT", "dot"]) -> None:
        """Answer nothing from here on in a transaction, until `release`."""
        self._holding = since

    def release(self) -> None:
        """Say all that was held, to whoever is still there, and hold nothing more."""
        self._holding = ""
        held, self._held = self._held, []
        for say in held:
            say()

    def say(self, transport: asyncio.Transport, words: bytes, phase: str) -> None:
        """An answer in a phase: a verb, or the dot."""
        if self._holding and (phase == "dot" or (self._holding == "RCPT" and phase in {"RCPT", "DATA"})):
            self._held.append(lambda: self.say(transport, words, phase))
        elif not transport.is_closing():
            transport.write(words)


class SinkSession(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, sink: WatchingSink) -> None:
        self._sink = sink
        self._line = b""
        self._body: Body | None = None
        self._named: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._sink.sessions.add(self)
        self._sink.most = max(self._sink.most, len(self._sink.sessions))
        self.transport.write(b"220 sink.example ESMTP\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        self._sink.sessions.discard(self)
        now = asyncio.get_running_loop().time()
        self._sink.cut.update(dict.fromkeys(self._named, now))
        self._forget()

    def _forget(self) -> None:
        self._sink.attempted.subtract(self._named)
        self._named = []

    def data_received(self, octets: bytes) -> None:
        while octets:
            if self._body is not None:
                rest = self._body.take(octets)
                if rest is None:
                    return
                octets = rest
                self._ended(self._body)
                self._body = None
                continue
            line, end, octets = (self._line + octets).partition(b"\r\n")
            self._line = b"" if end else line
            if end:
                self._command(line)

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            self.transport.write(b"250-sink.example\r\n250-PIPELINING\r\n250 SIZE 100000000\r\n")
        elif verb == b"RCPT":
            self._name(line.partition(b"<")[2].partition(b"@")[0].decode())
            self._sink.say(self.transport, b"250 2.1.5 ok\r\n", "RCPT")
        elif verb == b"DATA":
            self._body = Body()
            self._sink.say(self.transport, b"354 go on\r\n", "DATA")
        elif verb == b"QUIT":
            self.transport.write(b"221 2.0.0 bye\r\n")
            self.transport.close()
        else:
            if verb in {b"RSET", b"MAIL"}:
                self._forget()
            self.transport.write(b"250 2.0.0 ok\r\n")

    def _name(self, recipient: str) -> None:
        if self._sink.attempted[recipient] > 0:
            self._sink.overlaps.append(recipient)
        if (since := self._sink.cut.pop(recipient, None)) is not None:
            self._sink.waits.append(asyncio.get_running_loop().time() - since)
        self._sink.attempted[recipient] += 1
        self._named.append(recipient)

    def _ended(self, body: Body) -> None:
        named, digest = tuple(self._named), body.digest.hexdigest()
        if body.eight_bit:
            self._sink.eight_bit += named
        if self._sink.pause:
            asyncio.get_running_loop().call_later(self._sink.pause, self._answer, named, digest)
        else:
            self._answer(named, digest)

    def _answer(self, named: tuple[str, ...], digest: str) -> None:
        # Whoever sent the dot may be gone: the far side has the letter all the same.
        self._sink.arrived.update(named)
        self._sink.digests.update(dict.fromkeys(named, digest))
        if not self.transport.is_closing():
            self._sink.say(self.transport, b"250 2.0.0 taken\r\n", "dot")
            self._forget()
