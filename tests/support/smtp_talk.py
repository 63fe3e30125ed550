"""A bare SMTP client for tests: says exactly what it is told and hands back what it hears."""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Self


class Talk:
    """One connection, as an async context manager; every step within ten seconds."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(10):
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(10):
                await self._writer.wait_closed()
        except OSError:
            return  # the far side reset it: what some tests want

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hear(self) -> str:
        """One whole reply; "" when the connection ended."""
        lines = []
        async with asyncio.timeout(10):
            while True:
                try:
                    line = (await self._reader.readline()).decode()
                except ConnectionError:
                    return ""
                if not line:
                    return ""
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return "\n".join(lines)

    async def say(self, line: str) -> str:
        await self.send(line.encode() + b"\r\n")
        return await self.hear()

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        assert (await self.say("STARTTLS")).startswith("220")
        async with asyncio.timeout(10):
            await self._writer.start_tls(context, server_hostname=name)

    def tls_version(self) -> str | None:
        tls = self._writer.get_extra_info("ssl_object")
        return tls.version() if tls else None

    async def hello(self, name: str = "mail.leak.lab.test") -> str:
        assert (await self.hear()).startswith("220")
        return await self.say(f"EHLO {name}")

    async def mail(self, sender: str, recipient: str, content: bytes) -> str:
        """One transaction after EHLO; the first reply that is no success, or the one to the dot."""
        for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            answer = await self.say(line)
            if not answer.startswith(("250", "354")):
                return answer
        await self.send(content + b".\r\n")
        return await self.hear()
