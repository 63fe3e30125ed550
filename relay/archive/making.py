"""Making an archive: the database as of one moment, then every file, in one encrypted stream with one name at the end.

A plain copy of the database exists while it is made, in a private folder beside the spool, and is gone after it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from relay import __version__
from relay.archive import postgres
from relay.archive.cipher import ArchiveError, Lock, SealingWriter
from relay.archive.content import kept_files, named_paths
from relay.clock import Clock
from relay.database.backup import backup as copy_sqlite
from relay.ids import Entropy
from relay.settings import Settings

MANIFEST: Final = "manifest.json"
FILES: Final = "files"
SQLITE: Final = "spool.db"
POSTGRES: Final = "spool.pgdump"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Made:
    """A finished archive."""

    file: Path
    octets: int
    files: int
    """How many files beside the database."""


def make_archive(settings: Settings, file: Path, target: Path, lock: Lock, means: tuple[Clock, Entropy]) -> Made:
    """Write the archive of the node whose configuration is `file` to `target`, which must not exist.

    Raises ArchiveError, BackupError.
    """
    clock, entropy = means
    if target.exists():
        raise ArchiveError(f"{target} exists; an archive overwrites nothing")
    part = target.with_name(f"{target.name}.part")
    spool = settings.sqlite_path
    try:
        with tempfile.TemporaryDirectory(prefix=".leak-archive-", dir=spool.parent if spool else None) as folder:
            database = Path(folder) / (SQLITE if spool else POSTGRES)
            if spool is not None:
                copy_sqlite(spool, database, lambda done, total: None)
            else:
                postgres.dump(settings.spool.url, database)
            files = [(kept.place, kept.file.read_bytes()) for kept in kept_files(settings, file)]
            manifest = {
                "format": FORMAT,
                "program": __version__,
                "made": clock.now().isoformat(timespec="seconds"),
                "name": settings.node.name,
                "spool": settings.spool.url if spool is not None else postgres.without_password(settings.spool.url)[0],
                "database": database.name,
                "named": [[one.setting, one.words, str(one.place)] for one in named_paths(settings)],
                "files": {str(place): hashlib.sha256(octets).hexdigest() for place, octets in files},
            }
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                _write(out, SealingWriter(out, lock, entropy), manifest, files, database)
        os.link(part, target)
        _sync(target.parent)
    except OSError as error:
        raise ArchiveError(f"{target}: {error.filename or ''} {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
    return Made(target, target.stat().st_size, len(files))


def _write(out: BinaryIO, sealed: SealingWriter, manifest: dict[str, Any], files: list[Any], database: Path) -> None:
    with tarfile.open(fileobj=cast("BinaryIO", sealed), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
        for place, octets in files:
            _add(tar, f"{FILES}/{place}", octets)
        entry = tarfile.TarInfo(database.name)
        entry.mode, entry.size = 0o600, database.stat().st_size
        with database.open("rb") as content:
            tar.addfile(entry, content)
    sealed.finish()
    out.flush()
    os.fsync(out.fileno())


def _add(tar: tarfile.TarFile, name: str, octets: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o600, len(octets)
    tar.addfile(entry, io.BytesIO(octets))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
