"""The operator's pages open to a token, on this machine, and to nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.database.sqlite import SqliteDatabase
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.settings import settings_from
from tests.support.hand_clock import HandClock
from tests.support.operator import TOKEN, Operator, an_operator

PATHS = (
    "/admin/messages",
    "/admin/act?deed=retry&domain=b.example",
    "/admin/paths",
    "/admin/warm-up",
    "/admin/reports",
    "/admin/message/x",
    "/admin",
    "/admin/",
    "/admin/queue",
    "/admin/queue/domain?domain=b.example",
    "/admin/no-such-page",
)


@pytest.fixture
async def database(tmp_path: Path, clock: HandClock) -> AsyncIterator[SqliteDatabase]:
    settings = settings_from({"spool": {"url": "sqlite:spool.db"}, "node": {"secrets": "secrets"}}, tmp_path)
    stores = await open_stores(settings, clock, SystemEntropy())
    assert isinstance(stores.database, SqliteDatabase)
    yield stores.database
    await stores.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def nobody(database: SqliteDatabase, clock: HandClock) -> AsyncIterator[Operator]:
    async with an_operator(database, clock, entered=False) as somebody:
        yield somebody


async def test_only_a_token_opens_it(nobody: Operator, clock: HandClock) -> None:
    for path in PATHS:
        response, _ = await nobody.ask("GET", path)
        assert (response.status, response.headers["Location"].partition("?")[0]) == (303, "/admin/enter")
    for _ in range(10):
        assert (await nobody.enter("c" * 32)).status == 403
    assert (await nobody.enter()).status == 429
    clock.move(61)
    response = await nobody.enter()
    cookie = response.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/admin"} <= {part.strip() for part in cookie.split(";")}
    assert "mail.leak.example" in (await nobody.get("/admin")).text
    clock.move(13 * 3600)
    assert (await nobody.ask("GET", "/admin"))[0].status == 303


async def test_whoever_enters_comes_to_the_page_that_was_asked_for(nobody: Operator) -> None:
    response, _ = await nobody.ask("GET", "/admin/queue/domain?domain=b.example")
    fields = (await nobody.get(response.headers["Location"])).fields
    wrong, page = await nobody.ask("POST", "/admin/enter", fields | {"token": "c" * 32})
    assert wrong.status == 403
    response, _ = await nobody.ask("POST", "/admin/enter", page.fields | {"token": TOKEN})
    assert (response.status, response.headers["Location"]) == (303, "/admin/queue/domain?domain=b.example")


async def test_a_cookie_of_another_making_opens_nothing(nobody: Operator) -> None:
    port = nobody.url.rpartition(":")[2]
    for cookie in ("", "ann", "ann..9999999999.x", "ann...", "eve..9999999999.é", "...."):
        response, _ = await nobody.ask("GET", "/admin", Cookie=f"leak-admin-{port}={cookie}")
        assert response.status == 303


async def test_a_page_elsewhere_can_neither_ask_nor_enter(nobody: Operator) -> None:  # S41
    for headers in ({"Host": "evil.example"}, {"X_Forwarded_For": "192.0.2.1"}, {"Host": "evil.example:8081"}):
        response, page = await nobody.ask("GET", "/admin/enter", None, **headers)
        assert (response.status, "token" in page.document) == (403, False)
    assert (await nobody.enter(Origin="https://evil.example")).status == 403
    assert (await nobody.enter(Sec_Fetch_Site="cross-site")).status == 403


async def test_whoever_leaves_is_outside_and_nobody_is_made_to_leave(nobody: Operator) -> None:
    await nobody.enter()
    proof = (await nobody.get("/admin")).fields["proof"]
    for fields in ({}, {"proof": proof + "a"}):
        assert (await nobody.ask("POST", "/admin/leave", fields))[0].status == 403
    assert (await nobody.ask("POST", "/admin/leave", {"proof": proof}))[0].status == 303
    assert (await nobody.ask("GET", "/admin"))[0].status == 303


async def test_every_answer_carries_the_headers(nobody: Operator) -> None:  # S42
    page = (await nobody.ask("GET", "/admin/enter"))[1]
    (style,) = page.resources
    assert TOKEN not in page.document
    for path in (*PATHS, "/admin/enter", style, "/admin/style/other.css"):
        response, _ = await nobody.ask("GET", path)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Server"] == "leak"
        assert ("no-store" in response.headers["Cache-Control"]) is (path != style)


async def test_what_is_not_there_and_what_cannot_be_done_is_told(nobody: Operator) -> None:
    await nobody.enter()
    for path in ("/admin/no-such-page", "/admin/style/other.css"):
        assert (await nobody.ask("GET", path))[0].status == 404
    for path in ("/admin", "/admin/queue"):
        response, _ = await nobody.ask("POST", path, {"action": "retry"})
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
    response, _ = await nobody.ask("GET", "/")
    assert (response.status, response.headers["Location"]) == (303, "/admin")


async def test_a_database_that_is_away_is_told(nobody: Operator, database: SqliteDatabase) -> None:
    await nobody.enter()
    await database.write(lambda connection: list(connection.execute("ALTER TABLE alarm RENAME TO elsewhere")))
    assert (await nobody.ask("GET", "/admin"))[0].status == 500
    await database.write(lambda connection: list(connection.execute("ALTER TABLE elsewhere RENAME TO alarm")))
    assert (await nobody.ask("GET", "/admin"))[0].status == 200
