"""Hot backup and restore of a SQLite database: whole, verified, and never half in place.

A backup is SQLite's own page-by-page copy from a snapshot, taken while the node works. It is written beside its
final name and renamed when it is complete and has passed an integrity check.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from relay.errors import LeakError

PAGES_AT_ONCE: Final = 2000
"""Pages copied before progress is told."""
_BESIDE: Final = ("-wal", "-shm")
"""Files of a database that was not closed."""


class BackupError(LeakError):
    """The backup or restore was not done; nothing was changed. The text says why."""


def backup(source: Path, target: Path, progress: Callable[[int, int], None]) -> int:
    """Copy the database at `source` to `target` (0600, must not exist); its size in octets.

    `progress` is told pages done and pages in all. Raises BackupError.
    """
    if target.exists():
        raise BackupError(f"{target} exists; a backup overwrites nothing")
    if not source.exists():
        raise BackupError(f"{source}: there is no spool to back up")
    part = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        _copy(source, part, progress)
        check(part)
        _sync(part)
        part.rename(target)
        _sync(target.parent)
    except (OSError, apsw.Error) as error:
        raise BackupError(f"{target}: {_why(error)}") from None
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def restore(source: Path, target: Path, progress: Callable[[int, int], None]) -> Path | None:
    """Put the backup `source` in place of the database at `target`; no node may run on it.

    What was there is kept beside it; its new name is returned. At each moment a whole database, the old or the new one,
    has the name `target`, whenever this ends. Raises BackupError.
    """
    if not source.exists():
        raise BackupError(f"{source}: no such file")
    check(source)
    part = target.with_name(f"{target.name}.restoring")
    aside: Path | None = None
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        _copy(source, part, progress)
        _sync(part)
        if target.exists():
            aside = _keep_aside(target)
        part.rename(target)
        _sync(target.parent)
    except (OSError, apsw.Error) as error:
        raise BackupError(f"{target}: {_why(error)}") from None
    finally:
        part.unlink(missing_ok=True)
    return aside


def rows_of_copy(path: Path, sql: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What a query finds in a database that no node works on, such as one that was set aside. Raises BackupError."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            return list(connection.execute(sql, bindings))
    except apsw.Error as error:
        raise BackupError(f"{path} cannot be read: {error}") from None


def check(path: Path) -> None:
    """Raise BackupError unless the file is a database in which every page is sound (R07)."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except apsw.Error as error:
        raise BackupError(f"{path} is not a sound database: {error}") from None
    if found != ["ok"]:
        raise BackupError(f"{path} is damaged: {'; '.join(map(str, found))}")
    if "schema_migration" not in tables:
        raise BackupError(f"{path} is a database, but not one of this relay")


def _copy(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as origin,
        closing(apsw.Connection(str(target))) as copy,
    ):
        origin.set_busy_timeout(5000)
        # Within one read transaction the copy is of one moment, however long it takes and whoever writes.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        with copy.backup("main", origin, "main") as work:
            while not work.done:
                work.step(PAGES_AT_ONCE)
                progress(work.page_count - work.remaining, work.page_count)
        origin.execute("COMMIT")
        # The copy stands alone: no WAL beside it that could be forgotten.
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()


def _keep_aside(target: Path) -> Path:
    """A second name for the database at `target`, which keeps it when another one takes its place."""
    _fold_log(target)
    number = 1
    while (aside := target.with_name(f"{target.name}.before-restore-{number}")).exists():
        number += 1
    beside = [suffix for suffix in _BESIDE if target.with_name(target.name + suffix).exists()]
    for suffix in ("", *beside):
        os.link(target.with_name(target.name + suffix), aside.with_name(aside.name + suffix))
    for suffix in beside:  # the new database must not find the old one's log
        target.with_name(target.name + suffix).unlink()
    return aside


def _fold_log(path: Path) -> None:
    """Write what a node that was killed left in its WAL into the database, so that one file is all of it.

    A damaged one is left as it is, and keeps its log beside it.
    """
    with suppress(apsw.Error), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: Exception) -> str:
    """What went wrong, in words; of a full disk SQLite's online backup says "not an error"."""
    return "no room on its disk" if isinstance(error, apsw.FullError) else str(error)
