"""What a person wrote in a reply: its words, without the letter they quote and without a signature.

Pure, linear, and lenient as all of this package: it never raises for what a mail contains. Plain text is preferred; of
a mail that is HTML alone, the quoted parts go before the tags do. Attachments, pictures and header fields are not
looked at. What no mark tells from the writer's own words stays: rather too much of the letter than too little of them.
"""

from __future__ import annotations

import re
from typing import Final

from relay.report.decoding import plain_text
from relay.report.mime import Part, parse

MAX_CHARACTERS: Final = 2000
"""Of a reply; what follows is cut off, with a mark."""
CUT: Final = "…"

_MAX_READ: Final = 64 * 1024
_MAX_LINES: Final = 2000
_PROLOGUE: Final = 4
"""Lines that "On … wrote:" may fill."""

_QUOTE_NAME = re.compile(
    r"gmail_quote|moz-cite-prefix|yahoo_quoted|appendonsend|divRplyFwdMsg|OutlookMessageHeader|protonmail_quote"
    r"|tutanota_quote|zmail_extra|stopSpelling",
    re.IGNORECASE,
)
"""What mail programs call the part of a page that holds the mail they answer."""
_LONGEST_TAG: Final = 400
_QUOTING_TAG = re.compile(r"<(?:div|p|span|table|section|a|hr)\s", re.IGNORECASE)
_NAMING = re.compile(r"\b(?:class|id|name)\s{0,3}=\s{0,3}\Z", re.IGNORECASE)
_LAST_MARK = re.compile(r"[\"'=][^\"'=]*\Z")
_BLOCKQUOTE = re.compile(r"<(/?)blockquote\b", re.IGNORECASE)

_SEPARATOR = re.compile(
    r"[-_=*\s]{0,60}(?:original message|message d['’]origine|message original|forwarded message|message transféré"
    r"|message initial|reply message|ursprüngliche nachricht|mensaje original|messaggio originale)[-_=*:\s]{0,60}",
    re.IGNORECASE,
)
_RULE = re.compile(r"[_\u2500\u2014=*-]{10,200}")
"""A drawn line, such as stands above a letter's footer."""
_HEADER_LINE = re.compile(
    r"\*?(?:from|de|von|da|sent|envoyé(?: le)?|date|gesendet|to|à|pour|an|subject|objet|betreff|cc)\s{0,3}:\*?\s",
    re.IGNORECASE,
)
_WROTE = re.compile(
    r"(?:\bwrote|\ba écrit|\bécrit|\bschrieb\b.{0,200}|\bha scritto|\bescribió|\bhet volgende geschreven)\s{0,3}:$",
    re.IGNORECASE,
)
_PROLOGUE_BEGINS = re.compile(r"(?:on|le|am|il|el|op)\b|.{0,200}<[^<>\s]{1,255}@", re.IGNORECASE)
_SIGNATURE = re.compile(r"--\s{0,2}")
_PHONE_SIGNATURE = re.compile(
    r"(?:sent from (?:my|outlook|mail|yahoo|proton)|sent with proton|get outlook for|gesendet von"
    r"|envoyé de(?:puis)? (?:mon|ma|l['’])|envoyé (?:à partir|depuis|avec) |télécharger outlook|obtenez outlook"
    r"|provenance : courrier)[^\n]{0,150}",
    re.IGNORECASE,
)


def read_reply_text(raw: bytes) -> str:
    """The words of the reply in `raw`, lines ended by \\n, at most `MAX_CHARACTERS`; "" if it has none of its own."""
    found = _text_of(parse(raw))
    lines = [line.rstrip() for line in found.split("\n")[:_MAX_LINES]]
    words = re.sub(r"\n{3,}", "\n\n", "\n".join(_own(lines))).strip()
    return words if len(words) <= MAX_CHARACTERS else words[: MAX_CHARACTERS - 1].rstrip() + CUT


def _text_of(message: Part) -> str:
    """The plain text of a mail, else its HTML without tags and quotes."""
    readable = [part for part in message.near() if not part.children and not _is_file(part)]
    for kind in ("text/plain", "text/html"):
        for part in readable:
            if part.kind == kind and (text := _shown(part)).strip():
                return text
    return ""


def _is_file(part: Part) -> bool:
    return part.first("content-disposition").strip().lower().startswith("attachment") or bool(part.file_name)


def _shown(part: Part) -> str:
    if part.kind == "text/plain":
        return part.shown(_MAX_READ)
    # As plain text for a moment, so that the tags that quote are still there.
    page = Part(part.fields, "text/plain", part.parameters, part.body).shown(_MAX_READ)
    return plain_text(_unquoted(page))


def _unquoted(page: str) -> str:
    """An HTML page up to where a mail program put the letter, without its block quotes."""
    page = page[: _quote_begins(page)]
    kept: list[str] = []
    depth, at = 0, 0
    for mark in _BLOCKQUOTE.finditer(page):
        if not depth:
            kept.append(page[at : mark.start()])
        depth = max(0, depth - 1) if mark[1] else depth + 1
        at = mark.start()
    if not depth:
        kept.append(page[at:])
    return "".join(kept)


def _quote_begins(page: str) -> int:
    """Where the tag begins whose class, id or name says that a mail program put the letter there; else the end.

    From each such word backwards: an expression that looks for tags with one takes seconds for a hostile page.
    """
    for word in _QUOTE_NAME.finditer(page):
        at = page.rfind("<", max(0, word.start() - _LONGEST_TAG), word.start())
        tag = page[at : word.start()] if at >= 0 else ""
        if ">" in tag or not _QUOTING_TAG.match(tag):
            continue
        mark = _LAST_MARK.search(tag)
        if mark is None:
            continue
        ends = mark.start() + (mark[0][0] == "=")
        if _NAMING.search(tag[max(0, ends - 16) : ends]):
            return at
    return len(page)


def _own(lines: list[str]) -> list[str]:
    """The lines that are no quote, no signature, and do not stand below the beginning of either."""
    own: list[str] = []
    looked = -1
    for number, line in enumerate(lines):
        bare = line.strip()
        if _SIGNATURE.fullmatch(line) or _ends(lines, number, bare):
            break
        if bare.startswith((">", "|>")):
            if len(own) != looked:  # once a quote, however many lines it has
                _drop_prologue(own)
                looked = len(own)
            continue
        own.append(line)
    _drop_prologue(own)
    while own and (not own[-1].strip() or _PHONE_SIGNATURE.fullmatch(own[-1].strip())):
        own.pop()
    return own


def _ends(lines: list[str], number: int, bare: str) -> bool:
    """Whether what was received begins here, as programs that quote without a mark before each line have it."""
    if _SEPARATOR.fullmatch(bare) or _RULE.fullmatch(bare):
        return True
    if not _HEADER_LINE.match(bare):
        return False
    block = [one.strip() for one in lines[number : number + 6]]
    return sum(_HEADER_LINE.match(one) is not None for one in block) >= 3


def _drop_prologue(own: list[str]) -> None:
    """Take the line away that says who wrote what is quoted next, however it was broken."""
    while own and not own[-1].strip():
        own.pop()
    for count in range(1, min(_PROLOGUE, len(own)) + 1):
        said = " ".join(line.strip() for line in own[-count:])
        if not _WROTE.search(said[-300:]):
            return
        if _PROLOGUE_BEGINS.match(said):
            del own[-count:]
            return
