# ruff: noqa: E501
"""What gives a person away or asks for money without being a word: numbers, addresses, wallets, links.

Each expression is linear: its parts cannot match the same characters, and repetitions are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Trace(StrEnum):
    """A kind of thing that is found by its form."""

    PHONE = "phone"
    MAILBOX = "mailbox"
    STREET = "street"
    ACCOUNT = "account"
    WALLET = "wallet"
    LINK = "link"
    SITE = "site"
    """A link without its beginning, which mail programs make one of."""


@dataclass(frozen=True, slots=True)
class Found:
    """A trace and its place in the text as written."""

    trace: Trace
    start: int
    end: int


_FORMS: Final = {
    Trace.WALLET: r"\b(?:bc1[a-z0-9]{20,60}|[13][a-km-zA-HJ-NP-Z1-9]{25,34}|0x[0-9a-fA-F]{40}|4[0-9AB][1-9A-HJ-NP-Za-km-z]{93})\b",
    Trace.ACCOUNT: r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b|\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b"
    r"|\b\d{3}-\d{2}-\d{4}\b|\b[12] ?\d{2} ?[01]\d ?\d{2} ?\d{3} ?\d{3}(?: ?\d{2})?\b",
    Trace.LINK: r"\bh(?:tt|xx)ps?://[^\s<>]{3,300}|\bwww\.[^\s<>]{3,300}",
    Trace.MAILBOX: r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{2,63}",
    Trace.PHONE: r"(?<![\w+])(?:\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:(?=[ .-]?\d{2,20}(?!\w))[ .-]?\d{2,4}){2,5}|0\d(?:[ .-]?\d{2}){4}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}"
    r"|07\d{3} ?\d{6})(?!\w)",
    Trace.STREET: r"(?i:\b\d{1,4}(?: ?bis| ?ter)?,? (?:rue|avenue|av\.|boulevard|bd|allée|impasse|chemin|place|quai|route) [^\n,.]{2,40}"
    r"|\b\d{1,5} (?:[a-z]{2,15} ){1,3}(?:street|st|road|rd|avenue|ave|lane|ln|drive|close|court|crescent|terrace)\b)",
    # Endings that are a word as well ("so happy.me too", "bonjour.ca va") only with a path behind.
    Trace.SITE: r"(?<![\w@.-])(?:[A-Za-z0-9][A-Za-z0-9-]{1,62}(?:\.| ?[(\[](?:\.|dot)[)\]] ?| dot (?=com\b|net\b|org\b))){1,4}"
    r"(?:(?:com|net|org|info|biz|io|xyz|fr|uk|ch|ly|gg)(?![\w-])(?:/[^\s<>]{0,300})?|[a-z]{2,10}/[^\s<>]{1,300})",
}
MOST_FOUND: Final = 20
"""Traces that are looked for: a letter has none or one."""
_COMPILED: Final = tuple((trace, re.compile(form)) for trace, form in _FORMS.items())
_SIGNS: Final = {Trace.LINK: ("://", "www."), Trace.MAILBOX: ("@",)}
"""What a text has in which there is such a one."""
_WORTH_LOOKING: Final = re.compile(r"\d{2}|@|://|www\.|\b\d |\w\.[a-z]{2}|[(\[](?:\.|dot)[)\]]| dot ")


def find_traces(text: str) -> list[Found]:
    """The first `MOST_FOUND` traces in `text`, kind by kind; of two in the same place the first kind."""
    if not _WORTH_LOOKING.search(text):
        return []
    found: list[Found] = []
    for trace, form in _COMPILED:
        if trace in _SIGNS and not any(sign in text for sign in _SIGNS[trace]):
            continue
        for match in form.finditer(text):
            if not any(one.start < match.end() and match.start() < one.end for one in found):
                found.append(Found(trace, *match.span()))
            if len(found) >= MOST_FOUND:
                return found
    return found
