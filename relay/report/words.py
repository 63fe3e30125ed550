"""What stands in the words of a refusal: addresses, reply codes, enhanced codes, out of text in any language.

Shared by all readers and the classifier. Every expression here is linear in its input: each try at a position
is bounded by a fixed length (S29).
"""

from __future__ import annotations

import re
from typing import Final

_TYPE_BEFORE = re.compile(r"^(?:smtp|rfc822|mailto|email|e-mail|to|addr)[=:]", re.IGNORECASE)
_LETTERS: Final = r"\u00c0-\u1fff\u2c00-\u2fff"
"""Of the scripts that put spaces between words; the quotes and signs between them belong to no address."""
_UNSPACED: Final = r"[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff66-\uff9f]"
"""Chinese, Japanese and Korean letters: words stand against an address without a space, so they never mix."""
_ATEXT: Final = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.\-{_LETTERS}]"
_LABEL: Final = rf"(?:[A-Za-z0-9_\-{_LETTERS}]{{1,63}}+|{_UNSPACED}{{1,63}}+)"
_LABELS: Final = rf"{_LABEL}(?:\.{_LABEL}){{0,20}}+"
_LITERAL: Final = r"\[[0-9A-Fa-f:.IPVipv]{3,60}\]"
_LOCAL: Final = rf"(?:(?<!{_ATEXT}){_ATEXT}{{1,128}}|(?<!{_UNSPACED}){_UNSPACED}{{1,64}}|\"[^\"\n@]{{1,62}}\")"

ADDRESS: Final = re.compile(rf"{_LOCAL}@(?:{_LABELS}|{_LITERAL})")
"""A mailbox in running text."""

_CODE = re.compile(
    r"(?:^|(?<=[\s>:;#'\"(\[=,]))([45]\d\d)(?=[ \-#:)\],;'\"_]|$|\.\s)"
    r"(?!\s*+(?:bytes|octets|kb|mb|k\b|recipients|days|hours))"
)
_SPOKEN_CODE = re.compile(
    r"(?:error|code|status|said|replied|response|smtp|returned)[ :=#(\[]{1,4}([45]\d\d)\b", re.IGNORECASE
)
_ENHANCED = re.compile(r"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d]|\.\d)")
_SPACE = re.compile(r"\s+")
MAX_CLASSIFIED: Final = 6000
"""Characters of a diagnostic that are looked at."""


def find_addresses(text: str) -> list[str]:
    """The addresses in `text`, in order, without what quotes or labels them; at most 200."""
    found: list[str] = []
    for match in ADDRESS.finditer(text):
        found.append(bare_address(match[0]))
        if len(found) == 200:
            break
    return [address for address in found if address[:1] not in ("", "@")]


def bare_address(text: str) -> str:
    """`text` without the marks that writers put before an address: quotes, bullets, "SMTP="."""
    return _TYPE_BEFORE.sub("", text.lstrip("'`*=/|{.~-")).rstrip(".-")


def find_code(text: str) -> int | None:
    """The first reply code 4xx or 5xx in `text` that stands like one, or None."""
    text = text[:MAX_CLASSIFIED]
    match = _CODE.search(text) or _SPOKEN_CODE.search(text)
    return int(match[1]) if match else None


def find_enhanced(text: str) -> str:
    """The first enhanced code of class 4 or 5 in `text` that tells more than its class, else the first, or ""."""
    first = ""
    for match in _ENHANCED.finditer(text[:MAX_CLASSIFIED]):
        if match[2] != "0" or match[3] != "0":
            return match[0]
        first = first or match[0]
    return first


def fold(text: str) -> str:
    """`text` as rules see it: one line, lower case, addresses replaced, typographic quotes made plain."""
    text = text[:MAX_CLASSIFIED]
    if "@" in text:
        text = ADDRESS.sub("<address>", text).replace("<<address>>", "<address>")
    text = _SPACE.sub(" ", text).strip().lower()
    return text.replace("\u2019", "'").replace("\u2018", "'").replace("\u201c", '"').replace("\u201d", '"')


def one_line(text: str, limit: int = 2000) -> str:
    """`text` with its white space made single spaces, at most `limit` characters."""
    return " ".join(text[: 2 * limit].split())[:limit]
