"""A front and its relay in two processes, each killed amid letters: none is lost, none mailed twice (R01, R13).

And the same two, the front on a PostgreSQL of its own, from a form that no relay takes yet to "never again".
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import re
from pathlib import Path

import aiohttp

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.settings import load_settings
from tests.support.crash_world import World, world
from tests.support.lone_front import LoneFront, make_front, make_key
from tests.support.postgres_server import PostgresServer
from tests.support.relay_process import RelayProcess

LETTERS = int(os.environ.get("LEAK_FRONT_LETTERS", "24"))
KILLS = int(os.environ.get("LEAK_FRONT_KILLS", "1"))
"""Of each process."""
WRITERS = 4
SECONDS = 150
"""Until a page tells what became of a letter, on a machine that has much else to do."""


async def write_letters(front: LoneFront, sent: dict[str, str]) -> None:
    """Several people write at once; `sent` gets each recipient's status page."""
    names = iter([f"person-{number}@plain.lab.test" for number in range(LETTERS)])

    async def writer() -> None:
        for name in names:
            sent[name] = await front.write(name)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))


async def kill(process: RelayProcess) -> None:
    assert process.process is not None
    process.process.kill()
    await process.process.wait()


async def messages(outside: World) -> int:
    """How many messages the relay ever took."""
    stores = await open_stores(load_settings(outside.relay.config), SystemClock(), SystemEntropy())
    try:
        rows = await stores.database.read(lambda connection: list(connection.execute("SELECT count(*) FROM message")))
    finally:
        await stores.close()
    return int(rows[0][0])


def link_in(outside: World) -> str:
    """The path of the recipient's page, from the only mail that arrived."""
    (arrival,) = outside.lab.inbox.newest_first()
    mail = email.message_from_bytes(arrival.posting.content, policy=email.policy.default)
    body = mail.get_body(("plain",))
    assert body is not None
    found = re.search(r"http://127\.0\.0\.1:\d+(/r/[\w-]+)", body.get_content())
    assert found is not None
    return found[1]


async def test_a_front_on_postgresql_from_the_form_to_never_again(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    spool = await postgres_server.create()
    async with world(tmp_path, workers=1, started=False) as outside, aiohttp.ClientSession() as session:
        key = await make_key(outside.relay.config)
        front = make_front(tmp_path / "front", f"http://127.0.0.1:{outside.nodes[0].http_port}", key, spool)
        try:
            await front.process.start()
            first = await front.write("ann@plain.lab.test")
            await front.until_told(first, "Nothing has been sent yet", SECONDS)
            await outside.relay.start()
            await front.until_told(first, "Their provider has accepted it", SECONDS)
            async with session.post(front.url + link_in(outside), data={"action": "never"}) as answer:
                assert answer.status == 200
            again = await front.write("ann@plain.lab.test", "Once more.")
            await front.until_told(again, "It could not be delivered", SECONDS)
            other = await front.write("bob@plain.lab.test")
            await front.until_told(other, "Their provider has accepted it", SECONDS)
            assert outside.arrived() == {"ann": 1, "bob": 1}
            assert await front.process.terminate() == 0
            assert "ann@" not in front.process.log.read_text(errors="replace")
        finally:
            await front.process.clean_up()


async def test_a_front_and_its_relay_killed_amid_letters(tmp_path: Path) -> None:
    async with world(tmp_path, workers=1, started=False) as outside:
        relay = outside.relay
        key = await make_key(relay.config)
        front = make_front(tmp_path / "front", f"http://127.0.0.1:{outside.nodes[0].http_port}", key)
        try:
            # The front first: it starts, is ready and takes letters while there is no relay.
            await front.process.start()
            sent: dict[str, str] = {}
            first = await front.write("first@plain.lab.test")
            await front.until_told(first, "Nothing has been sent yet", SECONDS)
            await relay.start()
            writing = asyncio.create_task(write_letters(front, sent))
            for turn in range(KILLS):
                for number, process in enumerate((relay, front.process)):
                    mark = LETTERS * (2 * turn + number + 1) // (2 * KILLS + 1)
                    async with asyncio.timeout(120):
                        while len(sent) < mark:
                            await asyncio.sleep(0.01)
                    await kill(process)
                    await process.start()
            async with asyncio.timeout(200):
                await writing
            sent["first@plain.lab.test"] = first
            for page in sent.values():
                await front.until_told(page, "Their provider has accepted it", seconds=SECONDS)
            assert set(outside.arrived()) == {name.partition("@")[0] for name in sent}
            assert await messages(outside) == len(sent), "a letter became two messages"
            async with aiohttp.ClientSession() as session, session.get(f"{front.url}/metrics") as answer:
                assert "leak_relay_calls_total" in await answer.text()
            assert await front.process.terminate() == 0
            log = front.process.log.read_text(errors="replace") + relay.log.read_text(errors="replace")
            assert key not in log
            assert "person-" not in log
        finally:
            await front.process.clean_up()
