"""A message that kills whatever worker touches it: held after three deaths, and all other mail arrives (R33)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.policy.state import State
from relay.settings import load_settings
from relay.spool.inquiry import QueueFilter
from tests.support.crash_world import RefusedError, World, reply, world

POISON = Path(__file__).parents[1] / "support" / "poison"
OTHERS = 30


async def submit(port: int, serial: str, header: str = "") -> None:
    content = f"From: ann@leak.lab.test\r\nTo: {serial}@plain.lab.test\r\n{header}Subject: x\r\n\r\nA line.\r\n.\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await reply(reader)
        for command in (
            "EHLO client.example\r\n",
            "MAIL FROM:<ann@leak.lab.test>\r\n",
            f"RCPT TO:<{serial}@plain.lab.test>\r\n",
            "DATA\r\n",
            content,
        ):
            writer.write(command.encode())
            await reply(reader)
    finally:
        writer.close()


async def insist(port: int, serial: str) -> None:
    """Submit until it is acknowledged: the worker may just be dying."""
    while True:
        try:
            async with asyncio.timeout(10):
                return await submit(port, serial)
        except (OSError, EOFError, TimeoutError, RefusedError):
            await asyncio.sleep(0.1)


async def unfinished(outside: World) -> list[tuple[str, State]]:
    stores = await open_stores(load_settings(outside.relay.config), SystemClock(), SystemEntropy())
    try:
        return [(one.recipient or "", one.state) for one in await stores.spool.deliveries(QueueFilter())]
    finally:
        await stores.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_poison_is_held_after_three_deaths(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = "sqlite:spool.db"
    if database == "postgres":
        spool = await request.getfixturevalue("postgres_server").create()
    async with world(tmp_path, workers=2, spool=spool, started=False) as outside:
        await outside.relay.start(PYTHONPATH=str(POISON), LEAK_TEST_POISON="1")
        port = outside.nodes[0].smtp_port
        serials = [f"serial-{n:06}" for n in range(OTHERS)]
        await asyncio.gather(*(insist(port, serial) for serial in serials[: OTHERS // 2]))
        # It may kill its worker after its commit, before the answer goes out.
        with suppress(EOFError, OSError):
            await submit(port, "poison", "X-Poison: kill\r\n")
        await asyncio.gather(*(insist(port, serial) for serial in serials[OTHERS // 2 :]))
        async with asyncio.timeout(120):
            while await unfinished(outside) != [("poison@plain.lab.test", State.HELD)]:
                await asyncio.sleep(0.2)
        deaths = outside.relay.log.read_text().count("worker-died")
        assert await outside.relay.terminate() == 0
        arrived = outside.arrived()
    with capsys.disabled():
        print(f"\n{database}: poison held after {deaths} deaths, {len(arrived)} of {OTHERS} others arrived")
    assert set(serials) <= set(arrived)
    assert deaths == 3
