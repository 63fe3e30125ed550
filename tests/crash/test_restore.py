"""A restore that is killed, or finds no room: the spool is the old one or the new one, never half of either."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from shutil import copy

import apsw
import pytest

from relay.database.backup import BackupError, backup, restore
from tests.support.small_disk import small_disk

OLD, NEW = {0, 1, 2}, {0, 1}
RESTORE = """
import os, signal, sys
from pathlib import Path
from relay.database.backup import restore

left = int(sys.argv[1])

def killed(event, arguments):
    global left
    if event in ("os.rename", "os.link", "os.remove"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(killed)
restore(Path(sys.argv[2]), Path(sys.argv[3]), lambda done, total: None)
"""


def spool_of_a_killed_node(folder: Path) -> Path:
    """A spool with three rows, the last of them in its log alone; beside it `copy.db`, a backup with two."""
    folder.mkdir()
    open_one = apsw.Connection(str(folder / "open.db"))
    open_one.execute("PRAGMA journal_mode=WAL").fetchall()
    open_one.execute("CREATE TABLE schema_migration (n); CREATE TABLE t (v); INSERT INTO t VALUES (0), (1)")
    open_one.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    backup(folder / "open.db", folder / "copy.db", lambda _done, _total: None)
    open_one.execute("INSERT INTO t VALUES (2)")
    for suffix in ("", "-wal"):
        copy(folder / f"open.db{suffix}", folder / f"spool.db{suffix}")
    open_one.close()
    return folder / "spool.db"


def values(path: Path) -> set[int]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return {row[0] for row in connection.execute("SELECT v FROM t")}
    finally:
        connection.close()


def test_whenever_a_restore_is_killed_a_whole_spool_is_there(tmp_path: Path) -> None:  # R11
    seen = []
    for steps in count():
        spool = spool_of_a_killed_node(tmp_path / str(steps))
        done = subprocess.run(
            [sys.executable, "-c", RESTORE, str(steps), str(spool.with_name("copy.db")), str(spool)], check=False
        )
        seen.append(values(spool))
        asides = [one for one in spool.parent.glob("spool.db.before-restore-?") if values(one) == OLD]
        assert seen[-1] == OLD or (seen[-1] == NEW and asides)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert seen[0] == OLD
    assert seen[-1] == NEW
    assert len(seen) > 2


@pytest.mark.parametrize("what", ["backup", "restore"])
def test_a_full_disk_is_named_and_changes_nothing(tmp_path: Path, what: str) -> None:  # R11
    source = apsw.Connection(str(tmp_path / "source.db"))
    source.execute("CREATE TABLE schema_migration (n); CREATE TABLE t (v, filling)")
    source.execute("INSERT INTO t VALUES (7, zeroblob(2000000))")
    source.close()
    with small_disk(tmp_path / "small", "500k") as disk:
        old = disk / "spool.db"
        if what == "restore":
            apsw.Connection(str(old)).execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
        with pytest.raises(BackupError, match="no room on its disk"):
            (backup if what == "backup" else restore)(tmp_path / "source.db", old, lambda _done, _total: None)
        assert [one.name for one in disk.iterdir()] == ["spool.db"] * (what == "restore")
        assert what == "backup" or values(old) == {1}
