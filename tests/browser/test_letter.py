"""The first letter: form → preview → status → the lab's inbox, in a real Chromium with scripts off."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.support.whole_relay import whole_relay

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")

TEXT = "You were kind to me when nobody looked.\nI never said thank you."


async def test_a_letter_goes_from_the_form_to_the_inbox(tmp_path: Path) -> None:
    async with whole_relay(tmp_path) as relay, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        context = await browser.new_context(java_script_enabled=False, locale="en-GB")
        page = await context.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        try:
            await page.goto(f"{relay.http}/")
            await page.fill("[name=to]", "ok@inbox.lab.test")
            await page.check("[name=signature][value=friend]")
            await page.fill("[name=message]", TEXT)
            await page.check("[name=rules]")
            await page.click("main form button[type=submit]")
            await expect(page.locator("body")).to_contain_text("From a friend, anonymously.")
            await page.click("[name=action][value=send]")
            assert "/s/" in page.url
            (arrival,) = await relay.arrivals("ok@inbox.lab.test")
            for _ in range(50):
                await page.goto(page.url)
                if (
                    "provider" in (await page.inner_text("main")).lower()
                    and await page.locator("meta[http-equiv]").count() == 0
                ):
                    break
                await page.wait_for_timeout(100)
            await expect(page.locator("main")).to_contain_text("provider")

            await page.goto(relay.lab.inbox_url)
            await page.click("text=From a friend, anonymously.")
            await expect(page.locator("main")).to_contain_text("DMARC pass")
            await expect(page.frame_locator("iframe").locator("body")).to_contain_text("You were kind to me")
            verdict = arrival.verdict
            assert verdict is not None
            assert (verdict.spf.result, [one.result for one in verdict.dkim], verdict.dmarc.result) == (
                "pass",
                ["pass", "pass"],
                "pass",
            )
            assert await context.cookies() == []
            assert all(url.startswith(("http://127.0.0.1:", "about:", "data:")) for url in requests)
            # SND 1-2: nothing of the sender's connection is in the mail
            assert b"127.0.0.1" not in arrival.posting.content.replace(relay.settings.web.base_url.encode(), b"")
            assert b"Received:" not in arrival.posting.content
        finally:
            await browser.close()
