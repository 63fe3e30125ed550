"""Notices of unlawful content: from anybody, acknowledged at once, decided by a person (DSA, article 16)."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest

from relay.ids import SeededEntropy
from tests.support.front import Front, running_front, with_limits
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator, a_moderator
from tests.support.visitor import Visitor
from tests.unit.web.test_wall import offer
from web.catalogue import Language
from web.deciding import Deciding, Voice
from web.limits import NOTICES
from web.notices import NoticeStore
from web.reports import Outcome

NOTICE = {
    "item": "From: A friend <letter@leak.lab.test>\r\n\r\n<script>alert(1)</script> You owe me.",
    "grounds": "It is a threat.",
    "name": "Ann Example",
    "mail": "ann@example.org",
    "faith": "on",
}


async def test_a_notice_is_acknowledged_decided_and_counted(visitor: Visitor, front: Front, clock: HandClock) -> None:
    _, form = await visitor.get("/en/notice")
    assert form.actions == ["/en/notice"]
    response, _ = await visitor.post("/en/notice", NOTICE)
    assert response.status == 303
    link = response.headers["Location"]
    assert re.fullmatch(r"/en/notice/[0-9a-z]{32}", link)
    response, page = await visitor.get(link)
    assert response.headers["Cache-Control"] == "no-store"
    assert "We received your notice" in page.text
    assert "<script>" not in page.document
    assert "<script>alert(1)</script>" in page.text, "shown as words"
    deciding = Deciding(front.database, clock, SeededEntropy(3))
    [case] = await deciding.notices.waiting()
    assert (case.notice.name, case.notice.mail, case.language) == ("Ann Example", "ann@example.org", "en")
    assert "Notices of unlawful content fewer than 5" in (await visitor.get("/en/transparency"))[1].text
    clock.move(3600)
    assert await deciding.answer(case.id, Outcome.UPHELD, Voice("me", "It threatens."))
    assert not await deciding.answer(case.id, Outcome.DISMISSED, Voice("me", "No.")), "decided once"
    _, page = await visitor.get(link)
    assert "We agree with you" in page.text
    assert "It threatens." in page.text
    assert await deciding.notices.waiting() == []
    assert [one.decision.action for one in await deciding.holds.decisions()] == ["notice-upheld"]
    assert (await visitor.get(link[:-4] + "aaaa"))[0].status == 404


@pytest.mark.parametrize("missing", ["item", "grounds", "name", "mail", "faith"])
@pytest.mark.parametrize("language", list(Language))
async def test_what_is_missing_is_said_and_what_was_typed_stays(
    visitor: Visitor, missing: str, language: Language
) -> None:
    response, page = await visitor.post(f"/{language.value}/notice", NOTICE | {missing: " \u200b"})
    assert response.status == 422
    assert f'href="#{missing}"' in page.document
    assert 'aria-invalid="true"' in page.document
    kept = "grounds" if missing != "grounds" else "item"
    assert page.fields[kept].split() == NOTICE[kept].split()


async def test_a_whole_mail_can_be_shown(visitor: Visitor) -> None:
    mail = "Received: from mail.leak.example\r\n" * 500 + "\r\nYou owe me."
    response, _ = await visitor.post("/en/notice", NOTICE | {"item": mail, "grounds": "a\r\n" * 4000 + "The end."})
    _, page = await visitor.get(response.headers["Location"])
    assert "You owe me." in page.text
    assert "The end." in page.text


@pytest.mark.parametrize(("name", "most"), [("item", 40_000), ("grounds", 10_000)])
async def test_what_is_too_long_is_told_and_never_cut(visitor: Visitor, name: str, most: int) -> None:
    typed = "word\r\n" * (most // 5) + "the end"
    response, page = await visitor.post("/en/notice", NOTICE | {name: typed})
    assert response.status == 422
    assert page.text.count("too long, by 7 characters") == 2, "in the list, and at its field"
    assert page.fields[name].replace("\r\n", "\n") == typed.replace("\r\n", "\n")
    assert "<title>To correct" in page.document


async def test_a_case_is_shown_in_the_language_of_its_notice(visitor: Visitor) -> None:
    response, _ = await visitor.post("/fr/notice", NOTICE)
    case = response.headers["Location"].removeprefix("/fr")
    assert '<html lang="fr">' in (await visitor.get(case))[1].document
    assert '<html lang="en">' in (await visitor.get(case, Accept_Language="en"))[1].document


async def test_the_other_language_keeps_what_was_typed(visitor: Visitor) -> None:
    _, form = await visitor.get("/en/notice")
    assert 'form="notice" formaction="/fr/notice"' in form.document
    typed = NOTICE | {"mail": "ann", "action": "translate"}
    response, page = await visitor.post("/fr/notice", typed)
    assert (response.status, 'lang="fr"' in page.document, "aria-invalid" in page.document) == (200, True, False)
    assert [page.fields[name].split() for name in ("grounds", "mail")] == [NOTICE["grounds"].split(), ["ann"]]


async def test_about_abused_children_no_name_is_needed(visitor: Visitor) -> None:
    response, _ = await visitor.post("/fr/notice", NOTICE | {"name": "", "mail": "", "children": "on"})
    assert response.status == 303
    response, _ = await visitor.post("/fr/notice", NOTICE | {"name": "", "mail": "no address", "children": "on"})
    assert response.status == 422


async def test_words_go_before_the_case_and_the_case_goes_too(front: Front, visitor: Visitor, clock: HandClock) -> None:
    response, _ = await visitor.post("/en/notice", NOTICE)
    link = response.headers["Location"]
    notices = NoticeStore(front.database, clock, SeededEntropy(4))
    deciding = Deciding(front.database, clock, SeededEntropy(5))
    [case] = await notices.waiting()
    clock.move(400 * 86400)
    await notices.forget()
    assert (await visitor.get(link))[0].status == 200, "what waits is kept"
    assert await deciding.answer(case.id, Outcome.DISMISSED, Voice("me", "It is an opinion."))
    clock.move(184 * 86400)
    await notices.forget()
    _, page = await visitor.get(link)
    assert "ann@example.org" not in str(
        await front.database.read(lambda c: list(c.execute("SELECT * FROM web_notice")))
    )
    assert "It is an opinion." in page.text
    clock.move(366 * 86400)
    await notices.forget()
    assert (await visitor.get(link))[0].status == 404


async def test_another_site_cannot_send_one(visitor: Visitor) -> None:  # S41
    response, _ = await visitor.post("/en/notice", NOTICE, Sec_Fetch_Site="cross-site")
    assert response.status == 403


async def test_one_sender_fills_no_list_and_no_control_is_kept(tmp_path: Path, clock: HandClock) -> None:  # S17
    async with running_front(tmp_path, clock, with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        for n in range(NOTICES.count):
            response, _ = await visitor.post("/en/notice", NOTICE | {"name": f"A\0n\nn {n}"})
            assert response.status == 303
        response, page = await visitor.post("/en/notice", NOTICE)
        assert (response.status, page.fields["name"]) == (429, NOTICE["name"])
        cases = await NoticeStore(front.database, clock, SeededEntropy(4)).waiting()
        assert {case.notice.name for case in cases} == {f"An n {n}" for n in range(NOTICES.count)}


async def test_a_moderator_decides_on_the_desk(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    _, post = await offer(visitor, ann, clock, message="You were kind.")
    await ann.post(post, action="publish", shown="You were kind.", reason="Harmless.")
    _, page = await visitor.get("/en/wall")
    (where,) = set(re.findall(r"/wall/[0-9a-z]{10,}", page.document))
    told = {"item": f"http://leak.lab.test{where}\r\nand /wall/nosuchpost00", "grounds": "<i>It is about me.</i>"}
    response, _ = await visitor.post("/fr/notice", NOTICE | told)
    link = response.headers["Location"]
    await visitor.post("/en/notice", NOTICE | {"name": "", "mail": "", "children": "on"})
    assert "2 Notices" in (await ann.get("/desk"))[1].text
    _, page = await ann.get("/desk/notices")
    assert page.document.index("About the sexual abuse") < page.document.index("It is about me."), "first"
    assert "&lt;i&gt;It is about me." in page.document
    assert "Ann Example" in page.text
    assert "in French" in page.text
    assert page.text.count("You were kind.") == 1
    cases = re.findall(r'name="case" value="(\w+)"', page.document)
    said = {"case": cases[1], "action": "upheld", "take-down": "on"}
    response, page = await ann.post("/desk/notices", **said, reason=" ")
    assert response.status == 422
    assert "a decision needs a reason" in page.text
    assert (await visitor.get(where))[0].status == 200
    response, _ = await ann.post("/desk/notices", **said, reason="Retirée du mur.")
    assert response.headers["Location"] == "/desk/notices?done=notice-upheld"
    assert "its author can read it now" in (await ann.get("/desk/notices?done=notice-upheld"))[1].text
    assert (await visitor.get(where))[0].status == 404
    _, page = await visitor.get(link)
    assert "Retirée du mur." in page.text
    assert "ann" not in page.text.split(), "who decided is not told"
    assert (await ann.post("/desk/notices", **said, reason="Again."))[0].headers["Location"].endswith("done=gone")
    response, _ = await ann.post("/desk/notices", case=cases[0], action="dismissed", reason="No.")
    assert response.headers["Location"] == "/desk/notices?done=notice-dismissed"
    decisions = await Deciding(visitor.front.database, clock, SeededEntropy(5)).holds.decisions()
    made = sorted(one.decision.action.value for one in decisions if one.decision.subject != "desk")
    assert made == ["notice-dismissed", "notice-upheld", "publish", "take-down"]
    assert {one.decision.actor for one in decisions} == {"ann"}


async def test_what_broke_in_the_middle_is_decided_again(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    """No notice is upheld whose posts stand on: its author would read that they came down."""
    _, post = await offer(visitor, ann, clock, message="You were kind.")
    await ann.post(post, action="publish", shown="You were kind.", reason="Harmless.")
    _, page = await visitor.get("/en/wall")
    (where,) = set(re.findall(r"/wall/[0-9a-z]{10,}", page.document))
    await visitor.post("/en/notice", NOTICE | {"item": f"http://leak.lab.test{where}"})
    _, page = await ann.get("/desk/notices")
    said = {"case": page.fields["case"], "action": "upheld", "take-down": "on", "reason": "Taken down."}
    database = visitor.front.database
    broken = "CREATE TRIGGER broken BEFORE UPDATE ON web_post BEGIN SELECT RAISE(ABORT, 'broken'); END"
    await database.write(lambda connection: list(connection.execute(broken)))
    assert (await ann.post("/desk/notices", **said))[0].status >= 500
    await database.write(lambda connection: list(connection.execute("DROP TRIGGER broken")))
    assert "1 Notices" in (await ann.get("/desk"))[1].text
    assert (await visitor.get(where))[0].status == 200
    response, _ = await ann.post("/desk/notices", **said)
    assert response.headers["Location"] == "/desk/notices?done=notice-upheld"
    assert (await visitor.get(where))[0].status == 404


async def test_no_flood_of_notices_buries_one_about_children(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:  # S17
    notices = NoticeStore(visitor.front.database, clock, SeededEntropy(6))
    cases = 1001
    await visitor.front.database.write(
        lambda connection: [
            connection.execute(
                "INSERT INTO web_notice (id, secret_hash, at, language, item, grounds, name, mail, children)"
                " VALUES (?, ?, ?, 'en', 'x', 'y', 'z', 'z@example.org', 0)",
                (f"flood{number:04}", number.to_bytes(32), number),
            )
            for number in range(cases)
        ]
    )
    await visitor.post("/en/notice", NOTICE | {"name": "", "mail": "", "children": "on"})
    _, page = await ann.get("/desk/notices")
    assert page.document.index("About the sexual abuse") < page.document.index("flood0000")
    assert str(cases + 1 - 50) in page.text
    assert (await notices.waiting(1))[0].notice.about_children
    last = f"flood{cases - 1:04}"
    response, _ = await ann.post("/desk/notices", case=last, action="dismissed", reason="Nothing there.")
    assert response.headers["Location"] == "/desk/notices?done=notice-dismissed", "also what the page does not show yet"
    assert await notices.how_many() == cases


async def test_only_the_desk_answers_and_only_its_own_forms(visitor: Visitor, ann: Moderator) -> None:
    link = (await visitor.post("/en/notice", NOTICE))[0].headers["Location"]
    _, page = await ann.get("/desk/notices")
    case = page.fields["case"]
    async with a_moderator(visitor.front, "") as nobody:
        for method in ("GET", "POST"):
            response, _ = await nobody.ask(method, "/desk/notices", {"case": case, "action": "upheld", "reason": "r"})
            onward = "?to=/desk/notices" if method == "GET" else ""
            assert (response.status, response.headers["Location"]) == (303, f"/desk/enter{onward}")
    fields = {"case": case, "action": "upheld", "reason": "r", "proof": "x"}
    assert (await ann.ask("POST", "/desk/notices", fields))[0].status == 403
    response, page = await ann.post("/desk/notices", case=case, action="nonsense", reason="kept <b>")
    assert (response.status, page.fields["reason"]) == (200, "kept <b>")
    assert "We received your notice" in (await visitor.get(link))[1].text
    assert (await visitor.get("/desk/notices"))[0].status == 404
