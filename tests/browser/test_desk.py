"""The moderators' desk in a real Chromium, by keyboard, without scripts: a letter let go there arrives.

Nobody but this machine reaches it. How its pages look is in `test_pages.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from relay.door_tokens import ensure_desk_tokens
from relay.ids import SystemEntropy
from tests.support.form import PageReader
from tests.support.visitor import LETTER
from tests.support.whole_relay import whole_relay
from tests.unit.web.test_ladder import FOREIGN

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
