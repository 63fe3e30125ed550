"""The HTML of a mail, made safe to show and cheap to clean.

The sanitiser takes away what runs, submits or redirects (S42); its time grows with the square of the nesting, so
pages nested beyond reason are not shown at all. The frame's own policy stands behind it.
"""

from __future__ import annotations

import html
import re
from typing import Final

import nh3

MAX_DEPTH: Final = 4000
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,30})")
# These have no end tag, or one that is commonly left out and that the parser supplies.
_SELF_CLOSING = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "dd",
        "dt",
        "embed",
        "hr",
        "img",
        "input",
        "li",
        "link",
        "meta",
        "option",
        "p",
        "param",
        "source",
        "td",
        "th",
        "tr",
        "track",
        "wbr",
    ]
)
_LAYOUT = frozenset(
    [
        "align",
        "bgcolor",
        "border",
        "cellpadding",
        "cellspacing",
        "dir",
        "height",
        "lang",
        "role",
        "style",
        "valign",
        "width",
    ]
)
_WORDLESS = {"script", "style", "title"}
"""What stands in these is not shown by any mail program, so it is no part of the words."""

_CLEANER = nh3.Cleaner(
    clean_content_tags=_WORDLESS,
    tags=set(nh3.ALLOWED_TAGS) | {"font", "main", "section"},
    attributes={**nh3.ALLOWED_ATTRIBUTES, "*": set(_LAYOUT), "font": {"color", "face", "size"}},
    url_schemes={"http", "https", "mailto", "data"},
)


def clean(page: str) -> str | None:
    """`page` without scripts, forms, frames and redirections; None if it is nested too deep."""
    return None if _too_deep(page) else _CLEANER.clean(page)


def plain(page: str) -> str:
    """The words of a page, for snippets and search; "" if it is nested too deep."""
    return "" if _too_deep(page) else html.unescape(nh3.clean(page, tags=set(), clean_content_tags=_WORDLESS))


def _too_deep(page: str) -> bool:
    """Counts open elements, rather too many than too few: an end tag closes only what it names."""
    opened: list[str] = []
    for match in _TAG.finditer(page):
        name = match[2].lower()
        if name in _SELF_CLOSING:
            continue
        if not match[1]:
            opened.append(name)
            if len(opened) > MAX_DEPTH:
                return True
        elif opened and opened[-1] == name:
            opened.pop()
    return False
