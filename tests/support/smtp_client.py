"""A raw SMTP client for tests: sends exactly the octets it is told, and checks the form of every reply."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_LINE = re.compile(rb"(\d{3})([ -])(.*)\r\n", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?: |$)")
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: its code and its lines without code."""

    code: int
    lines: tuple[str, ...]

    @property
    def status(self) -> str:
        """The enhanced code, or "" if the reply has none."""
        match = _ENHANCED.match(self.lines[0])
        return match[0].strip() if match else ""

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.lines)}"


class RawClient:
    """One connection. Replies other than greeting and EHLO must carry an enhanced code (G10)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.writer.write(octets)
        await self.writer.drain()

    async def answer(self, *, plain: bool = False) -> Answer:
        """The next reply; `plain` ones need no enhanced code. EOFError when the server has closed."""
        lines: list[str] = []
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    line = await self.reader.readuntil(b"\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                raise EOFError from None
            match = _LINE.fullmatch(line)
            assert match, line
            lines.append(match[3].decode())
            if match[2] == b" ":
                break
        code = int(match[1])
        answer = Answer(code, tuple(lines))
        if not plain and code >= 200 and not 300 <= code < 400:
            assert all(_ENHANCED.match(text) and text[0] == str(code)[0] for text in lines), answer
        return answer

    async def ask(self, command: str, *, plain: bool = False) -> Answer:
        """Send one command line, return its reply."""
        await self.send(command.encode() + b"\r\n")
        return await self.answer(plain=plain)

    async def ehlo(self, name: str = "client.example") -> tuple[str, ...]:
        """Say EHLO; the extensions offered."""
        answer = await self.ask(f"EHLO {name}", plain=True)
        assert answer.code == 250, answer
        return answer.lines[1:]

    async def deliver(self, content: bytes, sender: str = "ann@leak.example") -> Answer:
        """One whole transaction with content that is dot-stuffed already; the reply to the dot."""
        for command in (f"MAIL FROM:<{sender}>", "RCPT TO:<bob@example.org>"):
            answer = await self.ask(command)
            assert answer.code == 250, answer
        assert (await self.ask("DATA")).code == 354
        await self.send(content + b".\r\n")
        return await self.answer()

    async def starttls(self, context: ssl.SSLContext) -> None:
        """STARTTLS and the handshake."""
        answer = await self.ask("STARTTLS")
        assert answer.code == 220, answer
        await self.writer.start_tls(context, server_hostname="localhost")

    async def ended(self) -> bool:
        """Whether the server closes without another octet."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        """Drop the connection."""
        self.writer.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


@asynccontextmanager
async def connected(
    port: int, source: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None, greeting: bool = True
) -> AsyncIterator[RawClient]:
    """A client of 127.0.0.1:`port` that comes from `source`, its greeting read."""
    host = "localhost" if tls else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(source, 0), ssl=tls, server_hostname=host
    )
    client = RawClient(reader, writer)
    try:
        if greeting:
            assert (await client.answer(plain=True)).code == 220
        yield client
    finally:
        await client.close()
