"""A node with few open files, flooded with idle connections: it refuses some, delivers on, and does not spin (R28)."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.crash_world import RefusedError, submit, world

FILES = 256
FLOOD = 400


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def greeting(port: int, n: int) -> tuple[bytes, asyncio.StreamWriter]:
    """The first line of a session, and the connection that stays open; no line if nobody accepts."""
    # From many addresses: each alone has a cap that is lower than what the node's files allow.
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.1.{n % 20 + 1}", 0))
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(5):
            return await reader.readline(), writer
    return b"", writer


@pytest.mark.timeout(120)
async def test_few_open_files_end_neither_intake_nor_delivery(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, workers=1, started=False) as outside:
        outside.relay.files = FILES
        await outside.relay.start()
        port = outside.nodes[0].smtp_port
        flood = await asyncio.gather(*(greeting(port, n) for n in range(FLOOD)))
        said = [line[:3] for line, _ in flood]
        assert outside.relay.process is not None
        pid = outside.relay.process.pid
        begun = cpu_seconds(pid)
        await asyncio.sleep(3)
        burnt = cpu_seconds(pid) - begun
        assert outside.relay.process.returncode is None
        open_files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        for line, writer in flood[: FLOOD // 2]:
            if line.startswith(b"220"):
                writer.close()
        async with asyncio.timeout(30):
            for n in range(20):
                while True:
                    with suppress(RefusedError, OSError, EOFError):
                        await submit(port, f"serial-{n:06}")
                        break
                    await asyncio.sleep(0.2)
        await outside.until_empty(30)
        assert len(outside.arrived()) == 20
        for _, writer in flood:
            writer.close()
        assert await outside.relay.terminate() == 0
    greeted, refused = said.count(b"220"), said.count(b"421")
    with capsys.disabled():
        print(f"\n{greeted} greeted, {refused} refused, {open_files} files, {burnt:.2f} s CPU in 3 s")
    assert greeted >= 50
    assert refused + said.count(b"") >= FLOOD - FILES
    assert open_files <= FILES
    assert burnt < 1.5
