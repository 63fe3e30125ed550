"""Private files: keys and secrets that only their owner may read.

Guarantees: a file is there whole or not at all, has mode 0600 whatever the umask, is never overwritten
unless its replacement is asked for, and is not read when others could read it too.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST_BYTES: Final = 64 * 1024


class NotPrivateError(PermissionError):
    """Others than the owner may use the file; the text gives the command that repairs it."""


def make_private_folder(folder: Path) -> None:
    """The folder, made with mode 0700 if it is not there; missing parents get the usual mode."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private_file(path: Path, data: bytes) -> None:
    """Write a new file at once and durably; FileExistsError if something bears the name."""
    draft = _write_draft(path, data)
    try:
        # A link, unlike a rename, fails when the name is taken.
        os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def replace_private_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of an existing file, at once and durably: a reader sees the old or the new one whole."""
    draft = _write_draft(path, data)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise
    _sync_folder(path.parent)


def _write_draft(path: Path, data: bytes) -> Path:
    """A new private file beside `path`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink()
        raise
    return draft


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_private_file(path: Path) -> bytes:
    """Its content, 64 KiB at most. Raises NotPrivateError and what opening a file raises."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _OTHERS:
            raise NotPrivateError(f"{path} has mode {mode:04o}; run `chmod 600 {path}`")
        return file.read(_MOST_BYTES)
