"""The mail that came back inside a report: its header, whole or in part, from wherever a program put it.

Used by every reader. Parts of type message/rfc822, text/rfc822-headers and their UTF-8 forms first; else the lines
after "Below is a copy of your message", as older programs write it.
"""

from __future__ import annotations

import re
from typing import Final

from relay.report.mime import Part, read_fields
from relay.report.result import Original
from relay.report.words import find_addresses

_MAX_KEPT: Final = 300
_HEADER_KINDS = frozenset(
    {"text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers", "text/rfc822"}
)
_MESSAGE_KINDS = frozenset({"message/rfc822", "message/global"})
_SIGNS: Final = (
    "below this line is a copy",
    "below the next line is a copy",
    "below this line is the original",
    "below is a copy of",
    "this is a copy of the",
    "this is a copy of your",
    "original message follow",
    "original message:",
    "original message header",
    "original message attached",
    "original message -",
    "original message=",
    "- original message",
    "--original message",
    "unsent message follow",
    "message header follow",
    "message headers follow",
    "headers of the original",
    "header of the original",
    "header of your original",
    "headers of your original",
    "returned message",
    "returned mail",
    "message text follow",
    "message body follow",
    "message follows",
    "undelivered message follow",
    "the text of the message",
    "copy of the message header",
    "copy of your message",
    "copy of the original",
    "enclosed is a copy",
    "message non-deliverable",
    "the message text",
    "old message:",
    "your message reads",
    "original mail",
    "mensaje original",
    "copia del mensaje",
    "message d'origine",
    "message original",
    "copie du message",
    "ursprüngliche nachricht",
    "originalnachricht",
    "header der original",
    "kopie der nachricht",
    "kopie ihrer",
    "messaggio originale",
    "copia del messaggio",
    "mensagem original",
    "oorspronkelijk bericht",
    "oryginalna wiadomo",
    "исходное сообщение",
    "копия сообщения",
    "元のメッセージ",
    "原始邮件",
    "原邮件",
)
_HEADER_LINE = re.compile(
    r"(?:received: (?:from|by)|return-path: ?<|message-id: ?<|dkim-signature:|x-mailer:|mime-version: 1|x-original-to:"
    r"|delivered-to: |x-sender:|content-type: \w+/)"
)
_NOT_SIGNS = (
    *("the original message was received", "your original message was", "original message was", "original message id"),
    *(
        "original message-id",
        "original message subject",
        "subject of the original",
        "原邮件主题",
        "原邮件标题",
        "原始邮件主题",
    ),
)
_QUOTE = re.compile(r"^[ \t>|]{1,8}")


def returned_part(container: Part, *, besides: Part | None = None) -> Original | None:
    """The original among the parts under `container`, or None."""
    for part in container.walk():
        if part is container or part is besides:
            continue
        if part.kind in _MESSAGE_KINDS and part.children:
            fields = part.children[0].fields
        elif part.kind in _HEADER_KINDS or part.kind in _MESSAGE_KINDS:
            fields = read_fields(part.data[:65536].replace(b"\r\n", b"\n").lstrip(b"\n"))
        else:
            continue
        if fields:
            return Original(fields[:_MAX_KEPT])
    return None


def split_notice(text: str) -> tuple[str, Original | None]:
    """What the program says, and the original whose copy begins below it; its header if one can be read."""
    lines = text.split("\n")
    for number, line in enumerate(lines[:3000]):
        bare = _QUOTE.sub("", line).lower() if line[:1] in " \t>|" else line.lower()
        if _HEADER_LINE.match(bare) and (line[:1] not in " \t" or bare.startswith(("received:", "return-path:"))):
            return "\n".join(lines[:number]), _read_original(lines, number)
        if number > 1 and len(bare) < 160 and _is_sign(bare):
            original = _read_original(lines, number + 1)
            if original is not None or any("@" in above for above in lines[:number]):
                return "\n".join(lines[:number]), original  # else it heads the facts of a mail, not a copy of it
    return text, None


def _is_sign(line: str) -> bool:
    """Whether the line announces the copy: it begins with the words or a rule, or ends with a colon."""
    found = next((sign for sign in _SIGNS if sign in line), None)
    if found is None or any(sign in line for sign in _NOT_SIGNS):
        return False
    bare = line.strip()
    return not bare[:1].isalpha() or bare.endswith(":") or bare.startswith(found)


def _read_original(lines: list[str], start: int) -> Original | None:
    """The first block of lines after `start` that looks like a header."""
    block: list[str] = []
    for line in lines[start : start + 400]:
        bare = line.lstrip(">|") if line[:1] in ">|" else line
        if not bare.strip():
            if len(block) > 1:
                break
            block = []
            continue
        if not block:
            bare = bare.lstrip()
        block.append(bare if ":" in bare or bare[:1] in " \t" else f" {bare}")
    if not block:
        return None
    indent = min((len(line) - len(line.lstrip()) for line in block[1:]), default=0)
    if indent and all(":" in line for line in block[1:3]):
        block = [block[0], *(line[indent:] for line in block[1:])]
    fields = read_fields("\n".join(block).encode("utf-8", "replace"))
    return Original(fields[:_MAX_KEPT]) if fields else None


def addressees(original: Original | None) -> list[str]:
    """The addresses the returned header says the mail was for."""
    if original is None:
        return []
    names = ("x-failed-recipients", "x-original-to", "envelope-to", "to", "cc", "apparently-to", "resent-to", "bcc")
    found: list[str] = []
    for name in names:
        for key, value in original.fields:
            if key == name:
                found += [one for one in find_addresses(value[:4000]) if one not in found]
        if len(found) > 200:
            break
    return found
