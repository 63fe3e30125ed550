"""Limits: counted together, kept under keys that are only in memory; many against one, and one against many."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

import aiohttp
import pytest

from relay.database.contract import Connection
from relay.database.sqlite import SqliteDatabase
from relay.ids import SeededEntropy
from relay.key_memory import SIZE, KeyMemory, make_key_memory
from tests.support.front import Front, running_front, with_limits
from tests.support.hand_clock import HandClock
from tests.support.relay_in_memory import HesitantRelay
from tests.support.visitor import Visitor
from web.copies import MOST_RECIPIENTS, Copies, looks_of
from web.letter_table import DatabaseLetterStore
from web.limit_keys import LimitKeys, Period
from web.limits import (
    PAIR_DAY,
    PILE_ON,
    PREVIEWS,
    RECIPIENT_DAY,
    SENDER_DAY,
    SITE,
    TICKETS,
    LetterLimits,
    PreviewLimits,
)
from web.mailbox import mailbox_of
from web.organisations import Organisations

LETTER = (
    "I have wanted to tell you for a long time how much it meant to me that you stayed late that evening and listened."
)


@dataclass(slots=True)
class Bench:
    """Limits over a real database."""

    database: SqliteDatabase
    clock: HandClock
    limits: LetterLimits
    keys: LimitKeys

    async def goes(self, sender: str, recipient: str) -> bool:
        """Whether a letter will arrive, as far as limits go."""
        taken = await self.limits.take(sender.encode(), recipient)
        return taken.wait is None and not taken.over


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = await SqliteDatabase.open(tmp_path / "front.db")
    await DatabaseLetterStore(database).prepare()
    clock = HandClock()
    keys = LimitKeys(KeyMemory(), clock, SeededEntropy(1))
    yield Bench(database, clock, LetterLimits(database, keys, clock), keys)
    await database.close()


async def test_a_sender_writes_so_many_letters_a_day_and_one_a_minute(bench: Bench) -> None:  # S17, RCP 5
    assert await bench.goes("me", "r0@example.org")
    assert not await bench.goes("me", "r1@example.org"), "within the same minute"
    for n in range(1, SENDER_DAY.count):
        bench.clock.move(60)
        assert await bench.goes("me", f"r{n}@example.org")
    bench.clock.move(60)
    wait = (await bench.limits.take(b"me", "another@example.org")).wait
    assert wait is not None
    assert timedelta(hours=23) < wait < timedelta(hours=24)
    assert await bench.goes("you", "another@example.org")
    bench.clock.move(86400)
    assert await bench.goes("me", "another@example.org")


async def test_whoever_has_a_site_has_no_thousand_letters(bench: Bench) -> None:  # S53, RCP 5
    def network(n: int, site: int = 0) -> bytes:
        return bytes([0x20, 1, 0xD, 0xB8, 0, site, n])

    went = [(await bench.limits.take(network(n), f"r{n}@s{n}.example")).wait is None for n in range(256)]
    assert sum(went) == SENDER_DAY.count * SITE
    over = await bench.limits.take(network(255), "another@example.org")
    assert (over.may_queue, over.wait is not None) == (True, True)
    tickets = [await bench.limits.take_ticket(network(n)) is None for n in range(256)]
    assert sum(tickets) == TICKETS.count * SITE
    assert (await bench.limits.take(network(255), "another@example.org", has_ticket=True)).wait is None
    assert (await bench.limits.take(network(0, site=1), "yet@example.org")).wait is None


@pytest.mark.parametrize(
    "written",
    [
        ["victim@example.org", "victim+1@example.org", '"victim"@example.org', "VICTIM+@example.org"],
        ["j.doe@gmail.com", "jdoe@gmail.com", "J.D.o.e+x.y@googlemail.com", "jd.oe@GMail.com"],
        ["john.doe@proton.me", "johndoe@protonmail.com", "john-doe+2@pm.me", "JOHN_DOE@protonmail.ch"],
        ["jo@icloud.com", "jo@me.com", "jo+1@mac.com", "JO@me.com"],
        ["jo@fastmail.com", "a@jo.fastmail.com", "b+c@jo.fastmail.com", "c@x.jo.fastmail.com"],
        ["+x@example.org", '"+x"@example.org', "+X@example.org", "+x@EXAMPLE.org"],
    ],
)
async def test_one_mailbox_is_counted_once_however_it_is_written(
    bench: Bench, written: list[str]
) -> None:  # S17, RCP 5
    taken = []
    for n, recipient in enumerate(written):
        taken.append(await bench.limits.take(str(n % 3).encode(), recipient))
        bench.clock.move(60)
    assert not any(one.wait for one in taken)
    assert [not one.over for one in taken] == [n < RECIPIENT_DAY.count for n in range(len(written))]
    assert not any(one.pile_on for one in taken)


def test_other_mailboxes_are_counted_apart() -> None:  # S17
    others = ["j.doe@example.org", "jdoe@example.org", "j.doe@gmail.com", "j.doe@gmail.example", '""@example.org']
    others += ["jean-marc@yahoo.fr", "jean-luc@yahoo.fr", "jean@yahoo.fr", "ann@orange.fr", "ann@wanadoo.fr"]
    assert len({mailbox_of(other) for other in others}) == len(others)


async def test_one_letter_a_day_and_three_a_month_from_one_to_another(bench: Bench) -> None:  # RCP 5
    sent = 0
    for _ in range(28):
        sent += await bench.goes("me", "ann@example.org")
        bench.clock.move(60)
        again = await bench.limits.take(b"me", "Ann+x@example.org")
        assert (again.wait, again.over) == (None, True), "whoever shares a connection must not learn of it"
        bench.clock.move(PAIR_DAY.span.total_seconds())
    assert sent == 3


async def test_a_thousand_forms_to_one_victim(bench: Bench) -> None:  # S17, RCP 6
    taken = [await bench.limits.take(str(n).encode(), "Victim@example.org") for n in range(100)]
    assert all(one.wait is None for one in taken), "nobody learns that others wrote"
    went = [one for one in taken if not one.over]
    assert went == taken[:10]
    assert [one.pile_on for one in went] == [n >= PILE_ON - 1 for n in range(len(went))]
    assert len(went) == 10, "what a person is asked about has a bound too"


async def test_an_organisation_gets_so_many_letters_a_day_whoever_its_people_are(bench: Bench) -> None:  # RCP 5
    keys = LimitKeys(KeyMemory(), bench.clock, SeededEntropy(3))
    organisations = Organisations(5, frozenset({"univ.example"}))
    bench.limits = LetterLimits(bench.database, keys, bench.clock, organisations)
    went = [await bench.goes(f"s{n}", f"r{n}@Small.Example") for n in range(8)]
    assert went == [True] * 5 + [False] * 3
    refused = await bench.limits.take(b"s9", "r9@small.example", has_ticket=True)
    assert refused.over, "no ticket frees from it"
    assert refused.wait is None
    for domain in ("gmail.com", "laposte.net", "univ.example"):
        assert all([await bench.goes(f"{domain} {n}", f"r{n}@{domain}") for n in range(8)]), domain
    assert await bench.goes("s9", "r9@other.example")
    bench.clock.move(86400)
    assert await bench.goes("s9", "r9@small.example")
    rows = await bench.database.read(lambda c: list(c.execute("SELECT hash FROM web_count")))
    assert not any(b"small" in row[0] for row in rows)


@pytest.mark.parametrize(
    ("mailbox", "organisation"),
    [
        ("ann@small.example", "small.example"),
        ("ann@paris.small.example", "small.example"),
        ("ann@small.co.uk", "small.co.uk"),
        ("ann@leeds.small.co.uk", "small.co.uk"),
        ("ann@other.co.uk", "other.co.uk"),
        ("ann@co.uk", "co.uk"),
        ("ann@ville.gouv.fr", "ville.gouv.fr"),
        ("ann@etu.univ.example", None),
        ("ann@lab.large.example", None),
        ("ann@hall.large.example", "large.example"),
        ("ann@orange.fr", None),
        ("ann@shop.orange.fr", "shop.orange.fr"),
        ("ann@yahoo.co.uk", None),
    ],
)
def test_all_domains_of_an_organisation_are_one_and_neighbours_are_others(  # RCP 5
    mailbox: str, organisation: str | None
) -> None:
    large = frozenset({"univ.example", "lab.large.example"})
    assert Organisations(5, large).of(mailbox) == organisation


async def test_what_is_on_disk_names_nobody_and_goes(bench: Bench) -> None:  # S53, SND 4
    await bench.goes("198.51.100.7", "ann@example.org")
    rows = await bench.database.read(lambda c: list(c.execute("SELECT hash, who FROM web_count")))
    assert rows
    assert all(len(value) == 16 for row in rows for value in row if value is not None)
    bench.clock.move(61 * 86400)
    await bench.limits.forget()
    assert await bench.database.read(lambda c: list(c.execute("SELECT * FROM web_count"))) == []


def test_keys_change_and_the_one_before_stays_for_one_period() -> None:
    clock = HandClock()
    keys = LimitKeys(KeyMemory(), clock, SeededEntropy(2))
    first = keys.hashes(Period.DAY, b"me")
    assert keys.hashes(Period.DAY, b"me") == first
    assert keys.hashes(Period.MONTH, b"me").now != first.now
    clock.move(86400)
    second = keys.hashes(Period.DAY, b"me")
    assert second.before == first.now
    clock.move(86400)
    assert first.now not in keys.hashes(Period.DAY, b"me").both
    clock.move(5 * 86400)
    assert not set(second.both) & set(keys.hashes(Period.DAY, b"me").both)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no memory to share so")
def test_a_clock_that_was_ahead_keeps_no_key_alive() -> None:  # SND 4
    clock = HandClock()
    keys = LimitKeys(KeyMemory(), clock, SeededEntropy(1))
    day = 86400
    clock.jump(365 * day)
    ahead = keys.hashes(Period.DAY, b"x")
    clock.jump(-365 * day)
    here = keys.hashes(Period.DAY, b"x")
    assert ahead.now not in here.both
    clock.jump(-day)  # back over midnight
    assert keys.hashes(Period.DAY, b"x") == here
    clock.jump(2 * day)
    assert keys.hashes(Period.DAY, b"x").before == here.now


def test_workers_of_a_machine_share_the_keys() -> None:  # SND 4
    descriptor = make_key_memory()
    assert descriptor is not None
    clock = HandClock()
    try:
        here, there = (LimitKeys(KeyMemory(descriptor), clock, SeededEntropy(n)) for n in (1, 2))
        assert here.hashes(Period.DAY, b"me") == there.hashes(Period.DAY, b"me")
    finally:
        os.close(descriptor)


def test_previews_are_counted_in_bounded_memory() -> None:  # S50, S53
    clock = HandClock()
    limits = PreviewLimits(clock, SeededEntropy(1), tracked=10)
    assert sum(limits.take(b"me") is None for _ in range(1000)) == PREVIEWS.count
    for n in range(100):
        assert limits.take(str(n).encode()) is None
    assert len(limits.times) == 10
    assert all(len(key) == 16 for key in limits.times)
    clock.move(PREVIEWS.span.total_seconds())
    assert limits.take(b"me") is None


def _sent(copies: Copies, message: str, recipient: str) -> bool:
    """Whether a person looks at a letter, which is sent."""
    looks = copies.looks(message, recipient)
    if looks is None:
        return False
    looked_at = copies.are_too_many(looks)
    copies.note(looks)
    return looked_at


def test_the_same_words_to_several_people_are_noticed() -> None:  # RCP 6
    clock = HandClock()
    copies = Copies(clock, SeededEntropy(1))
    near = LETTER.replace("evening", "evening,")
    assert [_sent(copies, text, f"r{n}@example.org") for n, text in enumerate((LETTER, near, LETTER))] == [
        n >= MOST_RECIPIENTS for n in range(3)
    ]
    assert not _sent(Copies(clock, SeededEntropy(1)), LETTER, "r@example.org")
    assert not any(_sent(copies, "Thank you for everything.", f"r{n}@example.org") for n in range(9))
    clock.move(86401)
    assert not _sent(copies, LETTER, "r9@example.org")
    other = looks_of("Ce que tu as fait pour mon frère, personne ne l'avait fait avant toi, et je voulais te le dire.")
    mine = looks_of(LETTER)
    assert other is not None
    assert mine is not None
    assert (other ^ mine).bit_count() > 10


def test_copies_are_found_among_many_and_forgotten_with_the_oldest() -> None:  # RCP 6
    clock, chance = HandClock(), Random(1)
    copies = Copies(clock, SeededEntropy(1))
    for n in range(2):
        assert not _sent(copies, LETTER, f"early{n}@example.org")
    for n in range(4_997):
        assert not _sent(copies, " ".join(chance.choices(LETTER.split(), k=30)), f"r{n}@example.org")
    assert _sent(copies, LETTER.replace("evening", "evening,"), "late@example.org")
    for n in range(4_999):
        _sent(copies, " ".join(chance.choices(LETTER.split(), k=30)), f"r{n}@example.org")
    assert not _sent(copies, LETTER, "later@example.org"), "5,000 letters are remembered"


async def test_a_reported_sender_reaches_this_recipient_no_more(tmp_path: Path) -> None:  # RCP 2
    clock = HandClock()
    async with running_front(tmp_path, clock, with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        await visitor.send(await visitor.preview())
        (first,) = front.relay.letters.values()
        path = "/r/" + first.text.partition("/r/")[2].partition("#")[0]
        await visitor.post(path, {"action": "report", "rule": "bullying"})
        now = int(clock.now().timestamp() * 1000)
        await front.database.write(
            lambda c: c.execute("UPDATE web_report SET outcome = 'upheld' WHERE at <= ?", (now,))
        )
        front.relay.settle("delivered")
        clock.move(86400)
        link = (await visitor.send(await visitor.preview(message="Again"))).headers["Location"]
        await visitor.until_told(link, "It could not be delivered")
        other = (await visitor.send(await visitor.preview(to="bob@example.org"))).status
        assert other == 429, "the limits are the same for everybody"
        clock.move(60)
        assert (await visitor.send(await visitor.preview(to="bob@example.org"))).status == 303
        await visitor.until_arrived(2)


async def test_offices_get_no_letters(tmp_path: Path) -> None:  # RCP 6
    async with running_front(tmp_path) as front, aiohttp.ClientSession() as session:
        response, page = await Visitor(front, session).post("/en/preview", {"to": "Police@ville.example"})
        assert response.status == 422
        assert "an office, not a person" in page.text


async def test_both_presses_of_a_double_click_lead_to_the_letter(tmp_path: Path, clock: HandClock) -> None:
    relay = HesitantRelay()
    async with (
        running_front(tmp_path, clock, with_limits(), relay) as front,
        aiohttp.ClientSession() as session,
        asyncio.timeout(60),
    ):
        visitor = Visitor(front, session)
        token = await visitor.preview()
        presses = {asyncio.create_task(visitor.send(token)) for _ in range(2)}
        while not relay.questions:  # one is counted, and not yet kept
            await asyncio.sleep(0.01)
        await asyncio.wait(presses, timeout=0.3, return_when=asyncio.FIRST_COMPLETED)
        relay.may_answer.set()
        answers = await asyncio.gather(*presses)
        assert [answer.status for answer in answers] == [303, 303]
        assert len({answer.headers["Location"] for answer in answers}) == 1
        await visitor.until_arrived()
        assert len(relay.letters) == 1


async def test_a_letter_that_another_worker_keeps_meanwhile_is_found(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = asyncio.Event()

    class Looks:
        def __iter__(self) -> Iterator[float]:
            looks.set()
            return iter([0.01] * 1000)

    monkeypatch.setattr("web.sending._LOOKS", Looks())
    rename = "UPDATE web_letter SET id = CASE id WHEN 'elsewhere' THEN ? ELSE 'elsewhere' END"
    async with running_front(tmp_path, clock, with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        token = await visitor.preview()
        first = await visitor.send(token)
        await visitor.until_arrived()
        (letter,) = front.relay.letters
        await visitor.until_counted(_owed, 0)
        await front.database.write(lambda connection: connection.execute(rename, (letter,)))
        second = asyncio.create_task(visitor.send(token))
        async with asyncio.timeout(60):
            await looks.wait()
            await front.database.write(lambda connection: connection.execute(rename, (letter,)))
            assert (await second).headers["Location"] == first.headers["Location"]


def _fill(connection: Connection) -> None:
    """No page is free, and the file may not grow: what needs one finds a full disk."""
    connection.execute("CREATE TABLE IF NOT EXISTS padding (octets BLOB)")
    while next(iter(connection.execute("PRAGMA freelist_count")))[0]:
        connection.execute("INSERT INTO padding VALUES (zeroblob(4000))")
    ((pages,),) = connection.execute("PRAGMA page_count")
    list(connection.execute(f"PRAGMA max_page_count = {pages}"))


async def test_a_letter_that_found_no_room_does_not_count(tmp_path: Path, clock: HandClock) -> None:  # RCP 5
    """Its writer is told to try again: the day's one letter to this person must not be gone."""
    async with running_front(tmp_path, clock, with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        token = await visitor.preview(message="Thank you for the garden. " * 60)
        await front.database.write(_fill)
        assert (await visitor.send(token)).status == 503
        counted = await front.database.read(lambda c: list(c.execute("SELECT hash FROM web_count")))
        assert counted, "the disk was full before it was counted"
        await front.database.write(lambda c: list(c.execute("PRAGMA max_page_count = 1000000")))
        assert (await visitor.send(token)).status == 303


async def test_what_another_worker_counted_in_vain_is_taken_back_within_a_minute(bench: Bench) -> None:  # RCP 5
    admission = await bench.limits.take(b"me", "ann@example.org")
    bench.limits.give_back(admission)
    elsewhere = LetterLimits(bench.database, bench.keys, bench.clock)
    assert (await elsewhere.take(b"me", "ann@example.org")).wait is not None
    await bench.limits.repay()
    assert (await elsewhere.take(b"me", "ann@example.org")).wait is None
    await bench.limits.repay()
    assert (await elsewhere.take(b"me", "ann@example.org")).wait is not None, "taken back once"


async def _owed(front: Front) -> int:
    return len(await front.database.read(lambda connection: list(connection.execute("SELECT 1 FROM web_handover"))))


async def test_a_preview_that_is_shown_again_is_counted(tmp_path: Path) -> None:  # S17
    """One signed token must not buy readings without end."""
    async with running_front(tmp_path, HandClock(), with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        fields = {"token": await visitor.preview(), "action": "translate"}
        statuses = [(await visitor.post("/en/preview", fields))[0].status for _ in range(PREVIEWS.count)]
        assert statuses == [200] * (PREVIEWS.count - 1) + [429]


def test_the_page_of_keys_is_kept_from_swap_space() -> None:  # S53
    def locked() -> int:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmLck:")).split()[1])

    most, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if most != resource.RLIM_INFINITY and most < locked() * 1024 + SIZE:
        pytest.skip("the system lets this user pin no memory")
    before, memory = locked(), KeyMemory(make_key_memory())
    assert locked() == before + 4
    memory.page.close()


def test_the_page_of_keys_stands_in_no_core_dump() -> None:  # S53
    memory = KeyMemory(make_key_memory())
    memory.page[:4] = b"keys"  # a page that nobody touched has no entry of its own
    maps = Path("/proc/self/smaps").read_text(encoding="ascii")
    flags = [line.split()[1:] for line in maps[maps.index("memfd:leak-keys") :].splitlines() if "VmFlags:" in line]
    memory.page.close()
    assert "dd" in flags[0]
