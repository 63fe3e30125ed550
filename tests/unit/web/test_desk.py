"""The moderators' desk: a token opens it, decisions need reasons and are logged, and no letter can be written there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.ids import SeededEntropy
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator, a_moderator
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_ladder import FOREIGN, INSULT
from tests.unit.web.test_recipient import receive
from web.decisions import Action, Decision
from web.holds import HoldStore


async def log_of(front: Front, clock: HandClock) -> list[Decision]:
    holds = HoldStore(front.database, clock, SeededEntropy(5))
    return [one.decision for one in await holds.decisions() if one.decision.subject != "desk"]


async def held(ann: Moderator, place: str = "letters") -> list[str]:
    """The ids on a list, in order."""
    _, page = await ann.get(f"/desk/{place}")
    return [part.partition('"')[0] for part in page.document.split('href="/desk/letter/')[1:]]


async def appeal(visitor: Visitor, message: str) -> str:
    """Have a refused letter looked at; its status page."""
    response, page = await visitor.post("/en/preview", LETTER | {"message": message})
    assert response.status == 422
    response, _ = await visitor.post("/en/preview", {"token": page.fields["token"], "action": "appeal"})
    return response.headers["Location"]


async def test_only_a_token_opens_it(front: Front, clock: HandClock) -> None:
    async with a_moderator(front, "") as nobody:
        for path in ("/desk", "/desk/letters", "/desk/log", "/desk/letter/x", "/desk/no-such-page"):
            response, _ = await nobody.get(path)
            assert (response.status, response.headers["Location"].partition("?")[0]) == (303, "/desk/enter")
        response, _ = await nobody.post("/desk/letter/x", action="release", reason="r")
        assert response.headers["Location"] == "/desk/enter"
        for _ in range(10):
            assert (await nobody.enter("c" * 32)).status == 403
        assert (await nobody.enter("a" * 32)).status == 429
        clock.move(61)
        response = await nobody.enter("a" * 32)
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Path=/desk" in cookie
        assert "Came to the desk" in (await nobody.get("/desk/log"))[1].text
        clock.move(13 * 3600)
        assert (await nobody.get("/desk"))[0].status == 303


async def test_whoever_enters_comes_to_the_page_that_was_asked_for(front: Front) -> None:
    async with a_moderator(front, "") as nobody:
        response, _ = await nobody.get("/desk/log")
        _, page = await nobody.get(response.headers["Location"])
        response, _ = await nobody.ask("POST", "/desk/enter", page.fields | {"token": "a" * 32})
        assert (response.status, response.headers["Location"]) == (303, "/desk/log")


async def test_a_cookie_of_another_making_opens_nothing(front: Front) -> None:
    async with a_moderator(front, "") as nobody:
        port = front.desk.rpartition(":")[2]
        for cookie in ("", "ann", "ann.en.9999999999.x", "ann.en.x.", "eve.en.9999999999.é", "...."):
            response, _ = await nobody.ask("GET", "/desk", None, Cookie=f"leak-desk-{port}={cookie}")
            assert response.status == 303


async def test_desks_behind_two_tunnels_do_not_shut_each_other(front: Front) -> None:
    """A browser sends the cookies of 127.0.0.1 to every port of it."""
    async with a_moderator(front, "") as nobody:
        port = front.desk.rpartition(":")[2]
        entered = await nobody.enter("a" * 32)
        name, _, value = entered.headers["Set-Cookie"].partition(";")[0].partition("=")
        assert name == f"leak-desk-{port}"
    async with a_moderator(front, "") as nobody:
        for cookie, status in ((f"leak-desk-1=x; {name}={value}", 200), (f"leak-desk-1={value}", 303)):
            response, _ = await nobody.ask("GET", "/desk", None, Cookie=cookie)
            assert response.status == status
        other = {"Host": "desk.localhost:9", "Cookie": f"leak-desk-9={value}"}
        assert (await nobody.ask("GET", "/desk", None, **other))[0].status == 200


async def test_a_held_letter_is_read_and_let_go(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    status = (await visitor.send(await visitor.preview(message=FOREIGN))).headers["Location"]
    (letter,) = await held(ann)
    _, page = await ann.get(f"/desk/letter/{letter}")
    assert "vermisse" in page.text
    assert "a…\N{WORD JOINER}@example.org" in page.text
    assert "ann@example.org" not in page.document
    response, page = await ann.post(f"/desk/letter/{letter}", action="release", reason=" \n")
    assert response.status == 422
    assert "a decision needs a reason" in page.text
    assert visitor.front.relay.arrivals == 0
    response, _ = await ann.post(f"/desk/letter/{letter}", action="release", reason="Kind words.")
    assert response.headers["Location"] == "/desk/letters?done=released"
    await visitor.until_arrived()
    assert "On its way" in (await visitor.get(status))[1].text
    assert (await log_of(visitor.front, clock))[0] == Decision(letter, Action.RELEASE, "ann", "Kind words.")
    response, _ = await ann.post(f"/desk/letter/{letter}", action="release", reason="Again.")
    assert response.headers["Location"] == "/desk?done=gone"
    assert "Let a letter go" in (await ann.get("/desk/log"))[1].text


async def test_an_appeal_is_denied_with_rule_and_reason(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    status = await appeal(visitor, INSULT)
    other = await appeal(visitor, INSULT + " Yes, you.")
    assert await held(ann) == []
    first, second = await held(ann, "appeals")
    response, page = await ann.post(f"/desk/letter/{first}", action="refuse", reason="No.")
    assert response.status == 422
    assert "Tick at least one rule" in page.text
    assert page.fields["reason"] == "No."
    response, _ = await ann.post(
        f"/desk/letter/{first}", **{"action": "refuse", "reason": "It <i>insults</i>.", "rule-bullying": "on"}
    )
    assert response.headers["Location"] == f"/desk/letter/{second}?done=refused"
    told = [(await visitor.get(page))[1] for page in (status, other)]
    (refused,) = [page for page in told if "It was refused" in page.text]
    assert "It <i>insults</i>." in refused.text
    assert (await log_of(visitor.front, clock))[0] == Decision(
        first, Action.REFUSE, "ann", "It <i>insults</i>.", ("bullying",)
    )
    fields = {"action": "refuse", "reason": "It insults.", "rule-bullying": "on", "freeze": "on"}
    response, _ = await ann.post(f"/desk/letter/{second}", **fields)
    assert response.headers["Location"] == "/desk/appeals?done=refused-unfrozen", "no limits, so no pair is known"
    assert "nobody is kept from this recipient" in (await ann.get(response.headers["Location"]))[1].text


async def test_a_pile_on_has_a_list_and_a_freeze_keeps_its_writer_away(tmp_path: Path, clock: HandClock) -> None:
    options = replace(OPTIONS, limits=True, trusted_proxies=("127.0.0.0/8",))
    async with (
        running_front(tmp_path, clock, options) as front,
        aiohttp.ClientSession() as session,
        a_moderator(front) as ann,
    ):
        visitor = Visitor(front, session)
        for n in range(4):
            token = await visitor.preview(message=f"Thank you for {n} years.")
            assert (await visitor.send(token, X_Forwarded_For=f"192.0.2.{n}")).status == 303
        (letter,) = await held(ann, "pile-ons")
        fields = {"action": "refuse", "reason": "A hunt.", "rule-bullying": "on", "freeze": "on"}
        response, _ = await ann.post(f"/desk/letter/{letter}", **fields)
        assert response.headers["Location"] == "/desk/pile-ons?done=refused"
        assert {one.action for one in await log_of(front, clock)} == {"freeze", "refuse"}
        _, page = await ann.get("/desk/frozen")
        assert letter in page.text
        assert (await ann.post("/desk/frozen", letter=letter, action="thaw"))[0].status == 422
        response, _ = await ann.post("/desk/frozen", letter=letter, action="thaw", reason="A mistake.")
        assert response.headers["Location"] == "/desk/frozen?done=thawed"
        assert letter not in (await ann.get("/desk/frozen"))[1].text


async def test_a_report_is_settled(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    path = await receive(visitor)
    await visitor.post(path, {"action": "report", "rule": "hate", "words": "Such <b>words</b>."})
    await visitor.post(path, {"action": "report", "rule": "threat"})
    _, page = await ann.get("/desk/reports")
    assert "Such <b>words</b>." in page.text
    assert "Hate, Threat" in page.text, "what was said first is not lost"
    letter = page.fields["letter"]
    response, page = await ann.post("/desk/reports", letter=letter, action="dismissed")
    assert response.status == 422
    response, _ = await ann.post("/desk/reports", letter=letter, action="dismissed", reason="Harmless.")
    assert response.headers["Location"] == "/desk/reports?done=dismissed"
    assert "Nothing waits here" in (await ann.get("/desk/reports"))[1].text
    assert (await log_of(visitor.front, clock))[0] == Decision(letter, Action.DISMISSED, "ann", "Harmless.")


async def test_a_letter_to_who_reported_one_goes_once_that_is_decided(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:
    status = (await visitor.send(await visitor.preview(message=FOREIGN))).headers["Location"]
    path = await receive(visitor, message="Thank you.")
    await visitor.post(path, {"action": "report", "rule": "hate"})
    link = (await visitor.send(await visitor.preview(to="Ann+x@example.org", message="Again"))).headers["Location"]
    (letter,) = await held(ann)
    _, page = await ann.get(f"/desk/letter/{letter}")
    assert "it leaves once that report is decided" in page.text
    assert '<a href="/desk/reports">' in page.document
    response, _ = await ann.post(f"/desk/letter/{letter}", action="release", reason="Kind.")
    assert response.headers["Location"].endswith("?done=released")
    clock.move(600)
    for told in (status, link):
        await visitor.until_told(told, "On its way")
    assert visitor.front.relay.arrivals == 1, "nothing reaches who reported"
    _, page = await ann.get("/desk/reports")
    await ann.post("/desk/reports", letter=page.fields["letter"], action="dismissed", reason="Harmless.")
    clock.move(600)
    await visitor.until_arrived(3)
    for told in (status, link):
        assert "On its way" in (await visitor.get(told))[1].text
    assert await held(ann) == []


async def test_what_another_page_sends_decides_nothing(visitor: Visitor, ann: Moderator) -> None:  # S41
    await visitor.send(await visitor.preview(message=FOREIGN))
    (letter,) = await held(ann)
    path, fields = f"/desk/letter/{letter}", {"action": "release", "reason": "r"}
    assert (await ann.ask("POST", path, fields))[0].status == 403
    assert (await ann.ask("POST", path, fields | {"proof": ann.proof + "a"}))[0].status == 403
    proven = fields | {"proof": ann.proof}
    assert (await ann.ask("POST", path, proven, Sec_Fetch_Site="cross-site"))[0].status == 403
    assert (await ann.ask("POST", path, proven, Origin="https://evil.example"))[0].status == 403
    async with a_moderator(visitor.front, "bob") as bob:
        assert bob.proof != ann.proof
        assert (await ann.ask("POST", path, fields | {"proof": bob.proof}))[0].status == 403
    assert await held(ann) == [letter]


async def test_whoever_asks_for_no_page_comes_to_the_desk(ann: Moderator) -> None:
    for path in ("/", "/desk/"):
        response, _ = await ann.ask("GET", path, {})
        assert (response.status, response.headers["Location"]) == (303, "/desk")


async def test_no_letter_can_be_written_there(front: Front, ann: Moderator) -> None:  # RCP 11
    for path in ("/", "/en/preview", "/preview", "/desk/preview", "/desk/send", "/desk/letters", "/desk/letter"):
        for method in ("POST", "PUT"):
            response, _ = await ann.ask(method, path, {"to": "ann@example.org", "message": "m", "proof": ann.proof})
            assert response.status in {404, 405} or not path.startswith("/desk"), path
    assert front.relay.arrivals == 0


async def test_it_speaks_both_languages_and_lets_go(ann: Moderator) -> None:
    await ann.post("/desk/language")
    _, page = await ann.get("/desk")
    assert page.language == "fr"
    ann.proof = page.fields["proof"]
    assert "0 sur 1 000" in page.text
    for place in ("letters", "appeals", "pile-ons", "reports", "notices", "wall", "frozen", "cases", "log"):
        response, page = await ann.get(f"/desk/{place}?done=nonsense")
        assert (response.status, page.language) == (200, "fr")
        assert response.headers["Cache-Control"] == "no-store"
    assert (await ann.get("/desk/nowhere"))[0].status == 404
    await ann.post("/desk/leave")
    assert (await ann.get("/desk"))[0].status == 303


async def test_decisions_can_only_be_added(front: Front, ann: Moderator, clock: HandClock) -> None:
    count = "SELECT COUNT(*) FROM web_decision"
    with pytest.raises(Exception, match="append-only"):
        await front.database.write(lambda connection: list(connection.execute("UPDATE web_decision SET reason = ''")))
    await front.database.write(lambda connection: connection.execute("DELETE FROM web_decision"))
    assert await front.database.read(lambda connection: list(connection.execute(count))) == [(1,)]
    clock.move(timedelta(days=367).total_seconds())
    async with a_moderator(front, "bob"):
        await front.database.write(lambda connection: connection.execute("DELETE FROM web_decision"))
    actors = await front.database.read(lambda connection: list(connection.execute("SELECT actor FROM web_decision")))
    assert actors == [("bob",)]
