"""The operator's pages in a real Chromium: axe-core finds nothing, and nothing but tables has to be scrolled sideways.

With LEAK_TOURS=all they are seen in light and dark, narrow and wide; with LEAK_SHOTS=FOLDER each leaves a screenshot.
"""

from __future__ import annotations

import os
import re
import zlib
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.async_api import async_playwright, expect

from relay.clock import to_millis
from relay.database.contract import Connection
from relay.engine.alarms import Alarms
from relay.figures.depths import Depth
from relay.ids import SpoolId
from relay.policy.alarms import AlarmKind
from relay.policy.outcome import Result
from relay.policy.warm_up import WarmUpRules, today
from relay.shaping.contract import Question, WarmUpKey
from relay.shaping.path_notes import PathNote, PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Suspension, Verb
from tests.contract.test_learning import BLOCKED, FULL, GONE, Bench, bench
from tests.support.audit import audit_page
from tests.support.operator import TOKEN, an_operator
from tests.unit.admin.test_pages import waits
from tests.unit.report.test_aggregate_reading import document

__all__ = ["bench"]

CHROMIUM = Path("/usr/bin/chromium")
_ALL: Final = list(product(("light", "dark"), (320, 1280)))
_USUAL: Final = [("light", 320), ("dark", 1280)]
_SHOTS: Final = os.environ.get("LEAK_SHOTS", "")
_PAGES: Final = (
    "",
    "/queue",
    "/queue?by=site&provider=other",
    "/queue?by=domain",
    "/queue/domain?domain=b.example",
    "/messages",
    "/messages?id=wrong",
    "/messages?recipient=a0@b.example",
    "/messages?recipient=nobody@b.example",
    "/message/{}",
    "/act?deed=suspend&domain=b.example",
    "/act?deed=release&domain=b.example",
    "/act?deed=resume&suspension=1",
    "/act?deed=retry&domain=nowhere.example",
    "/paths",
    "/warm-up",
    "/reports",
    "/queue?back=quarter",
    "/no-such-page",
)

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")


async def fill(bench: Bench) -> SpoolId:
    """A day of mail with something on every page; a message that failed."""
    await WarmUpBook(bench.database, bench.clock).migrate()
    for number in range(4):
        for _ in range(5 - number):
            await bench.ends(f"a{number}@b.example", Result.DELIVERED)
        await bench.ends(f"gone{number}@b.example", Result.PERMANENT, GONE)
        bench.clock.move(3600)
    await bench.ends("full@b.example", Result.TEMPORARY, FULL)
    refused = await bench.ends("us@b.example", Result.PERMANENT, BLOCKED)
    await bench.learn()
    now = bench.clock.now()
    for recipient in ("a@gmail.com", "b@b.example", "c@an-unusually-long-name-of-a-domain.example"):
        await waits(bench, recipient)
    held = await waits(bench, "d@b.example")
    await bench.spool.ask(Verb.HOLD, QueueFilter(message=held), "asked by the sender", timedelta())
    await bench.spool.suspend(Suspension(0, "", "b.example", "", now + timedelta(hours=3), "they are down"))
    rest = PathNote("mx.b.example", "ip1", now, now + timedelta(minutes=9), "connect", "connection refused")
    await PathNotes(bench.database, bench.clock).write(1, [rest], ())
    await bench.spool.note_site(1, "b.example", "mx.b.example")
    day = today(now.timestamp())
    for source, ceilings in (("ip1", (50, 100)), ("ip2", ())):
        key = WarmUpKey("leak.example", source, 4, "google")
        await WarmUpBook(bench.database, bench.clock).ask([Question(key, 30, False, WarmUpRules(ceilings), day)])
    report = document(("192.0.2.10", 9, "pass", "pass"), begin=int(now.timestamp()) - 86400)

    def report_and_count(connection: Connection) -> None:
        connection.execute("INSERT INTO warm_up_day VALUES (1, ?, 40, 3, 2, 0)", (day - 1,))
        connection.execute(
            "INSERT INTO aggregate_report (form, domain, digest, at, content) VALUES ('dmarc', 'd', ?, ?, ?)",
            ("0", to_millis(now), zlib.compress(report)),
        )

    await bench.database.write(report_and_count)
    for step in range(500):  # a night with an outage, and an hour in which no node ran
        deep = 40 + (step % 90) * 3 + (4000 if 200 < step < 260 else 0)
        if not 300 < step < 313:
            counted = Depth(now - timedelta(minutes=5 * step), deep, deep // 9, deep // 5, timedelta(minutes=step))
            await bench.figures.note_depth(counted)
    await Alarms(bench.spool, bench.clock).start(AlarmKind.DKIM_KEY, "leak.example", "no key can be read")
    return refused


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bench", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("scheme", "width"), _ALL if os.environ.get("LEAK_TOURS") == "all" else _USUAL)
async def test_every_page_can_be_read_and_used(bench: Bench, scheme: Literal["light", "dark"], width: int) -> None:
    refused = await fill(bench)
    faults: dict[str, list[str]] = {}
    complaints: list[str] = []
    async with an_operator(bench.database, bench.clock) as ann, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda r: None if r.url.startswith(ann.url) else complaints.append(f"asked {r.url}"))

        async def look(name: str) -> None:
            closed = page.locator("details:not([open]) > summary")
            while await closed.count():
                await closed.first.click()
            if _SHOTS:
                file = re.sub(r"\W+", "-", f"admin-{name}").rstrip("-")
                await page.screenshot(path=f"{_SHOTS}/{file}.{scheme}.{width}.png", full_page=True)
            if found := await audit_page(page):
                faults[name] = found

        await page.goto(f"{ann.url}/admin")
        await expect(page.locator("#token")).to_be_focused()
        await look("enter")
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await look("refused")
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator("nav")).to_be_visible()
        for path in _PAGES:
            await page.goto(f"{ann.url}/admin{path.format(refused)}")
            await look(path.strip("/{}") or "today")
        (cookie,) = await context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/admin")
        await browser.close()
    assert faults == {}
    assert [one for one in complaints if "Failed to load resource" not in one and "Password forms" not in one] == []
