"""Whether a page in a real browser can be read and used by everybody: axe-core's rules, and what axe leaves out."""

from __future__ import annotations

from typing import Any, Final

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

_RULES: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}

_RUN: Final = "options => axe.run(document, options).then(found => found.violations)"

# A page that has to be scrolled sideways, on a narrow window with letters of twice their size too (WCAG 2.2 §1.4.10 and
# §1.4.4), references that lead nowhere, and a title that stands closer to what it does not name, or sticks to a box.
_REST = """() => {
  const faults = [], page = document.documentElement;
  if (page.scrollWidth > innerWidth) faults.push('wider than the window');
  if (innerWidth <= 320) {
    page.style.fontSize = '200%';
    if (page.scrollWidth > innerWidth) faults.push(`${page.scrollWidth} px wide with large letters`);
    page.style.fontSize = '';
  }
  for (const e of document.querySelectorAll('[aria-describedby]'))
    for (const id of e.getAttribute('aria-describedby').trim().split(/ +/))
      if (!document.getElementById(id)) faults.push('described: ' + id);
  for (const e of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(e.hash.slice(1))) faults.push('leads nowhere: ' + e.hash);
  for (const e of document.querySelectorAll(':is(h1, h2, h3):has(+ :is(.sheet, .aside, .summary))')) {
    const box = e.getBoundingClientRect(), gap = e.nextElementSibling.getBoundingClientRect().top - box.bottom;
    const above = e.previousElementSibling?.getBoundingClientRect();
    if (gap < (e.tagName === 'H1' ? 16 : 12)) faults.push(`${Math.round(gap)} px below its title: ${e.textContent}`);
    if (above?.height && box.top - above.bottom < gap) faults.push('stands off what it names: ' + e.textContent);
  }
  return faults;
}"""


async def audit_page(page: Page) -> list[str]:
    """What is wrong with the page, a line for each fault and element; needs a context with scripts."""
    await page.wait_for_load_state("load")  # a page of a form is there before its style is
    await page.evaluate(AXE_SCRIPT)
    # Only what is wrong leaves the browser: on a page without faults the rest is a hundred rules and where each held.
    found: list[dict[str, Any]] = await page.evaluate(_RUN, _RULES)
    faults = [f"{violation['id']}: {node['html']}" for violation in found for node in violation["nodes"]]
    return faults + list(await page.evaluate(_REST))
