"""The moderators' desk in a real Chromium: by keyboard, without scripts, at 320 px, in light and dark; and that a
letter let go there arrives, while nobody but this machine reaches it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from relay.desk_tokens import ensure_desk_tokens
from relay.ids import SystemEntropy
from tests.support.audit import audit_page
from tests.support.form import PageReader
from tests.support.front import MODERATORS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import a_moderator
from tests.support.visitor import LETTER, Visitor
from tests.support.whole_relay import whole_relay
from tests.unit.web.test_desk import appeal
from tests.unit.web.test_ladder import FOREIGN, INSULT
from tests.unit.web.test_recipient import receive
from tests.unit.web.test_wall import offer

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            yield started
        finally:
            await started.close()


async def enter(page: Page, desk: str, token: str) -> None:
    await page.goto(f"{desk}/desk")
    await expect(page.locator("#token")).to_be_focused()
    await page.keyboard.type(token)
    await page.keyboard.press("Enter")
    await expect(page.locator("nav")).to_be_visible()


async def fill(front: Front, session: aiohttp.ClientSession) -> None:
    """Something on every list."""
    visitor = Visitor(front, session)
    await visitor.send(await visitor.preview(message=FOREIGN))
    await visitor.send(await visitor.preview(message=f"Zweitens: {FOREIGN}"))
    await appeal(visitor, INSULT)
    path = await receive(visitor)
    await visitor.post(path, {"action": "report", "rule": "hate", "words": "Words that hurt.\n\nAnd more of them."})


async def on_the_wall(front: Front, session: aiohttp.ClientSession, clock: HandClock) -> tuple[str, str, str]:
    """A published letter's recipient page and public address, and another that waits for a moderator."""
    visitor = Visitor(front, session)
    async with a_moderator(front) as ann:
        theirs, post = await offer(visitor, ann, clock)
        await ann.post(post, action="publish", shown="Thank you.\n\nFor all of it.", reason="Kind.")
        _, page = await visitor.get("/en/wall")
        (address,) = set(re.findall(r"/en/wall/(\w+)", page.document))
        _, post = await offer(visitor, ann, clock, message="Another one.")
    return theirs, address, post.removeprefix("/desk/")


async def test_every_page_can_be_read_and_used(tmp_path: Path, browser: Browser) -> None:
    faults: dict[str, list[str]] = {}
    clock = HandClock()
    async with running_front(tmp_path, clock) as front, aiohttp.ClientSession() as session:
        theirs, address, post = await on_the_wall(front, session, clock)
        await fill(front, session)
        for scheme, width, locale in (("light", 320, "fr-FR"), ("dark", 1280, "en-GB")):
            size = {"width": width, "height": 800}
            context = await browser.new_context(color_scheme=scheme, viewport=size, locale=locale)  # type: ignore[arg-type]
            page = await context.new_page()

            async def audit(name: str, page: Page = page, scheme: str = scheme) -> None:
                keys: list[str] = await page.eval_on_selector_all("[accesskey]", "all => all.map(e => e.accessKey)")
                twice = [f"access key twice: {key}" for key in set(keys) if keys.count(key) > 1]
                if found := await audit_page(page) + twice:
                    faults[f"{name} {scheme}"] = found

            for path in ("/wall", f"/wall/{address}", "/weekly", theirs, "/"):
                await page.goto(f"{front.url}/en{path}")
                await audit(path)
            await page.goto(f"{front.url}/en/weekly")
            await page.press("#to", "Enter")
            await expect(page.locator("#to-fault")).to_be_visible()
            await audit("weekly refused")
            await page.fill("#to", "bob@example.org")
            await page.press("#to", "Enter")
            await expect(page.get_by_role("status")).to_contain_text("a question is on its way")
            await audit("weekly asked")
            await page.goto(f"{front.desk}/desk/enter")
            await page.fill("#token", "x")
            await page.keyboard.press("Enter")
            await expect(page.locator("#token-fault")).to_be_visible()
            await audit("refused")
            await enter(page, front.desk, MODERATORS["ann"])
            await audit("today")
            for place in (
                "letters",
                "appeals",
                "pile-ons",
                "reports",
                "wall",
                post,
                "frozen",
                "cases",
                "log",
                "nowhere",
            ):
                await page.goto(f"{front.desk}/desk/{place}")
                await audit(place)
            await page.goto(f"{front.desk}/desk/appeals")
            await page.click(".pile a")
            await expect(page.locator("textarea")).to_be_visible()
            await audit("appeal")
            await page.locator("textarea").evaluate("e => e.required = false")
            await page.press("textarea", "Tab")
            await page.keyboard.press("Enter")
            await expect(page.locator(".summary")).to_be_focused()
            await audit("problem")
            await context.close()
    assert faults == {}


async def test_a_letter_let_go_by_keyboard_arrives(tmp_path: Path, browser: Browser) -> None:
    async with whole_relay(tmp_path, api={"admin_listen": "127.0.0.1:0"}) as relay, aiohttp.ClientSession() as session:
        desk = f"http://127.0.0.1:{relay.desk_port}"
        for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"Host": "evil.example"}):
            async with session.get(f"{desk}/desk/enter", headers=headers) as response:
                assert response.status == 403
        async with session.get(f"{relay.http}/desk") as response:
            assert response.status == 404
        async with session.post(
            f"{relay.http}/en/preview", data=LETTER | {"to": "ok@inbox.lab.test", "message": FOREIGN}
        ) as response:
            fields = {"token": PageReader(await response.text()).fields["token"], "action": "send"}
        async with session.post(f"{relay.http}/en/preview", data=fields) as response:
            assert response.status == 200
        token = ensure_desk_tokens(tmp_path / "secrets", SystemEntropy())["moderator"]
        context = await browser.new_context(java_script_enabled=False, locale="en-GB")
        page = await context.new_page()
        await enter(page, desk, token)
        await page.locator("[accesskey='1']").focus()
        await page.keyboard.press("Enter")
        await page.locator(".pile a").focus()
        await page.keyboard.press("Enter")
        await page.locator("textarea").focus()
        await page.keyboard.type("Kind words.")
        await page.keyboard.press("Tab")
        await expect(page.locator("[accesskey=l]")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("It may go")
        (cookie,) = await context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/desk")
        async with session.post(f"{relay.http}/en/weekly", data={"to": "bob@inbox.lab.test"}) as response:
            assert response.status == 200
        (asked,) = await relay.arrivals("bob@inbox.lab.test")
        assert b"From: Leak <weekly@leak.lab.test>" in asked.posting.content
        (arrival,) = await relay.arrivals("ok@inbox.lab.test")
        assert b"vermisse" in arrival.posting.content
