"""An older spool with a full queue is brought up to date and killed at every statement of it: nothing is lost (R10).

SQLite, with real processes. `LEAK_UPGRADE_MESSAGES=100000` makes the queue longer, and kills at every statement instead
of every second one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from relay.clock import SystemClock
from relay.database.sqlite import SqliteDatabase
from relay.errors import SchemaError
from relay.spool.sqlite import MIGRATIONS, SqliteSpool
from tests.support.relay_process import ROOT

MESSAGES = int(os.environ.get("LEAK_UPGRADE_MESSAGES", "500"))
OLD = 3
"""How many migrations the older program knew."""
KILLED = 77
EVERY = 1 if MESSAGES > 500 else 2
AT_ONCE = 6
"""Kill points that are tried side by side, each on a copy of its own."""

UPGRADE = """
import asyncio, os, sys
from pathlib import Path
import apsw
from relay.clock import SystemClock
from relay.database.sqlite import SqliteDatabase
from relay.spool.sqlite import SqliteSpool
left = 0

def passed(cursor, sql, bindings):
    global left
    left -= 1
    if left == 0:
        os._exit(77)
    return True

apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(passed))

async def upgrade(path):
    database = await SqliteDatabase.open(path)
    await SqliteSpool(database, SystemClock()).migrate()
    await database.close()

# A process of its own for each: what is loaded before is what they share.
children = {}
for kill_at in map(int, sys.argv[2:]):
    child = os.fork()
    if child == 0:
        left = kill_at
        asyncio.run(upgrade(Path(sys.argv[1]) / f"at{kill_at}.db"))
        os._exit(0)
    children[child] = kill_at
while children:
    child, status = os.wait()
    print(children.pop(child), os.waitstatus_to_exitcode(status))
"""
"""`FOLDER KILL_AT …`: upgrades `FOLDER/atKILL_AT.db` in a process that ends at that statement; says how each ended."""


def older(folder: Path) -> Path:
    """The migrations an older program came with."""
    folder.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql"))[:OLD]:
        shutil.copy(file, folder)
    return folder


async def fill(path: Path, folder: Path) -> None:
    """A queue as the older program left it: it was not stopped in good order."""
    database = await SqliteDatabase.open(path)
    await database.migrate("spool", folder)

    def work(connection: object) -> None:
        assert isinstance(connection, apsw.Connection)
        connection.execute("INSERT INTO incarnation (node, worker, started, heartbeat) VALUES ('old', 0, 1, 1)")
        connection.execute("INSERT INTO lane (tenant, domain, due) VALUES (1, 'b.example', 1)")
        for seq in range(1, MESSAGES + 1):
            connection.execute(
                "INSERT INTO message (seq, id, tenant, door, stream, reverse_path, smtputf8, size, accepted_at,"
                " expires_at, received, prelude, open)"
                " VALUES (?, ?, 1, 'smtp', '', 'a@b.example', 0, 4, 1, ?, x'', x'', 1)",
                (seq, f"{seq:026}", 1 << 45),
            )
            connection.execute("INSERT INTO content (message, piece, data) VALUES (?, 0, x'61620d0a')", (seq,))
            connection.execute("INSERT INTO recipient (message, n, address) VALUES (?, 0, 'u@b.example')", (seq,))
            connection.execute(
                "INSERT INTO delivery (message, n, lane, state, initial, attempts, due, lease)"
                " VALUES (?, 0, 1, ?, 1, 0, 1, ?)",
                (seq, 2 if seq % 3 == 0 else 1, 1 if seq % 3 == 0 else None),
            )

    await database.write(work)
    await database.close()


async def upgrade(folder: Path, points: Sequence[int]) -> dict[int, int]:
    """Upgrade copies, each in a process that ends at a statement of its own; how each ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        UPGRADE,
        str(folder),
        *map(str, points),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return {int(point): int(status) for point, status in map(str.split, said.decode().splitlines())}


async def deliverable(path: Path) -> int:
    """How many deliveries this program claims, once the leases of the old life are given back."""
    database = await SqliteDatabase.open(path)
    spool = SqliteSpool(database, SystemClock())
    await spool.migrate()
    assert await database.examine() == ""
    life = await spool.register("old", 0)
    claimed = 0
    while parcels := await spool.claim(life, 1000):
        claimed += sum(len(parcel.duties) for parcel in parcels)
        assert await spool.content(parcels[0].seq) == b"ab\r\n"
    await spool.close()
    return claimed


@pytest.mark.timeout(300)
async def test_an_upgrade_that_is_killed_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = tmp_path / "old.db"
    folder = older(tmp_path / "older")
    await fill(queue, folder)
    kills, killed = 0, True

    while killed:
        points = [(kills + n) * EVERY + 1 for n in range(AT_ONCE)]
        for point in points:
            shutil.copy(queue, tmp_path / f"at{point}.db")
        statuses = await upgrade(tmp_path, points)
        assert set(statuses.values()) <= {0, KILLED}
        for point in points:
            path = tmp_path / f"at{point}.db"
            assert await deliverable(path) == MESSAGES
            path.unlink()
        ended = [status == KILLED for status in statuses.values()]
        kills += sum(ended)
        killed = all(ended)
    with capsys.disabled():
        print(f"\n{MESSAGES} queued, killed at each of {kills} statements of the upgrade, 0 lost")
    assert kills >= 20


async def test_an_older_program_refuses_the_upgraded_spool(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "t.db")
    await SqliteSpool(database, SystemClock()).migrate()
    with pytest.raises(SchemaError, match="too old"):
        await database.migrate("spool", older(tmp_path / "older"))
    await database.close()
