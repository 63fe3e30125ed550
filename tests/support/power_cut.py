"""A file layer that remembers what was written and what was synced, and builds what a power cut could have left.

A VFS shim of SQLite: every write, truncation and sync of the database and its WAL is recorded in order. After a
cut at any moment the disk may hold, beside everything synced, any subset of the later writes, in any order, and
the last one torn at a sector: `images` makes such disks from a seed (R02).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Written:
    """One write; `data` None is a truncation to `offset`."""

    offset: int
    data: bytes | None


@dataclass
class Disk:
    """What reached the files, by name: `durable` was synced, `pending` was not yet."""

    durable: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list[Written]] = field(default_factory=dict)
    on_write: Callable[[], None] = field(default=lambda: None)
    """Called after each write, in the thread that wrote: a moment at which the power may go."""

    def write(self, name: str, written: Written) -> None:
        self.pending.setdefault(name, []).append(written)
        self.on_write()

    def sync(self, name: str) -> None:
        image = self.durable.setdefault(name, bytearray())
        for written in self.pending.pop(name, []):
            apply(image, written)

    def delete(self, name: str) -> None:
        self.durable.pop(name, None)
        self.pending.pop(name, None)

    def snapshot(self) -> Disk:
        """The disk of this moment."""
        return Disk(
            {name: bytearray(image) for name, image in self.durable.items()},
            {name: list(writes) for name, writes in self.pending.items()},
        )

    def images(self, seed: int, count: int) -> Iterator[dict[str, bytes]]:
        """`count` disks that a cut now could leave; the first keeps none of the unsynced writes, the second all."""
        chance = random.Random(seed)
        for number in range(count):
            image = {name: bytearray(data) for name, data in self.durable.items()}
            for name, writes in self.pending.items():
                kept = [one for one in writes if number == 1 or (number > 1 and chance.random() < 0.5)]
                if number > 1:
                    chance.shuffle(kept)
                for position, written in enumerate(kept):
                    last = number > 1 and position == len(kept) - 1
                    apply(image.setdefault(name, bytearray()), torn(written, chance) if last else written)
            yield {name: bytes(data) for name, data in image.items()}


def apply(image: bytearray, written: Written) -> None:
    """One write on a file's bytes."""
    if written.data is None:
        del image[written.offset :]
        return
    if len(image) < written.offset:
        image.extend(bytes(written.offset - len(image)))
    image[written.offset : written.offset + len(written.data)] = written.data


def torn(written: Written, chance: random.Random) -> Written:
    """The write cut off at some sector."""
    if written.data is None:
        return written
    sectors = len(written.data) // SECTOR
    return Written(written.offset, written.data[: SECTOR * chance.randint(0, sectors)])


class RecordingVfs(apsw.VFS):
    """Passes everything through and tells the disk. Registered under `name` until `unregister`."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return RecordingFile(name, flags, self.disk)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.disk.delete(Path(filename).name)


class RecordingFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, filename: Any, flags: list[int], disk: Disk) -> None:
        super().__init__("", filename, flags)
        path = filename.filename() if isinstance(filename, apsw.URIFilename) else filename
        self._name = Path(path).name if path else ""
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        if self._name:
            self._disk.write(self._name, Written(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        if self._name:
            self._disk.write(self._name, Written(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        if self._name:
            self._disk.sync(self._name)
