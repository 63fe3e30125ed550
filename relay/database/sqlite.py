"""SQLite, through apsw: WAL, synchronous=FULL, one writer thread with group commit and one reader thread.

SQLite before 3.51.3 has a race in resetting the WAL between several connections, so its version is checked.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import apsw

from relay.database.aside import Aside
from relay.database.contract import Connection, Database
from relay.database.group_commit import GroupCommit, GroupCommitWriter, Opener, TransactionalConnection
from relay.database.migrations import apply_migrations, read_migrations
from relay.database.reader import ReadOpener, SqliteReader, SqliteReaderThread
from relay.errors import LeakError, SchemaError, SpoolFullError, SpoolUnavailableError
from relay.log import Log

T = TypeVar("T")

_log = Log("database")

MINIMUM_VERSION: Final = (3, 51, 3)
_BUSY_MILLISECONDS: Final = 5000
_CUTS: Final = 10
_CUT_AGAIN: Final = 0.2
"""How often a WAL that is in use is tried to be cut, and seconds in between."""
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-16000",
    "PRAGMA wal_autocheckpoint=2000",
)


def check_sqlite_version() -> None:
    """Raise SpoolUnavailableError if the SQLite that apsw bundles has the WAL race."""
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < MINIMUM_VERSION:
        raise SpoolUnavailableError(
            f"SQLite {version} is too old: {'.'.join(map(str, MINIMUM_VERSION))} fixed a race in the WAL"
        )


class _SqliteOpener:
    """Opens connections to one file, and holds the lock that orders writers of several processes."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self._path = path
        self._vfs = vfs
        self.damage = ""
        self._lock = os.open(f"{path}-writer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def open(self) -> TransactionalConnection:
        return cast("TransactionalConnection", self._open())

    def _open(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), vfs=self._vfs)
        connection.set_busy_timeout(_BUSY_MILLISECONDS)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    def cut_log(self) -> bool:
        """Move what the WAL alone has into the file and cut the WAL; False while anybody reads or writes."""
        connection = self._open()
        try:
            # Whoever accepts mail must not wait for a reader that we wait for.
            connection.set_busy_timeout(0)
            ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return not busy
        except apsw.BusyError:
            return False
        finally:
            connection.close()

    def open_reader(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        connection.set_busy_timeout(_BUSY_MILLISECONDS)
        return connection

    def lock(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def translate(self, error: BaseException) -> LeakError | None:
        if isinstance(error, apsw.FullError):
            return SpoolFullError("no room on the spool's disk")
        if isinstance(error, apsw.ConstraintError | apsw.SQLError | apsw.MismatchError | apsw.BindingsError):
            return None  # a mistake of that unit's, not of the database's
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            self.damage = damage_words(self._path, str(error))
            return SpoolUnavailableError(self.damage)
        if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
            return SpoolUnavailableError(f"{self._path} cannot be written: {error}; check its owner, mode and mount")
        if isinstance(error, apsw.Error | OSError):
            return SpoolUnavailableError(f"SQLite: {error}")
        return None

    def close(self) -> None:
        os.close(self._lock)


class SqliteDatabase:
    """One SQLite file; open it with `SqliteDatabase.open`.

    `writer` makes what runs the write transactions; `_make_reader`, what reads.
    """

    dialect: Final = "sqlite"

    def __init__(
        self, path: Path, *, vfs: str | None = None, writer: Callable[[Opener], GroupCommit] = GroupCommitWriter
    ) -> None:
        self.path = path
        self._opener = _SqliteOpener(path, vfs)
        self._writer = writer(self._opener)
        self._reader = self._make_reader(self._opener, "spool-reader")

    def _make_reader(self, opener: ReadOpener, name: str) -> SqliteReader:
        return SqliteReaderThread(opener, name)

    @classmethod
    async def open(
        cls, path: Path, *, vfs: str | None = None, writer: Callable[[Opener], GroupCommit] = GroupCommitWriter
    ) -> Self:
        """The database at `path`; folder and file are made (0700, 0600) if missing."""
        check_sqlite_version()
        try:
            _make_file(path)
            database = cls(path, vfs=vfs, writer=writer)
        except OSError as error:
            raise SpoolUnavailableError(f"{path}: cannot be opened: {error.strerror}") from None
        try:
            await database.write(_nothing)
        except BaseException:
            await database.close()
            raise
        return database

    async def write(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        return cast("T", await self._writer.run(work, patience))

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._reader.run(work)

    def aside(self) -> Database:
        return Aside(self, self._make_reader(self._opener, "spool-aside"))

    async def migrate(self, component: str, folder: Path) -> list[str]:
        migrations = read_migrations(folder)

        def work(connection: Connection) -> list[str]:
            return apply_migrations(connection, component, migrations)

        try:
            return await self.write(work)
        except apsw.SQLError as error:
            raise SchemaError(f"{component}: a migration failed: {error}") from None

    async def cut_log(self) -> bool:
        for _ in range(_CUTS):
            try:
                if await asyncio.to_thread(self._opener.cut_log):
                    return True
            except apsw.Error as error:
                raise SpoolUnavailableError(f"SQLite: {error}") from None
            await asyncio.sleep(_CUT_AGAIN)
        return False

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()
        self._opener.close()

    @property
    def damage(self) -> str:
        """What is known to be wrong with the file, in words for an operator; empty when nothing is."""
        return self._opener.damage

    async def examine(self) -> str:
        """Read every page once, beside whatever else is done, and say what is damaged; `damage` keeps it (R07).

        Cancelling ends the reading. Found is what breaks the database's structure: SQLite keeps no checksums.
        """
        connection = await asyncio.to_thread(self._opener.open_reader)
        reading = asyncio.create_task(asyncio.to_thread(_quick_check, connection))
        try:
            found = await asyncio.shield(reading)
        except asyncio.CancelledError:
            connection.interrupt()
            await asyncio.wait([reading])
            raise
        finally:
            connection.close()
        if found:
            self._opener.damage = damage_words(self.path, found)
        return self.damage

    @property
    def failure(self) -> LeakError | None:
        """Why the last transaction failed; None since one was committed."""
        return self._writer.failure

    def free_bytes(self) -> int:
        """Bytes an unprivileged process may still write beside the file."""
        try:
            figures = os.statvfs(self.path.parent)
        except OSError as error:
            raise SpoolUnavailableError(f"{self.path.parent}: {error.strerror}") from None
        return figures.f_bavail * figures.f_frsize


def _make_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _quick_check(connection: apsw.Connection) -> str:
    """The first complaint about the file; empty when there is none."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return str(error)
    except apsw.Error:
        return ""  # busy, or interrupted: whatever else is wrong is met by those who read and write
    return "" if found == ["ok"] else "; ".join(found).replace("\n", " ")


def damage_words(path: Path, found: str) -> str:
    """What an operator reads about a damaged file."""
    return f"{path} is damaged ({found}); new mail is refused: stop the node and restore a backup (leak restore)"


def _nothing(connection: Connection) -> Any:
    return None
