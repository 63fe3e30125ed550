"""Every page in every state can be read and used by everybody: axe-core finds nothing, and nothing has to be scrolled.

The default tours are two; with LEAK_TOURS=all both languages are seen in light and dark, narrow and wide. With
LEAK_SHOTS=FOLDER each stop leaves a screenshot there.
"""

from __future__ import annotations

import os
import re
from itertools import product
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.async_api import async_playwright

from tests.browser.tour import Tour
from tests.support.audit import audit_page
from web.catalogue import Language

CHROMIUM = Path("/usr/bin/chromium")
_ALL: Final = list(product(Language, ("light", "dark"), (320, 1280)))
_USUAL: Final = [(Language.FR, "light", 320), (Language.EN, "dark", 1280)]
_OURS: Final = r"http://127\.0\.0\.1:\d+/|data:"
_HARMLESS: Final = ("Failed to load resource", "[DOM] Password forms should have")
_SHOTS: Final = os.environ.get("LEAK_SHOTS", "")

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("language", "scheme", "width"), _ALL if os.environ.get("LEAK_TOURS") == "all" else _USUAL)
async def test_every_page_can_be_read_and_used(
    tmp_path: Path, language: Language, scheme: Literal["light", "dark"], width: int
) -> None:
    faults: dict[str, list[str]] = {}
    seen: list[str] = []
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        context = await browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 800}, locale=f"{language}-{language.upper()}"
        )
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda r: None if re.match(_OURS, r.url) else complaints.append(f"asked {r.url}"))
        async for stop in Tour(page, language, tmp_path).stops():
            seen.append(stop)
            keys: list[str] = await page.eval_on_selector_all("[accesskey]", "all => all.map(e => e.accessKey)")
            found = [f"access key twice: {key}" for key in set(keys) if keys.count(key) > 1]
            if _SHOTS:
                name = re.sub(r"\W+", "-", stop)
                await page.screenshot(path=f"{_SHOTS}/{name}.{language}.{scheme}.{width}.png", full_page=True)
            if found := found + await audit_page(page):
                faults[stop] = found
        assert all(re.fullmatch(r"leak-desk-\d+", cookie["name"]) for cookie in await context.cookies())
        await browser.close()
    assert faults == {}
    assert [one for one in complaints if not one.startswith(_HARMLESS)] == []
    assert len(seen) == len(set(seen)) > 60
