"""Putting an archive back, into a folder that holds no configuration yet: by another host name if need be.

Everything is unpacked into a draft folder, compared with the manifest and examined; only then does it get its place.
Nothing that exists is overwritten. Paths, spool and host name in the configuration become those of the new place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

from relay.archive import postgres
from relay.archive.cipher import ArchiveError, Key, OpeningReader
from relay.archive.content import CONFIGURATION
from relay.archive.making import FILES, FORMAT, MANIFEST, POSTGRES, SQLITE
from relay.database.backup import check as check_sqlite
from relay.database.backup import restore as put_sqlite
from relay.errors import ConfigurationError
from relay.settings import Settings, load_settings

_MOST_MANIFEST: Final = 16 * 1024 * 1024
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """Where an archive goes: folder of the configuration, and what differs from before ("" = as before)."""

    folder: Path
    host_name: str = ""
    spool: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it."""

    file: Path
    """The configuration."""
    made: str
    name: str
    spool: str
    files: int
    remarks: tuple[str, ...]
    """What a person has to see to."""


def check_archive(file: Path, key: Key) -> Mapping[str, Any]:
    """Open an archive, compare and examine all of it, put nothing anywhere: its manifest. Raises ArchiveError."""
    with tempfile.TemporaryDirectory(prefix=".leak-archive-") as folder:
        return _unpacked(file, key, Path(folder))


def restore_archive(file: Path, key: Key, target: Target) -> Restored:
    """Put it all in place. Raises ArchiveError, BackupError, and then the folder is as it was."""
    configuration = target.folder / CONFIGURATION
    if configuration.exists():
        raise ArchiveError(f"{configuration} exists; restore into a folder without a configuration")
    target.folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".leak-restore-", dir=target.folder.parent) as draft:
            manifest = _unpacked(file, key, Path(draft))
            return _put(manifest, Path(draft), target)
    except OSError as error:
        raise ArchiveError(f"{error.filename or target.folder}: {error.strerror or error}") from None


def _put(manifest: Mapping[str, Any], draft: Path, target: Target) -> Restored:
    files = draft / FILES
    text = (files / CONFIGURATION).read_text(encoding="utf-8")
    spool = target.spool or _new_spool(manifest["spool"])
    changes = {words: place for _, words, place in manifest["named"]} | {manifest["spool"]: spool}
    if target.host_name:
        changes[manifest["name"]] = target.host_name
    changed = replace_values(text, changes)
    (files / CONFIGURATION).write_text(changed, encoding="utf-8")
    try:
        settings = load_settings(files / CONFIGURATION)
    except ConfigurationError as error:
        raise ArchiveError(f"the archive's configuration cannot be used: {error}") from None
    remarks = list(_remarks(settings, manifest, spool, files))
    for place in manifest["files"]:
        if (target.folder / place).exists():
            raise ArchiveError(f"{target.folder / place} exists; nothing is overwritten")
    target.folder.mkdir(mode=0o700, exist_ok=True)
    _load_database(manifest, draft, settings, target)
    for place in sorted(manifest["files"], key=lambda one: str(one) == CONFIGURATION):  # the configuration last
        goal = target.folder / place
        _private_folders(target.folder, goal.parent)
        _copy_private(files / place, goal)
    return Restored(
        target.folder / CONFIGURATION,
        manifest["made"],
        settings.node.name,
        spool,
        len(manifest["files"]),
        tuple(remarks),
    )


def _copy_private(source: Path, goal: Path) -> None:
    """A new file that nobody else could read at any moment; what stands there, a link too, is an OSError."""
    descriptor = os.open(goal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with source.open("rb") as content, os.fdopen(descriptor, "wb") as out:
        shutil.copyfileobj(content, out, _PIECE)


def _remarks(settings: Settings, manifest: Mapping[str, Any], spool: str, files: Path) -> list[str]:
    """What the new configuration says otherwise than it should, as by the environment or by ${…}."""
    found = []
    for setting, words, place in manifest["named"]:
        if f'"{words}"' not in (files / CONFIGURATION).read_text(encoding="utf-8") and not (files / place).exists():
            found.append(f"{setting}: {words} is not in the archive")
    if settings.spool.url != spool:
        found.append(f"spool.url: the configuration says {settings.spool.url} and the database is in {spool}")
    return found


def _load_database(manifest: Mapping[str, Any], draft: Path, settings: Settings, target: Target) -> None:
    folder, named = target.folder, target.spool
    database = draft / manifest["database"]
    if manifest["database"] == POSTGRES:
        if settings.sqlite_path is not None:
            raise ArchiveError("this archive is of PostgreSQL: name an empty database with --spool postgresql://…")
        postgres.load(settings.spool.url, database)
        return
    if settings.sqlite_path is None:
        raise ArchiveError("this archive is of SQLite: --spool must be sqlite:…")
    # The settings were read in the draft; a relative spool lies below the new folder.
    words = settings.spool.url.removeprefix("sqlite:").removeprefix("//")
    goal = folder / words
    # An archive made by a stranger to our public key could name any file of this machine.
    if settings.spool.url != named and not goal.resolve().is_relative_to(folder.resolve()):
        raise ArchiveError(f"the archive puts its database at {goal}: if that is right, name it with --spool")
    if goal.exists():
        raise ArchiveError(f"{goal} exists; name another spool with --spool")
    put_sqlite(database, goal, lambda done, total: None)


def _new_spool(url: str) -> str:
    """A file of SQLite below the new folder; a server's database stays where it is named."""
    return "sqlite:spool/spool.db" if url.startswith("sqlite:") else url


def _private_folders(top: Path, folder: Path) -> None:
    for part in reversed([folder, *folder.parents]):
        if part.is_relative_to(top) and part != top:
            part.mkdir(mode=0o700, exist_ok=True)


def replace_values(text: str, changes: Mapping[str, str]) -> str:
    """The configuration with whole values replaced wherever they stand, and its comments and order kept."""
    for old, new in changes.items():
        if old != new:
            for mark in ('"', "'"):
                text = text.replace(f"{mark}{old}{mark}", json.dumps(new))
    return text


def _unpacked(file: Path, key: Key, folder: Path) -> Mapping[str, Any]:
    """The archive's content in `folder`, all of it compared; the manifest."""
    try:
        with file.open("rb") as sealed:
            reader = OpeningReader(sealed, key)
            with tarfile.open(fileobj=cast("BinaryIO", reader), mode="r|") as tar:
                manifest = _manifest(tar)
                found: dict[str, str] = {}
                while (entry := tar.next()) is not None:
                    found[entry.name] = _take(tar, entry, folder, manifest)
            while reader.read(_PIECE):  # a cut at the very end is noticed only there
                pass
    except tarfile.TarError as error:
        raise ArchiveError(f"{file}: {error}") from None
    except OSError as error:
        raise ArchiveError(f"{error.filename or file}: {error.strerror or error}") from None
    wanted = {f"{FILES}/{place}": digest for place, digest in manifest["files"].items()}
    if found.pop(manifest["database"], None) is None or found != wanted:
        raise ArchiveError(f"{file}: what it holds is not what its manifest says")
    if manifest["database"] == SQLITE:
        check_sqlite(folder / SQLITE)
    else:
        postgres.check(folder / POSTGRES)
    return manifest


def _manifest(tar: tarfile.TarFile) -> dict[str, Any]:
    entry = tar.next()
    content = tar.extractfile(entry) if entry is not None and entry.name == MANIFEST else None
    if content is None:
        raise ArchiveError("the archive has no manifest")
    try:
        manifest = json.loads(content.read(_MOST_MANIFEST))
    except (ValueError, RecursionError):
        raise ArchiveError("the archive's manifest cannot be read") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArchiveError("the archive was made by a newer program")
    if not _is_whole(manifest):
        raise ArchiveError("the archive's manifest cannot be read")
    places = [*manifest["files"], *(place for _, _, place in manifest["named"])]
    for place in places:
        path = PurePosixPath(place)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in place:
            raise ArchiveError(f"the archive names a place outside of its folder: {place}")
    if manifest["database"] not in (SQLITE, POSTGRES):
        raise ArchiveError("the archive's database is of a kind this program does not know")
    return manifest


def _is_whole(manifest: Mapping[str, Any]) -> bool:
    """Whether everything that is read of a manifest is there, and text."""
    texts = [manifest.get(name) for name in ("made", "name", "spool", "database")]
    files, named = manifest.get("files"), manifest.get("named")
    if not isinstance(files, dict) or not isinstance(named, list):
        return False
    rows = [row if isinstance(row, list) and len(row) == 3 else [None] for row in named]
    return all(isinstance(one, str) for one in (*texts, *files.values(), *(word for row in rows for word in row)))


def _take(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path, manifest: Mapping[str, Any]) -> str:
    """Write one file of the manifest into the draft; its digest."""
    known = entry.name == manifest["database"] or entry.name.removeprefix(f"{FILES}/") in manifest["files"]
    # A sparse entry of a few octets would fill the disk.
    content = tar.extractfile(entry) if entry.isreg() and not entry.issparse() and known else None
    if content is None:
        raise ArchiveError(f"the archive holds {entry.name}, of which its manifest does not speak")
    goal = folder / entry.name
    goal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(goal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while piece := content.read(_PIECE):
            digest.update(piece)
            out.write(piece)
    return digest.hexdigest()
