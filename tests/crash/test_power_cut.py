"""Power cuts on SQLite: what was not synced is dropped, kept, reordered, torn; no accepted message is lost (R02).

`LEAK_POWER_CUTS` makes it longer: 100 is the figure of the documents. Each cut builds several disks.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path

import apsw
import pytest

from relay.account.book import AccountBook
from relay.clock import SystemClock, to_millis
from relay.database.sqlite import SqliteDatabase
from relay.event import EventKind
from relay.ids import SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.state import State
from relay.smtp.reply import remote_reply
from relay.spool.sqlite import SqliteSpool
from relay.spool.work import AttemptRecord, Door, NewMessage, Settlement
from tests.support.power_cut import Disk, RecordingVfs

CUTS = int(os.environ.get("LEAK_POWER_CUTS", "12"))
DISKS = 6
CLOCK = SystemClock()
ENTROPY = SystemEntropy()


def message(number: int) -> NewMessage:
    now = CLOCK.now()
    return NewMessage(
        id=new_spool_id(to_millis(now), ENTROPY),
        tenant=1,
        credential=None,
        door=Door.SMTP,
        envelope=Envelope(
            parse_address("ann@leak.example"), (Recipient(parse_address(f"u{number}@d{number % 5}.example")),)
        ),
        content=b"Subject: x\r\n\r\n" + bytes(str(number), "ascii") * (1 + number * 37 % 900),
        prelude=b"Date: now\r\n",
        accepted_at=now,
        expires_at=now,
        due=now,
    )


class Ledger:
    """What was acknowledged, with the disk of every moment in between."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.accepted: set[SpoolId] = set()
        self.settled: set[SpoolId] = set()
        self.moments: list[tuple[Disk, set[SpoolId], set[SpoolId]]] = []

    def cut_here(self) -> None:
        """Remember the disk as it is, and what had been promised by then."""
        promised = set(self.accepted), set(self.settled)
        self.moments.append((self._disk.snapshot(), *promised))


async def work(spool: SqliteSpool, ledger: Ledger, chance: random.Random) -> None:
    """Accept and settle, several at once, with moments at random in between."""
    me = await spool.register("node", 0)

    async def one(number: int) -> None:
        receipt = await spool.accept(message(number))
        ledger.accepted.add(receipt.id)

    for start in range(0, 120, 6):
        await asyncio.gather(*(one(number) for number in range(start, start + 6)))
        if chance.random() < 0.6:
            parcels = await spool.claim(me, 4)
            await spool.settle(me, [delivered(parcel.seq) for parcel in parcels])
            ledger.settled.update(parcel.id for parcel in parcels)


def delivered(seq: int) -> Settlement:
    outcome = Outcome(Result.DELIVERED, Scope.RECIPIENT, Phase.DOT, DecidedBy.REMOTE, remote_reply(250, ("ok",)))
    attempt = AttemptRecord(1, CLOCK.now(), outcome, "ip1", 5)
    return Settlement(seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=attempt)


async def record(folder: Path, chance: random.Random) -> Ledger:
    disk = Disk()
    vfs = RecordingVfs("recording", disk)
    ledger = Ledger(disk)
    database = await SqliteDatabase.open(folder / "spool.db", vfs="recording")
    accounts = AccountBook(database, CLOCK, ENTROPY)
    await accounts.migrate()
    spool = SqliteSpool(database, CLOCK)
    await spool.migrate()
    moments = random.Random(chance.random())  # the writer's thread has a chance of its own
    disk.on_write = lambda: ledger.cut_here() if moments.random() < max(0.1, CUTS / 400) else None
    await work(spool, ledger, chance)
    disk.on_write = lambda: None
    await accounts.close()
    await spool.close()
    vfs.unregister()
    return ledger


def look(folder: Path, image: dict[str, bytes]) -> tuple[set[str], set[str]]:
    """Open a disk after the cut: (messages there, messages delivered). Raises if the database is not sound."""
    folder.mkdir()
    for name, data in image.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(data)
    connection = apsw.Connection(str(folder / "spool.db"))
    try:
        assert [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]
        whole = {
            row[0]
            for row in connection.execute(
                "SELECT m.id FROM message m WHERE m.size = (SELECT sum(length(data)) FROM content c"
                " WHERE c.message = m.seq) AND EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.seq)"
                " AND EXISTS (SELECT 1 FROM recipient r WHERE r.message = m.seq)"
                " AND EXISTS (SELECT 1 FROM event e WHERE e.message = m.seq)"
            )
        }
        final = {
            row[0]
            for row in connection.execute(
                "SELECT m.id FROM message m JOIN delivery d ON d.message = m.seq WHERE d.state = 10"
            )
        }
    finally:
        connection.close()
    return whole, final


@pytest.mark.timeout(60 + 5 * CUTS)
async def test_power_cuts_lose_nothing_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    (tmp_path / "live").mkdir()
    ledger = await record(tmp_path / "live", chance)
    moments = chance.sample(ledger.moments, min(CUTS, len(ledger.moments)))
    lost = undone = images = unsynced = 0
    for number, (disk, accepted, settled) in enumerate(moments):
        unsynced += sum(map(len, disk.pending.values()))
        for variant, image in enumerate(disk.images(seed + number, DISKS)):
            whole, final = look(tmp_path / f"cut-{number}-{variant}", image)
            images += 1
            lost += len(accepted - whole)
            undone += len(settled - final)
    figures = {"seed": seed, "cuts": len(moments), "disks": images, "unsynced writes": unsynced}
    with capsys.disabled():
        print("\n" + json.dumps({**figures, "accepted and lost": lost, "settled and undone": undone}))
    assert unsynced
    assert lost == 0
    assert undone == 0
