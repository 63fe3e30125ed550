"""A way to a server that a test can slow down, or cut before a request passes or before its answer does."""

from __future__ import annotations

import asyncio
from enum import Enum


class Cut(Enum):
    """What happens to the next request that holds the proxy's `word`."""

    NEVER = "passes"
    REQUEST = "is lost with its connection"
    ANSWER = "passes, and its answer is lost with the connection"
    SILENCE = "passes, and the connection stays open without an answer"


class TcpProxy:
    """Listens on a free port of loopback and passes everything on to `target`, `delay` seconds later each way."""

    def __init__(self, target: int, word: bytes) -> None:
        self.target = target
        self.word = word
        self._cut = Cut.NEVER
        self._struck = asyncio.Event()
        self.delay = 0.0
        self.port = 0
        self._passes = asyncio.Event()
        self._passes.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    @property
    def cut(self) -> Cut:
        """What happens to the next request that holds the word; those after it pass."""
        return self._cut

    @cut.setter
    def cut(self, cut: Cut) -> None:
        self._cut = cut
        self._struck.clear()

    async def struck(self) -> None:
        """Wait until the request came that `cut` was for."""
        async with asyncio.timeout(60):
            await self._struck.wait()

    def hold(self) -> None:
        """Let nothing pass, and end nothing: the way is cut, and nobody is told."""
        self._passes.clear()

    def release(self) -> None:
        """Let everything pass again, what was held first."""
        self._passes.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pair = _Pair(writer, there_writer)
        self._writers |= {writer, there_writer}
        for one in (self._requests(reader, pair), self._answers(there_reader, pair)):
            task = asyncio.create_task(one)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        while data := await _read(reader):
            await asyncio.sleep(self.delay)
            await self._passes.wait()
            if self.cut is not Cut.NEVER and self.word in data:
                pair.cut, self._cut = self._cut, Cut.NEVER
                self._struck.set()
            if pair.cut is Cut.REQUEST:
                break
            pair.there.write(data)
        pair.close()

    async def _answers(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        while data := await _read(reader):
            await asyncio.sleep(self.delay)
            await self._passes.wait()
            if pair.cut is Cut.SILENCE:
                continue
            if pair.cut is not Cut.NEVER:
                break
            pair.here.write(data)
        if pair.cut is not Cut.SILENCE:
            pair.close()


class _Pair:
    def __init__(self, here: asyncio.StreamWriter, there: asyncio.StreamWriter) -> None:
        self.here = here
        self.there = there
        self.cut = Cut.NEVER

    def close(self) -> None:
        self.here.transport.abort()
        self.there.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""
