"""A relay in processes of its own, as an operator runs it: started, killed and watched from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

GONE = (FileNotFoundError, ProcessLookupError)
"""What reading under /proc raises when a process has ended: before the file is opened, or before it is read."""
COMMAND = (sys.executable, "-P", "-c", "import sys; from relay.cli import main; sys.exit(main())")
ROOT = Path(__file__).parents[2]


def write_toml(path: Path, data: dict[str, dict[str, Any]]) -> None:
    """Write sections of plain values and lists; tables inside lists become [[section.key]]."""
    lines: list[str] = []
    for section, values in data.items():
        tables = {key: value for key, value in values.items() if isinstance(value, list) and _is_tables(value)}
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items() if key not in tables]
        for key, items in tables.items():
            for item in items:
                lines.append(f"[[{section}.{key}]]")
                lines += [f"{name} = {_toml(value)}" for name, value in item.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _is_tables(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, dict) for item in value)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def resident(pid: int) -> int:
    """Memory of a process, in kilobytes."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass
class RelayProcess:
    """`leak run` on a configuration; `processes` remembers every one that was started, to end what is left."""

    config: Path
    http_port: int
    log: Path
    files: int = 0
    """Open files each process may have; 0 = what the system grants."""
    folder: Path = ROOT
    """Where it is started."""
    process: asyncio.subprocess.Process | None = None
    started: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, *, wait: bool = True, **environment: str) -> None:
        """Start and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(("sh", "-c", 'ulimit -n "$0" && exec "$@"', str(self.files)) if self.files else ()),
                *COMMAND,
                "run",
                "--config",
                str(self.config),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        self.started.append(self.process)
        if wait:
            await self.ready()

    async def ready(self, seconds: float = 150) -> None:
        async with asyncio.timeout(seconds), aiohttp.ClientSession() as client:
            while True:
                assert self.process is not None
                assert self.process.returncode is None, f"ended with {self.process.returncode}: {self.tail()}"
                try:
                    async with client.get(f"http://127.0.0.1:{self.http_port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers, as the kernel knows them."""
        assert self.process is not None
        pid = self.process.pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except GONE:
            return []

    def kill_worker(self, index: int) -> None:
        """kill -9 of one worker."""
        workers = self.workers
        if workers:
            with suppress(ProcessLookupError):  # it may have ended in this moment
                os.kill(workers[index % len(workers)], signal.SIGKILL)

    async def kill_supervisor(self) -> list[int]:
        """kill -9 of the supervisor; returns the workers it leaves behind."""
        assert self.process is not None
        orphans = self.workers
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        return orphans

    async def terminate(self, seconds: float = 45) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.terminate()
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def clean_up(self) -> None:
        """End whatever is left of what was started here."""
        for process in self.started:
            if process.returncode is None:
                process.kill()
                await process.wait()


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except GONE:
        return False
