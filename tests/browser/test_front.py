"""The front in a real Chromium: with scripts off and on, by keyboard.

What only a browser can tell: that the policy blocks nothing of our own, that no request leaves for anybody
else, and that stored markup does not run. Contrast, target sizes and reflow: `test_pages.py`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.front import Front, running_front
from tests.support.hand_clock import HandClock

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests here, each of which has a context of its own: starting one takes seconds."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            yield started
        finally:
            await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with running_front(tmp_path, HandClock()) as running:
        yield running


@asynccontextmanager
async def a_page(browser: Browser, front: Front, **options: Any) -> AsyncIterator[Page]:
    """A page of a fresh context that must not complain, run foreign code, keep a cookie or ask anybody else."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on("request", lambda r: None if r.url.startswith(front.url) else complaints.append(f"asked {r.url}"))
    try:
        yield page
        assert [c for c in complaints if "Failed to load resource" not in c] == []
        assert await context.cookies() == []
    finally:
        await context.close()


async def _fill(page: Page, to: str = "ann@example.org", message: str = "Thank you.\n\nFor all of it.") -> None:
    await page.fill("#to", to)
    await page.fill("#message", message)
    await page.check("#signature-friend")
    await page.check("#rules")


@pytest.mark.parametrize("scripts", [False, True])
async def test_a_letter_without_and_with_scripts(browser: Browser, front: Front, scripts: bool) -> None:
    async with a_page(browser, front, java_script_enabled=scripts, locale="en-GB") as page:
        await page.goto(f"{front.url}/")
        await _fill(page)
        await page.click("button.main")
        await expect(page.locator(".mail dl")).to_contain_text("From a friend, anonymously.")
        await expect(page.locator(".words p")).to_have_text(["Thank you.", "For all of it."])
        await page.click("text=Change something")
        await expect(page.locator("#message")).to_have_value("Thank you.\n\nFor all of it.")
        await page.click("button.main")
        await page.click("text=Send the letter")
        assert re.fullmatch(rf"{front.url}/s/[0-9a-z]{{32}}", page.url)
        assert len(front.relay.letters) == 1
        front.relay.settle("delivered")
        await page.goto(page.url)
        await expect(page.locator("main")).to_contain_text("It may still be in the spam folder")


async def test_by_keyboard_alone_the_enter_key_previews(browser: Browser, front: Front) -> None:
    async with a_page(browser, front, locale="en-GB") as page:
        await page.goto(f"{front.url}/en/")
        await _fill(page)
        await page.focus("#to")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("This is what they will receive")


async def test_the_switch_keeps_what_was_typed(browser: Browser, front: Front) -> None:
    async with a_page(browser, front, locale="fr-FR") as page:
        await page.goto(f"{front.url}/")
        await expect(page.locator("h1")).to_have_text("Écrire une lettre anonyme")
        await _fill(page)
        await page.click(".switch")
        await expect(page.locator("h1")).to_have_text("Write an anonymous letter")
        await expect(page.locator("#to")).to_have_value("ann@example.org")
        await expect(page.locator("#signature-friend")).to_be_checked()
        await page.click("button.main")
        await page.click(".switch")
        await expect(page.locator(".mail dl")).to_contain_text("De la part d’un·e ami·e, anonymement.")


async def test_errors_take_the_focus_and_lead_to_their_fields(browser: Browser, front: Front) -> None:
    async with a_page(browser, front, locale="en-GB") as page:
        await page.goto(f"{front.url}/en/")
        await page.click("button.main")
        await expect(page.locator(".summary")).to_be_focused()
        await page.click(".summary a >> nth=0")
        await expect(page.locator("#to")).to_be_focused()


async def test_back_brings_back_what_was_typed(browser: Browser, front: Front) -> None:
    async with a_page(browser, front, locale="en-GB") as page:
        await page.goto(f"{front.url}/en/")
        await _fill(page)
        await page.click("button.main")
        await expect(page.locator(".words")).to_be_visible()
        await page.go_back()
        await expect(page.locator("#message")).to_have_value("Thank you.\n\nFor all of it.")


async def test_stored_markup_never_runs(browser: Browser, front: Front) -> None:  # S42
    payloads = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</textarea><svg onload=alert(1)>"]
    async with a_page(browser, front, locale="en-GB") as page:
        for payload in payloads:
            await page.goto(f"{front.url}/en/")
            await _fill(page, message=payload)
            await page.click("button.main")
            await expect(page.locator(".words")).to_have_text(payload)
            await page.click("text=Change something")
            await expect(page.locator("#message")).to_have_value(payload)
            await page.fill("#to", f'"{payload[:30]}"@example.org')
            await page.fill("#pseudonym", payload[:30])
            await page.click("button.main")
            await expect(page.locator(".summary")).to_be_visible()
