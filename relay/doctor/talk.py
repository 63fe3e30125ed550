"""A short conversation with a mail host: connect, greeting, EHLO, a few commands, QUIT. No mail is ever sent in it.

Every step has an end in time that names the step; replies are bounded and cleaned before anybody reads them.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Self

from relay.doctor.subject import Dial, Place
from relay.errors import cause_of
from relay.smtp.reply import MAX_REPLY_BYTES, MAX_REPLY_LINES, Reply, remote_reply

STEP_SECONDS: Final = 8.0
_LINE = re.compile(rb"([2-5][0-9]{2})([ -]?)(.*)")


class TalkError(Exception):
    """The conversation ended; the text says at which step, and why."""


class Talk:
    """One session. `greeting` and `hello` are what the host said first."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.greeting = Reply(0, ("",))
        self.hello = Reply(0, ("",))

    @classmethod
    async def begin(cls, dial: Dial, place: Place, ehlo: str, source: str = "", *, tls: bool = False) -> Self:
        """Connect and say EHLO. Raises TalkError."""
        try:
            async with asyncio.timeout(STEP_SECONDS):
                reader, writer = await dial(place, source, tls)
        except TimeoutError:
            raise TalkError(f"no connection within {STEP_SECONDS:.0f} s") from None
        except OSError as error:
            raise TalkError(f"no connection: {cause_of(error)}") from None
        talk = cls(reader, writer)
        try:
            talk.greeting = await talk._reply("greeting")
            if not talk.greeting.positive:
                raise TalkError(f"greeting: {talk.greeting}")
            talk.hello = await talk.say(f"EHLO {ehlo}")
        except BaseException:
            writer.close()
            raise
        return talk

    async def say(self, line: str) -> Reply:
        """One command and its reply. Raises TalkError."""
        self._writer.write(line.encode("ascii", "replace") + b"\r\n")
        return await self._reply(line.partition(" ")[0])

    async def end(self) -> None:
        """QUIT, without waiting for more than a moment."""
        try:
            self._writer.write(b"QUIT\r\n")
            async with asyncio.timeout(1.0):
                await self._writer.drain()
                await self._reader.read(512)
        except (OSError, TimeoutError):
            pass
        finally:
            self._writer.close()

    async def _reply(self, step: str) -> Reply:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                return await self._read()
        except TimeoutError:
            raise TalkError(f"{step}: no answer within {STEP_SECONDS:.0f} s") from None
        except (OSError, EOFError):
            raise TalkError(f"{step}: the connection was closed") from None
        except (ValueError, asyncio.LimitOverrunError):
            raise TalkError(f"{step}: the answer is no reply of SMTP") from None

    async def _read(self) -> Reply:
        lines: list[str] = []
        size = 0
        while True:
            raw = await self._reader.readuntil(b"\n")
            size += len(raw)
            match = _LINE.fullmatch(raw.rstrip(b"\r\n"))
            if match is None or len(lines) == MAX_REPLY_LINES or size > MAX_REPLY_BYTES:
                raise ValueError
            lines.append(match[3].decode("utf-8", "replace"))
            if match[2] != b"-":
                return remote_reply(int(match[1]), tuple(lines))
