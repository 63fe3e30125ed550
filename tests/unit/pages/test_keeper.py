"""A door's keeper, whatever the door looks like: what needs a cookie, what needs a proof, and what the log is told."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from relay.pages.errors import pages_for_errors
from relay.pages.keeper import ENTERED, DoorKeeper, Refusal, read_proven
from relay.pages.token_door import TokenDoor
from tests.support.hand_clock import HandClock
from tests.support.served import served

TOKEN = "k" * 32


class BareFace:
    """A door without any ornament; `welcomed` are those who came."""

    def __init__(self) -> None:
        self.welcomed: list[str] = []

    def form(self, _request: web.Request, refusal: Refusal | None, onward: str) -> web.Response:
        return web.Response(text=f"form {onward}".strip(), status=200 if refusal is None else refusal.value)

    def redirect(self, location: str) -> web.Response:
        return web.Response(status=303, headers={"Location": location})

    async def welcome(self, _request: web.Request, name: str) -> str:
        self.welcomed.append(name)
        return "note"


async def inside(request: web.Request) -> web.StreamResponse:
    entered = request[ENTERED]
    return web.Response(text=f"{entered.name} {entered.note} {entered.proof}")


async def proven(request: web.Request) -> web.StreamResponse:
    return web.Response(text=(await read_proven(request))["said"])


async def outside(request: web.Request) -> web.StreamResponse:
    return web.Response(text=str(ENTERED in request))


@pytest.fixture
def face() -> BareFace:
    return BareFace()


@pytest.fixture
async def shed(face: BareFace) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser at a shed with a door."""
    keeper = DoorKeeper(TokenDoor("shed", {"eve": TOKEN}, HandClock()), face, outside=("/shed/style/",))
    below = web.Application(middlewares=[keeper.keep])
    below.add_routes([*keeper.routes(), web.get("", inside), web.post("/do", proven), web.get("/style/x", outside)])
    app = web.Application(
        middlewares=[pages_for_errors(lambda _, kind, status: web.Response(text=kind, status=status))]
    )
    app.add_routes([web.get("/", keeper.lead)])
    app.add_subapp("/shed", below)
    jar = aiohttp.CookieJar(unsafe=True)
    async with served(app) as url, aiohttp.ClientSession(url, cookie_jar=jar) as session:
        yield session


async def ask(
    shed: aiohttp.ClientSession, method: str, path: str, fields: dict[str, str] | None = None
) -> tuple[int, str]:
    """The status, and the text or where it leads."""
    async with shed.request(method, path, data=fields, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location", await answer.text())


async def test_what_stands_outside_needs_no_token_and_the_rest_does(shed: aiohttp.ClientSession) -> None:
    assert await ask(shed, "GET", "/") == (303, "/shed")
    assert await ask(shed, "GET", "/shed/style/x") == (200, "False")
    for method, path in (("GET", "/shed"), ("POST", "/shed/do"), ("POST", "/shed/leave")):
        assert await ask(shed, method, path, {"said": "x"} if method == "POST" else None) == (303, "/shed/enter")
    assert await ask(shed, "GET", "/shed/entering") == (303, "/shed/enter?to=/shed/entering")
    assert await ask(shed, "GET", "/shed/enter") == (200, "form")


async def test_a_form_needs_the_proof_of_its_session(shed: aiohttp.ClientSession) -> None:
    assert await ask(shed, "POST", "/shed/enter", {"token": TOKEN}) == (303, "/shed")
    name, note, proof = (await ask(shed, "GET", "/shed"))[1].split()
    assert (name, note) == ("eve", "note")
    for other in ("", proof[:-1], "é", "\N{SNOWMAN}" * 20):
        assert await ask(shed, "POST", "/shed/do", {"proof": other, "said": "x"}) == (403, "foreign")
    assert await ask(shed, "POST", "/shed/do", {"proof": proof, "said": "x"}) == (200, "x")
    assert await ask(shed, "POST", "/shed/leave", {"proof": proof}) == (303, "/shed/enter")
    assert await ask(shed, "GET", "/shed") == (303, "/shed/enter")


@pytest.mark.parametrize("page", ["/shed/box", "/shed/box?lid=open&of=a%20%26b%2Fc&of=d", "/shed/a//b?to=//x.example"])
async def test_a_token_leads_to_the_page_that_was_asked_for(shed: aiohttp.ClientSession, page: str) -> None:
    asked = URL(page, encoded=True)
    async with shed.get(asked, allow_redirects=False) as answer:
        form = URL(answer.headers["Location"], encoded=True)
    assert (answer.status, form.path) == (303, "/shed/enter")
    async with shed.get(form) as answer:
        onward = (await answer.text()).removeprefix("form ")
    assert await ask(shed, "POST", "/shed/enter", {"token": "w" * 32, "to": onward}) == (403, f"form {onward}")
    assert await ask(shed, "POST", "/shed/enter", {"token": TOKEN, "to": onward}) == (303, page)


@pytest.mark.parametrize(
    "page",
    [
        "https://evil.example/shed/box",
        "//evil.example/shed/box",
        "/\\evil.example",
        "/shed/\\evil.example",
        "/shed/box\r\nSet-Cookie: a=b",
        "/shed/ box",
        "/shed/é",
        "/shed/" + "a" * 2000,
        "/shed?x=//evil.example",
        "/shedding",
        "/elsewhere",
        "/shed/enter?to=/shed/box",
        "shed/box",
        "javascript:alert(1)",
        "",
    ],
)
async def test_a_token_leads_to_no_other_site(shed: aiohttp.ClientSession, page: str) -> None:
    assert await ask(shed, "GET", f"/shed/enter?{urlencode({'to': page})}") == (200, "form")
    assert await ask(shed, "POST", "/shed/enter", {"token": TOKEN, "to": page}) == (303, "/shed")


async def test_the_log_tells_who_came_and_no_token(
    shed: aiohttp.ClientSession, face: BareFace, log_lines: io.StringIO
) -> None:
    assert await ask(shed, "POST", "/shed/enter", {"token": "w" * 32}) == (403, "form")
    assert face.welcomed == []
    assert await ask(shed, "POST", "/shed/enter", {"token": TOKEN}) == (303, "/shed")
    assert face.welcomed == ["eve"]
    told = log_lines.getvalue()
    assert '"action": "door-refused", "door": "shed"' in told
    assert '"action": "door-entered", "door": "shed", "by": "eve"' in told
    assert TOKEN not in told
    assert "wwww" not in told
