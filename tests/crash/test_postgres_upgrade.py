"""An older spool on PostgreSQL is brought up to date and killed at the statements of it: nothing is lost (R10).

Real processes and a real server: the upgrade is one transaction, so what a dead client began the server takes back, and
whoever comes next does it whole. `LEAK_UPGRADE_MESSAGES=100000` makes the queue longer and kills at every statement.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import asyncpg
import pytest

from relay.clock import SystemClock
from relay.database.postgres import PostgresDatabase
from relay.spool.postgres import MIGRATIONS, PostgresSpool
from tests.support.postgres_server import PostgresServer
from tests.support.relay_process import ROOT

MESSAGES = int(os.environ.get("LEAK_UPGRADE_MESSAGES", "500"))
OLD = 2
"""How many migrations the older program knew."""
KILLED = 77
EVERY = 1 if MESSAGES > 500 else 4
AT_ONCE = 3

UPGRADE = """
import asyncio, os, sys
import relay.database.migrations as migrations
from relay.clock import SystemClock
from relay.database.postgres import PostgresDatabase
from relay.spool.postgres import PostgresSpool
left = int(sys.argv[2])
split = migrations.statements

def counted(sql):
    global left
    for statement in split(sql):
        yield statement
        left -= 1
        if left == 0:
            os._exit(77)

migrations.statements = counted

async def upgrade():
    database = await PostgresDatabase.open(sys.argv[1])
    await PostgresSpool(database, SystemClock()).migrate()
    await database.close()

asyncio.run(upgrade())
"""

FILL = f"""
INSERT INTO incarnation (node, worker, started, heartbeat) VALUES ('old', 0, 1, 1);
INSERT INTO lane (tenant, domain, due) VALUES (1, 'b.example', 1);
INSERT INTO message (id, tenant, door, stream, reverse_path, smtputf8, size, accepted_at, expires_at, received, prelude,
    open)
  SELECT lpad(n::text, 26, '0'), 1, 'smtp', '', 'a@b.example', 0, 4, 1, {1 << 45}, '', '', 1
  FROM generate_series(1, {MESSAGES}) AS n;
INSERT INTO content (message, piece, data) SELECT seq, 0, 'ab\r\n'::bytea FROM message;
INSERT INTO recipient (message, n, address) SELECT seq, 0, 'u@b.example' FROM message;
INSERT INTO delivery (message, n, lane, state, initial, attempts, due, lease)
  SELECT seq, 0, lane.id, CASE WHEN seq % 3 = 0 THEN 2 ELSE 1 END, 1, 0, 1,
    CASE WHEN seq % 3 = 0 THEN incarnation.id END
  FROM message, lane, incarnation;
"""


async def older(server: PostgresServer, folder: Path) -> str:
    """The name of a database with a full queue, as a program left it that knew the first migrations only."""
    folder.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql"))[:OLD]:
        (folder / file.name).write_bytes(file.read_bytes())
    url = await server.create()
    database = await PostgresDatabase.open(url)
    await database.migrate("spool", folder)
    await database.close()
    link = await asyncpg.connect(url)
    await link.execute(FILL)
    await link.close()
    return url.rpartition("/")[2]


async def copied(server: PostgresServer, source: str, name: str) -> str:
    """A database like `source`, which nobody may be using."""
    link = await asyncpg.connect(server.url())
    try:
        await link.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
    finally:
        await link.close()
    return server.url(name)


async def upgrade(url: str, kill_at: int) -> int:
    """Upgrade in a process that ends after its `kill_at`-th statement; its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UPGRADE, url, str(kill_at), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(120):
        return await process.wait()


async def deliverable(url: str) -> int:
    """How many deliveries this program claims, once the leases of the old life are given back."""
    database = await PostgresDatabase.open(url)
    spool = PostgresSpool(database, SystemClock())
    await spool.migrate()
    life = await spool.register("old", 0)
    claimed = 0
    while parcels := await spool.claim(life, 1000):
        claimed += sum(len(parcel.duties) for parcel in parcels)
        assert await spool.content(parcels[0].seq) == b"ab\r\n"
    await spool.close()
    return claimed


@pytest.mark.timeout(300)
async def test_an_upgrade_that_is_killed_loses_nothing(
    postgres_server: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = await older(postgres_server, tmp_path / "older")
    kills, killed = 0, True

    async def one(url: str, kill_at: int) -> bool:
        status = await upgrade(url, kill_at)
        assert status in (0, KILLED)
        assert await deliverable(url) == MESSAGES
        return status == KILLED

    while killed:
        points = [(kills + n) * EVERY + 1 for n in range(AT_ONCE)]
        urls = [await copied(postgres_server, source, f"{source}_at{point}") for point in points]
        ended = await asyncio.gather(*(one(url, point) for url, point in zip(urls, points, strict=True)))
        kills += sum(ended)
        killed = all(ended)
    with capsys.disabled():
        print(f"\n{MESSAGES} queued, killed after each of {kills} statements of the upgrade, 0 lost")
    assert kills >= 5
