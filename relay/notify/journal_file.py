"""The journal's file: JSON lines appended and made durable, with the position they reach kept beside it.

Guarantees: a line is there whole or not at all after a crash, one process writes at a time, and a file that was moved
away or removed for rotation is noticed and begun anew. The position stands in `FILE.position`, and in each line.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from relay.event.feed import BEGINNING, Position, parse_cursor

MODE: Final = 0o640
"""Addresses stand in it: for its owner and the shipper's group."""
_TAIL: Final = 1024 * 1024
"""Octets at the end of a file in which its last line is looked for."""


class JournalFile:
    """Appends to a file; every method does I/O and belongs into a thread. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def open(self) -> Position | None:
        """Open the file for us alone, and the position to go on from; None for a journal that begins.

        Raises BlockingIOError while another process writes it.
        """
        self._open()
        return max(filter(None, (self._noted(), self._last_line())), default=None)

    def append(self, lines: Sequence[str], reached: Position) -> None:
        """Write lines and make them durable, then note the position they reach."""
        if self._handle is None or self._was_moved():
            self.close()
            self._open()
        if self._handle is None:
            raise OSError("the journal is not open")
        data = "".join(line + "\n" for line in lines).encode()
        begun = os.fstat(self._handle).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            os.fsync(self._handle)
        except OSError:
            # Half a line would spoil the next one.
            with suppress(OSError):
                os.ftruncate(self._handle, begun)
            raise
        self.note(reached)

    def note(self, reached: Position) -> None:
        """Write the position beside the file, as a whole or not at all."""
        draft = self._path.with_name(f".{self._path.name}.position")
        draft.write_text(f"{reached}\n", encoding="ascii")
        draft.replace(self._path.with_name(f"{self._path.name}.position"))

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        self._handle = handle

    def _was_moved(self) -> bool:
        """Whether the path names another file by now, or none."""
        if self._handle is None:
            return True
        try:
            there, ours = self._path.stat(), os.fstat(self._handle)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _noted(self) -> Position | None:
        try:
            return parse_cursor(self._path.with_name(f"{self._path.name}.position").read_text(encoding="ascii").strip())
        except FileNotFoundError:
            return None
        except (ValueError, UnicodeDecodeError):
            return BEGINNING

    def _last_line(self) -> Position | None:
        """The position of the last whole line; what a crash left behind it is cut off."""
        if self._handle is None:
            return None
        size = os.fstat(self._handle).st_size
        start = max(0, size - _TAIL)
        tail = os.pread(self._handle, size - start, start)
        end = tail.rfind(b"\n") + 1
        if end < len(tail):
            os.ftruncate(self._handle, start + end)
        line = tail[:end].rstrip(b"\n").rpartition(b"\n")[2]
        try:
            return parse_cursor(json.loads(line)["cursor"])
        except (ValueError, KeyError, TypeError):
            return None
