"""A threat to life: the letter never leaves, what is known of it is kept, somebody is called, a form is ready."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.errors import ConfigurationError
from relay.ids import SeededEntropy
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator, a_moderator
from tests.support.visitor import Visitor
from tests.unit.web.test_desk import held, log_of
from tests.unit.web.test_ladder import FOREIGN
from tests.unit.web.test_recipient import receive
from tests.unit.web.test_wall import Bell
from web.audit import Audit
from web.authorities import load_authorities
from web.danger import KEPT, DangerStore
from web.decisions import Action, Decision
from web.freezes import FreezeStore
from web.operator import Operator
from web.sealed_store import SealedStore
from web.sealing import new_key_pair
from web.wall_keeper import BellRinger


async def record_of(front: Front, letter: str, clock: HandClock) -> bool:
    """Whether retention has left the sealed record."""
    store = SealedStore(front.database, clock)
    await store.forget()
    return await store.find(letter) is not None


async def test_a_held_letter_is_frozen_kept_and_told(tmp_path: Path, clock: HandClock) -> None:  # RCP 8
    _, public = new_key_pair()
    (tmp_path / f"{clock.now():%Y-%m}.pem").write_bytes(public)
    operator = Operator(name="Leak Association", mail="police@leak.example")
    options = replace(OPTIONS, sealed_keys=tmp_path, operator=operator)
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        status = (await visitor.send(await visitor.preview(message=FOREIGN))).headers["Location"]
        async with a_moderator(front) as ann:
            await frozen_by(ann, visitor, status)
            (letter,) = [one.subject for one in await log_of(front, clock) if one.action is Action.DANGER]
            bell = Bell()
            await BellRinger(front.database, bell, clock).ring()
            assert bell.endangered == [1]
            clock.move(500 * 86400)
            assert await record_of(front, letter, clock)
            await front.store.forget(clock.now(), clock.now(), 9)
            assert await front.store.knows(letter)
            await ann.enter("a" * 32)
            response, _ = await ann.post(f"/desk/case/{letter}", action="told", reason="17, at 15:02.")
            assert response.headers["Location"] == f"/desk/case/{letter}?done=danger-told"
            await BellRinger(front.database, bell, clock).ring()
            assert bell.endangered == [1, 0]
            response, _ = await ann.post(f"/desk/case/{letter}", action="close", reason="Asked and answered.")
            assert response.headers["Location"] == "/desk/cases?done=danger-closed"
            assert (await ann.get(f"/desk/case/{letter}"))[0].headers["Location"] == "/desk/cases?done=gone"
        store = Audit(front.database, clock)
        assert [one.said["action"] for one in await store.entries()] == ["preserve", "close"]
        assert await store.broken_at() is None
        assert not await record_of(front, letter, clock)
        await front.store.forget(clock.now(), clock.now(), 9)  # unless the courier came first
        assert (await front.store.knows(letter), front.relay.arrivals) == (False, 0)


async def frozen_by(ann: Moderator, visitor: Visitor, status: str) -> None:
    """From the list to the page that says whom to call, in both languages."""
    (letter,) = await held(ann)
    assert (await ann.post(f"/desk/letter/{letter}", action="danger", reason=" "))[0].status == 422
    response, _ = await ann.post(f"/desk/letter/{letter}", action="danger", reason="He names place and hour.")
    assert response.headers["Location"] == f"/desk/case/{letter}?done=danger"
    assert await held(ann) == []
    _, page = await ann.get(f"/desk/case/{letter}")
    for said in ("17", "112", "PHAROS", "article 18", "vermisse", "ann@example.org", "He names place and hour."):
        assert said in page.text
    for said in ("Leak Association", "police@leak.example", f"leak disclose {letter} --key 2", "threat-to-life"):
        assert said in page.text
    assert "127.0.0.1" not in page.text
    assert letter in (await ann.get("/desk/cases"))[1].document
    await ann.post("/desk/language")
    french = (await ann.get(f"/desk/case/{letter}"))[1].text
    assert "Appelez maintenant" in french
    assert "soupçons d’infraction" in french
    _, told = await visitor.get(status)
    assert "It was refused" in told.text
    assert "place and hour" not in told.text


async def test_a_reported_letter_keeps_what_its_recipient_copied(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:  # RCP 8
    path = await receive(visitor)
    await visitor.post(path, {"action": "report", "rule": "threat", "words": "Tonight <b>I come</b>."})
    letter = (await ann.get("/desk/reports"))[1].fields["letter"]
    assert (await ann.post("/desk/reports", letter=letter, action="danger"))[0].status == 422
    response, _ = await ann.post("/desk/reports", letter=letter, action="danger", reason="A date.")
    assert response.headers["Location"] == f"/desk/case/{letter}?done=danger"
    response, _ = await ann.post("/desk/reports", letter=letter, action="danger", reason="A date.")
    assert response.headers["Location"] == "/desk/reports?done=gone"
    _, page = await ann.get(f"/desk/case/{letter}")
    assert "Tonight <b>I come</b>." in page.text
    kept = await visitor.front.database.read(lambda c: list(c.execute("SELECT words, mailbox FROM web_report")))
    assert kept == [("", b"")], "whose report it was is in the case"
    assert "ask them to keep the mail" in page.text
    assert "No record of the connection exists" in page.text
    assert "Nobody is kept from writing to this recipient" in page.text, "no limits, so no pair is known"
    assert (await log_of(visitor.front, clock))[0] == Decision(letter, Action.DANGER, "ann", "A date.")
    assert (await ann.post(f"/desk/case/{letter}", action="close"))[0].status == 422
    theirs = (await visitor.get(path))[1].text
    assert "We agree with you about this letter" in theirs
    assert "Decided around" in theirs
    for said in ("A date.", "life-", "Threat to life"):
        assert said not in theirs, "whoever else reads their mail learns of no case"
    assert "we cannot say that whoever wrote it is kept from writing to you" in theirs
    assert "one to two months" not in theirs


async def test_who_is_kept_away_is_said_as_long_as_they_are(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:  # RCP 2
    path = await receive(visitor)
    await visitor.post(path, {"action": "report", "rule": "threat", "words": "Tonight."})
    letter = (await ann.get("/desk/reports"))[1].fields["letter"]
    database = visitor.front.database
    pair = f"UPDATE web_letter SET pair = x'{'01' * 16}' WHERE id = '{letter}'"
    await database.write(lambda connection: list(connection.execute(pair)))
    await FreezeStore(database, clock, SeededEntropy(4)).freeze(Decision(letter, Action.FREEZE, "ann", "r"))
    await ann.post("/desk/reports", letter=letter, action="danger", reason="A date.")
    assert "Nobody is kept" not in (await ann.get(f"/desk/case/{letter}"))[1].text
    assert "kept from writing to you, as far as we can recognise them" in (await visitor.get(path))[1].text
    await ann.post("/desk/frozen", letter=letter, action="thaw", reason="r")
    assert "Nobody is kept" in (await ann.get(f"/desk/case/{letter}"))[1].text
    assert "we cannot say" in (await visitor.get(path))[1].text


async def test_a_report_that_is_upheld_without_a_pair_says_so(visitor: Visitor, ann: Moderator) -> None:  # RCP 2
    path = await receive(visitor)
    await visitor.post(path, {"action": "report", "rule": "threat", "words": "Tonight."})
    letter = (await ann.get("/desk/reports"))[1].fields["letter"]
    response, _ = await ann.post("/desk/reports", letter=letter, action="upheld", reason="A date.")
    assert response.headers["Location"] == "/desk/reports?done=upheld-unfrozen"
    assert "nobody is kept from this recipient" in (await ann.get(response.headers["Location"]))[1].text


async def test_a_case_that_nobody_closes_ends_by_itself(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    await visitor.send(await visitor.preview(message=FOREIGN))
    (letter,) = await held(ann)
    await ann.post(f"/desk/letter/{letter}", action="danger", reason="r")
    dangers = DangerStore(visitor.front.database, clock, SeededEntropy(3))
    clock.move(KEPT.total_seconds() - 1)
    await dangers.forget()
    assert await dangers.find(letter) is not None
    clock.move(2)
    await dangers.forget()
    assert await dangers.find(letter) is None
    assert (await log_of(visitor.front, clock))[0].actor == "retention"
    kept = "SELECT message, words, recipient, reason FROM web_danger"
    assert await visitor.front.database.read(lambda c: list(c.execute(kept))) == [("", "", "", "")]
    clock.move(timedelta(days=367).total_seconds())
    await dangers.forget()
    assert await visitor.front.database.read(lambda c: list(c.execute(kept))) == []


def test_another_countrys_authorities_replace_ours(tmp_path: Path) -> None:
    ours = load_authorities(tmp_path)
    assert [one.number or one.name for one in ours] == ["17", "112", "PHAROS"]
    (tmp_path / "legal").mkdir()
    own = tmp_path / "legal" / "fr.toml"
    own.write_text("[basis]\n", encoding="utf-8")
    assert load_authorities(tmp_path) == ours
    entry = '[authority.polizei]\nname = "Polizei"\nnumber = "110"\nlink = ""\nen = "e"\nfr = "f"\n'
    own.write_text(entry, encoding="utf-8")
    assert [one.number for one in load_authorities(tmp_path)] == ["110"]
    for damaged in (entry.replace('link = ""', 'link = "javascript:x"'), entry.replace('fr = "f"\n', ""), "["):
        own.write_text(damaged, encoding="utf-8")
        with pytest.raises(ConfigurationError):
            load_authorities(tmp_path)
