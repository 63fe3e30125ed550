"""A front whose relay is elsewhere, and away: people write and say no as always; it is done when it is back."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.client.contract import Followed, RelayAwayError
from relay.clock import Clock
from relay.database.backup import backup
from relay.ids import SeededEntropy
from tests.support.front import OPTIONS, Front, errands_of, running_front
from tests.support.hand_clock import HandClock
from tests.support.relay_in_memory import HesitantRelay
from tests.support.visitor import Visitor
from web import errand_table
from web.admission import DayAdmission
from web.ceilings import Ceilings
from web.courier import Courier, Rounds
from web.departing import WayOut
from web.errand_table import Errand, ErrandSeal, ErrandTable
from web.handing_over import HandOver
from web.mailbox import MailboxHasher
from web.objections import Objections
from web.withheld_table import WithheldTable
from web.withholding import Withholding

BY_HAND = replace(OPTIONS, hand_over_every=timedelta(days=1))
"""The front's own courier looks once: rounds are made by the test."""


async def rows(front: Front, sql: str) -> list[tuple[object, ...]]:
    return await front.database.read(lambda connection: list(connection.execute(sql)))


def courier_of(front: Front, clock: Clock) -> Courier:
    mailboxes = MailboxHasher((OPTIONS.block_key,))
    errands = errands_of(front.relay, front.database, clock)
    objections = Objections(front.relay, errands, front.database, mailboxes)
    ceilings = Ceilings(front.relay, DayAdmission(front.database, clock, 0), clock)
    way_out = WayOut(front.relay, objections, ceilings, mailboxes, clock)
    withheld = WithheldTable(front.database)
    withholding = Withholding(front.relay, withheld, clock, lambda _: timedelta(0))
    rounds = Rounds(timedelta(days=1), timedelta(days=90), first=(errands.run,), last=(withholding.look,))
    return Courier(HandOver(way_out, front.store, withheld, clock, SeededEntropy(3)), front.store, clock, rounds)


async def test_letters_wait_and_may_be_taken_back(tmp_path: Path) -> None:
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front, aiohttp.ClientSession() as session:
        visitor, courier = Visitor(front, session), courier_of(front, clock)
        front.relay.away = True
        kept = (await visitor.send(await visitor.preview())).headers["Location"]
        other = (await visitor.send(await visitor.preview(message="Another one."))).headers["Location"]
        for _ in range(5):  # however often it was tried, it is a first time
            clock.move(60)
            assert await courier.make_round() == 2
        _, page = await visitor.get(kept)
        assert "Nothing has been sent yet" in page.text
        assert "take it back" in page.text
        await visitor.post(other, {"action": "cancel"})
        assert "You took it back" in (await visitor.get(other))[1].text
        assert front.relay.arrivals == 0
        front.relay.away = False
        clock.move(60)
        assert await courier.make_round() == 1
        assert [letter.recipient for letter in front.relay.letters.values()] == ["ann@example.org"]
        front.relay.away = True
        assert "We cannot tell just now" in (await visitor.get(kept))[1].text


async def test_a_refusal_is_asked_for_however_late_the_letter_leaves(tmp_path: Path) -> None:
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front, aiohttp.ClientSession() as session:
        visitor, courier = Visitor(front, session), courier_of(front, clock)
        front.relay.away = True
        link = (await visitor.send(await visitor.preview())).headers["Location"]
        clock.move(60)
        await courier.make_round()
        front.relay.away = False
        front.relay.refused["ann@example.org"] = False
        clock.move(60)
        await courier.make_round()
        assert front.relay.arrivals == 0
        assert "It could not be delivered" in (await visitor.get(link))[1].text


async def test_while_the_relay_is_away_a_round_tries_few(tmp_path: Path) -> None:
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front, aiohttp.ClientSession() as session:
        visitor, courier = Visitor(front, session), courier_of(front, clock)
        front.relay.away = True
        for number in range(20):
            await visitor.send(await visitor.preview(message=f"Letter {number}."))
        clock.move(60)
        assert await courier.make_round() == 16
        front.relay.away = False
        clock.move(60)
        assert await courier.make_round() == 20
        assert len(front.relay.letters) == 20


async def test_a_recipient_s_no_is_kept_and_holds_at_once(tmp_path: Path) -> None:
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front, aiohttp.ClientSession() as session:
        visitor, courier = Visitor(front, session), courier_of(front, clock)
        await visitor.send(await visitor.preview())
        (letter,) = front.relay.letters.values()
        (path,) = set(re.findall(r"http://leak\.lab\.test(/r/[\w-]+)#", letter.text))
        waiting = (await visitor.send(await visitor.preview(message="Once more."))).headers["Location"]
        assert front.relay.arrivals == 2
        front.relay.away = True
        waiting = (await visitor.send(await visitor.preview(message="And again."))).headers["Location"]
        assert "cannot be looked up at this moment" in (await visitor.get(path))[1].text
        for _ in range(2):
            response, page = await visitor.post(path, {"action": "never"})
            assert response.status == 200
            assert "No letter from here will reach this address any more." in page.text
        assert (await visitor.post(path, {"action": "erase"}))[0].status == 200
        preview = await visitor.preview(to="Ann+x@example.org", message="Still.")
        again = (await visitor.send(preview)).headers["Location"]
        assert await rows(front, "SELECT kind FROM web_kept_errand ORDER BY kind") == [("erase",), ("refuse",)]
        clock.move(120)
        await courier.make_round()
        front.relay.away = False
        clock.move(120)
        await courier.make_round()
        assert (front.relay.refused, front.relay.erased) == ({"ann@example.org": False}, ["ann@example.org"])
        assert await rows(front, "SELECT * FROM web_kept_errand") == []
        assert front.relay.arrivals == 2
        front.relay.settle("delivered", changed_at=clock.now())
        for link in (waiting, again):
            assert "It could not be delivered" in (await visitor.get(link))[1].text


async def test_a_one_click_link_is_followed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand_table, "LINKS_OF_A_NETWORK", 2)
    monkeypatch.setattr(errand_table, "MOST_LINKS", 3)
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front:
        errands = errands_of(front.relay, front.database, clock)
        assert await errands.opt_out("unonsense", b"me") is Followed.UNKNOWN
        front.relay.away = True
        for token in ("uone", "uone", "utwo"):
            assert await errands.opt_out(token, b"me") is Followed.DONE
        assert await errands.opt_out("uthree", b"me") is Followed.TOO_MANY, "one network fills no table"
        clock.move(86400)
        assert await errands.opt_out("uthree", b"me") is Followed.TOO_MANY, "while yesterday's key is kept"
        assert await errands.opt_out("uthree", b"you") is Followed.DONE
        assert await errands.opt_out("ufour", b"others") is Followed.BUSY
        assert await errands.opt_out("uone", b"others") is Followed.DONE, "it is kept already"
        front.relay.away = False
        await errands.run()
        assert sorted(front.relay.followed[1:3]) == ["uone", "utwo"]
        assert front.relay.followed[::3] == ["unonsense", "uthree"]
        assert await rows(front, "SELECT * FROM web_kept_errand") == []


async def test_nothing_that_is_kept_names_anybody(tmp_path: Path) -> None:  # S53
    """In every byte of the database, its log and a backup; what an older version kept in clear is sealed, too."""
    clock = HandClock()
    options = replace(BY_HAND, trusted_proxies=("127.0.0.1/32",))
    async with running_front(tmp_path, clock, options) as front:
        errands = errands_of(front.relay, front.database, clock)
        front.relay.away = True
        assert await errands.do(Errand.REFUSE, "zoe@far.example")
        assert await errands.do(Errand.ERASE, "yan@far.example")
        assert await errands.opt_out("utokenofsomebody", bytes((203, 0, 113, 77))) is Followed.DONE
        backup(tmp_path / "front.db", tmp_path / "copy.db", lambda *_: None)
        looked_at = [path for path in tmp_path.iterdir() if path.is_file()]
        assert {"front.db", "front.db-wal", "copy.db"} <= {path.name for path in looked_at}
        for path in looked_at:
            for trace in (b"zoe", b"yan", b"far.example", b"utokenof", bytes((203, 0, 113, 77))):
                assert trace not in path.read_bytes(), (path.name, trace)
        older = "INSERT INTO web_errand (kind, address, mailbox, at) VALUES ('erase', 'xavier@far.example', x'00', 1)"
        await front.database.write(lambda connection: list(connection.execute(older)))
        with pytest.raises(RelayAwayError):
            await errands.run()
        assert len(await rows(front, "SELECT * FROM web_kept_errand")) == 4
    backup(tmp_path / "front.db", tmp_path / "later.db", lambda *_: None)
    for name in ("front.db", "later.db"):
        assert b"xavier" not in (tmp_path / name).read_bytes(), name
    async with running_front(tmp_path, clock, options) as front:
        await errands_of(front.relay, front.database, clock).run()
        assert set(front.relay.erased) == {"xavier@far.example", "yan@far.example"}
        assert list(front.relay.refused) == ["zoe@far.example"]
        assert await rows(front, "SELECT * FROM web_kept_errand") == []


async def test_an_errand_whose_key_is_gone_keeps_up_no_other(tmp_path: Path) -> None:
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front:
        mailboxes = MailboxHasher((OPTIONS.block_key,))
        gone = ErrandTable(front.database, ErrandSeal((b"x" * 32,)), mailboxes, clock)
        await gone.keep(Errand.REFUSE, "ann@example.org")
        errands = errands_of(front.relay, front.database, clock)
        front.relay.away = True
        assert await errands.do(Errand.REFUSE, "bob@example.org")
        front.relay.away = False
        await errands.run()
        assert list(front.relay.refused) == ["bob@example.org"]
        assert await errands.waits("ann@example.org"), "her letters wait for a person, and reach nobody"


async def test_all_that_was_kept_comes_before_the_letters(tmp_path: Path) -> None:
    """However many links a stranger posted in between, and although the relay fails at one of them."""
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front, aiohttp.ClientSession() as session:
        visitor, courier = Visitor(front, session), courier_of(front, clock)
        errands = errands_of(front.relay, front.database, clock)
        front.relay.away = True
        await visitor.send(await visitor.preview())
        tokens = [f"u{number:03}" for number in range(120)]
        for token in tokens:
            assert await errands.opt_out(token, b"me") is Followed.DONE
        front.relay.away = False
        front.relay.stumbles_at = {tokens[0]}
        clock.move(60)
        assert await courier.make_round() == 1
        assert sorted(front.relay.followed) == tokens[1:]
        assert len(await rows(front, "SELECT * FROM web_kept_errand")) == 1
        front.relay.stumbles_at = set()
        await courier.make_round()
        assert front.relay.followed[-1] == tokens[0]
        assert await rows(front, "SELECT * FROM web_kept_errand") == []


async def test_what_comes_in_during_a_round_is_the_next_one_s(tmp_path: Path) -> None:
    """Or a stranger who posts links faster than they are followed would hold every letter back."""
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front:
        later = HandClock()
        later.move(1)
        front.relay.away = True
        assert await errands_of(front.relay, front.database, clock).opt_out("uone", b"me")
        assert await errands_of(front.relay, front.database, later).opt_out("utwo", b"me")
        front.relay.away = False
        errands = errands_of(front.relay, front.database, clock)
        await errands.run()
        assert front.relay.followed == ["uone"]
        clock.move(1)
        await errands.run()
        assert front.relay.followed == ["uone", "utwo"]


async def test_how_long_it_takes_tells_no_writer_who_refuses(  # S49
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question is a way to another machine and back, which a writer could measure: none waits for its answer."""
    monkeypatch.setattr("web.errands._ASK_TIMEOUT", 600.0)
    clock, relay = HandClock(), HesitantRelay()
    slowly = replace(OPTIONS, cool_down=timedelta(minutes=5))
    async with running_front(tmp_path, clock, slowly, relay) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        relay.refused["ann@example.org"] = False
        relay.refused_streams["bob@example.org"] = "doorbells"
        names = ("ann", "bob", "carol")
        async with asyncio.timeout(60):
            for name in names:
                await visitor.send(await visitor.preview(to=f"{name}@example.org"))
        relay.may_answer.set()
        await visitor.until_counted(lambda front: _number(front, "web_unasked"), 0)
        assert [relay.questions.count(f"{name}@example.org") for name in names] == [2, 2, 2]
        clock.move(600)
        await visitor.until_counted(lambda front: _number(front, "web_handover"), 0)
        assert relay.questions.count("carol@example.org") == 4, "and again at its departure"
        assert [letter.recipient for letter in relay.letters.values()] == ["carol@example.org"]


async def _number(front: Front, table: str) -> int:
    return len(await rows(front, f"SELECT * FROM {table}"))


async def test_what_the_relay_alone_knows(tmp_path: Path) -> None:
    clock = HandClock()
    async with running_front(tmp_path, clock, BY_HAND) as front:
        errands = errands_of(front.relay, front.database, clock)
        front.relay.away = True
        assert await errands.refuses("bob@example.org") is None
        front.relay.away = False
        assert await errands.refuses("bob@example.org") is False
        front.relay.refused["bob@example.org"] = False
        assert await errands.refuses("bob@example.org") is True
        await asyncio.gather(errands.run(), errands.run())
