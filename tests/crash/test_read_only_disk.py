"""A disk that the kernel turns read-only under load, as after an I/O error of its own (R05).

The file system is a real ext4 in a file, whose error is asked of the kernel; it needs root, so run it by hand with
`LEAK_READ_ONLY=1`. What any user can run is `tests/unit/database/test_damage.py`: every connection refuses to write.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.support.crash_world import Ledger, RefusedError, load, submit, world

MEGABYTES = 96


class Disk:
    """An ext4 in a file. A kernel that met an error on it lets nobody write before it was repaired and mounted anew."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image

    def mount(self) -> None:
        _run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder))

    def unmount(self) -> None:
        _run("umount", str(self.folder))

    def repair(self) -> None:
        """As an operator does; status 1 means that something was repaired."""
        assert subprocess.run(["e2fsck", "-fy", str(self._image)], capture_output=True).returncode in {0, 1}

    def turn_read_only(self) -> None:
        device = Path(os.fsdecode(_run("findmnt", "-no", "SOURCE", str(self.folder)).strip())).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1\n")


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    _run("mkfs.ext4", "-q", str(image))
    disk = Disk(image, folder / "disk")
    disk.folder.mkdir()
    disk.mount()
    try:
        yield disk
    finally:
        with suppress(subprocess.CalledProcessError):
            _run("umount", "-l", str(disk.folder))


async def ready(port: int) -> int:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/readyz") as answer:
        return answer.status


if os.environ.get("LEAK_READ_ONLY"):

    @pytest.mark.timeout(180)
    async def test_a_disk_that_turns_read_only_loses_nothing(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with small_disk(tmp_path) as disk:
            async with world(tmp_path, workers=1, spool="sqlite:disk/spool.db") as outside:
                relay, port = outside.relay, outside.nodes[0].smtp_port
                ledger = Ledger(1_000_000, pause=0.02)
                loading = asyncio.create_task(load(outside, ledger))
                await outside.until_acknowledged(ledger, 200)
                assert relay.process is not None
                pid = relay.process.pid
                disk.turn_read_only()
                async with asyncio.timeout(30):
                    while await ready(outside.nodes[0].http_port) != 503:
                        await asyncio.sleep(0.1)
                with pytest.raises(RefusedError, match=r"^451 "):
                    await submit(port, "serial-refused")
                refused_at = len(ledger.acknowledged)
                await asyncio.sleep(3)  # no crash loop: the same process stands there and says no
                assert (relay.process.pid, relay.process.returncode) == (pid, None)
                assert len(ledger.acknowledged) == refused_at
                ledger.end()
                await loading
                assert await relay.terminate() in {0, 1}

                disk.unmount()
                disk.repair()
                disk.mount()
                await relay.start()
                await outside.until_empty(60)
                await submit(port, "serial-after")
                await outside.until_empty(60)
                arrived = outside.arrived()
        lost = ledger.acknowledged - set(arrived)
        with capsys.disabled():
            print(
                f"\nacknowledged {len(ledger.acknowledged)}, lost {len(lost)}, refused {dict(ledger.refused)},"
                f" twice {sum(count - 1 for count in arrived.values())}"
            )
        assert not lost
        assert arrived["serial-after"] == 1
        assert {"451", "503"} <= set(ledger.refused)
