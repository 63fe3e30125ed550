"""Bounces written for people: who failed and why, read from running text in any layout (G15).

After the machine-readable part gave nothing. One reader for all layouts instead of one a program: every address
in the notice is weighed by how it stands there (alone on its line, after "RCPT TO", below a word of failure, in
the returned header) and against what it may be instead (the sender, a contact). Linear in the text; capped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.report.mime import Part
from relay.report.phrasebook import DELAYS, FAILURES, FINALS, OPENINGS, WARNINGS
from relay.report.result import Original, Said
from relay.report.returned import addressees, returned_part, split_notice
from relay.report.signs import Signs
from relay.report.words import ADDRESS, bare_address, find_addresses, find_code, find_enhanced, one_line

MAX_LINES: Final = 400
MAX_LINE: Final = 1000
_ENOUGH: Final = 3
_PLAIN: Final = 6
"""An address alone on its line beside a word of failure: what a daemon writes so is a bounce."""
_NEAR: Final = 8
_DIAGNOSTIC_LINES: Final = 12

_ALONE = re.compile(
    r"[\s>*\-•#.\d)]*[<\"'(\[]{0,3}(?:smtp:|mailto:)?\x00[>\"')\]]{0,3}\s*(?:[:;,.(\[-].*|\.\.\. .*|)$", re.IGNORECASE
)
_LEADING = re.compile(
    r"\s*(?:[<\"'\[]{0,2}(?:smtp:|mailto:)?\x00[>\"'\]]{0,2}\s*(?::|\.\.\.|\(|-|\bon\b|\s{2,}|\t)"
    r"|<\x00> is )",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:rcpt to|recipients?|(?<![a-z-])to|addressed to|addresse?|user|mailbox|account|intended for|undeliverable to"
    r"|destinataires?|adresse|empfänger|destinatarios?|destinatário|indirizzo|para|ontvanger|адрес|получател\w*|宛先"
    r"|収件人|收件人|email|message for"
    r"|(?:message|mail|nachricht|bericht|mensaje|messaggio|mensagem|courrier) (?:to|à|an|aan|a|para|für|for|al?))"
    r"\s{0,3}[:：=(\[|]{0,2}\s{0,3}[<\"'(\[]{0,2}(?:rfc822;|smtp:|mailto:)?\s?\x00",
    re.IGNORECASE,
)
_MAIL_TO_THEM = re.compile(
    r"(?:message|mail|page|sms|fax) (?:sent )?(?:to|for|addressed to) [^\s@]{1,100}@\S{1,200}"
    r" (?:could not|cannot|can't|couldn't"
    r"|was not|wasn't|has not been|was rejected|was refused|failed)"
)
_NOT_WHO = re.compile(
    r"(?:^|[\s>*\"])(?:from|sender|reply-to|return-path|message-id|mail from|reply to|absender|expéditeur|de|remitente"
    r"|mittente|von|subject|envelope-from|errors-to|x-sender|received|references|in-reply-to|发件人|差出人|от)\s?(?::|to:)"
    r"|contact|please (?:send|forward|write|e-?mail|notify|call)|mailto:|questions|for (?:further )?(?:help|assistance)"
    r"|postmaster@|abuse@|support@|helpdesk@|help@|webmaster@|hostmaster@|mailer-daemon@|unsubscribe|reply to|\bid <"
    r"|envoyez|contacte[zr]|wenden sie|bei fragen|\(envelope-from|sent by|expanded from|generated from|message from"
    r"|mail from:|please try|original address:|forward(?:ed|ing)? to",
    re.IGNORECASE,
)
_NEVER_WHO = re.compile(
    r"(?:postmaster|mailer-daemon|mailer_daemon|abuse|support|helpdesk|webmaster|hostmaster|noreply|no-reply|admin)@",
    re.IGNORECASE,
)
_TRANSCRIPT = re.compile(r"^\s*(?:<<<|>>>|<--|-->|\d\d\d[ -])")


@dataclass(frozen=True, slots=True)
class TextRecipient:
    """One recipient read from running text."""

    address: str
    diagnostic: str
    plain: bool = False
    """Stands as a daemon writes whom it failed, beside a word of failure: nobody else is meant."""


@dataclass(frozen=True, slots=True)
class TextBounce:
    """What a notice says; `evidence` is how much the text alone speaks for a bounce."""

    action: Said
    recipients: tuple[TextRecipient, ...]
    notice: str
    """The whole notice in one line, for when a recipient's own words say nothing."""
    original: Original | None
    evidence: int
    others: frozenset[str] = frozenset()
    """Addresses, lower case, that are in the mail for another reason."""


@dataclass(slots=True)
class _Candidate:
    address: str
    score: int
    line: int
    lines: list[int] = field(default_factory=list)


def read_notice(message: Part, signs: Signs, *, container: Part | None = None) -> TextBounce:
    """What the text of `message` says; without recipients when none was found."""
    text = _notice_text(message)
    notice, below = split_notice(text)
    original = returned_part(container or message) or below
    lines = [line[:MAX_LINE] for line in notice.split("\n")[:MAX_LINES]]
    folded = [line.lower() for line in lines]
    whole = "\n".join(folded)
    known = _unique([*signs.failed, *addressees(original)])
    evidence, failing = _evidence(folded, whole)
    others = _others(signs, original)
    candidates = _candidates(lines, folded, failing, _Known(known, others))
    chosen = _choose(candidates, known, signs)
    if signs.daemon and any(one.score >= _PLAIN for one in chosen):
        evidence += 1
    return TextBounce(
        action=_action(whole, signs.subject),
        recipients=tuple(_with_words(chosen, lines)),
        notice=one_line(" ".join(line for line in lines if line.strip()), 4000),
        original=original,
        evidence=evidence,
        others=others,
    )


def _notice_text(message: Part) -> str:
    """The first words for people: of all text parts before the returned mail, HTML only if nothing is plain."""
    if not message.children:
        return message.text if message.kind.startswith("text/") or message.kind == "message/delivery-status" else ""
    plain: list[str] = []
    pages: list[str] = []
    for part in _leaves(message):
        if part.kind == "text/plain" and sum(map(len, plain)) < 60_000:
            plain.append(part.text)
        elif part.kind == "text/html" and not pages:
            pages.append(part.text)
    shown = "\n".join(plain)
    return shown if shown.strip() or not pages else pages[0]


def _leaves(message: Part) -> list[Part]:
    found: list[Part] = []
    for child in message.children:
        if child.kind in ("message/rfc822", "message/global", "text/rfc822-headers"):
            continue
        found += _leaves(child) if child.children else [child]
    return found


def _evidence(folded: list[str], whole: str) -> tuple[int, list[bool]]:
    """Points for a bounce in the text, and which lines hold a word of failure."""
    present = [phrase for phrase in FAILURES if phrase in whole]
    failing = [any(phrase in line for phrase in present) or find_code(line) is not None for line in folded]
    head = "\n".join([line for line in folded if line.strip()][:12])
    opens = any(phrase in head for phrase in OPENINGS) or _MAIL_TO_THEM.search(head) is not None
    points = 3 if opens else int(any(phrase in whole for phrase in OPENINGS))
    points += 1 if present else 0
    points += 1 if find_code(whole) is not None or find_enhanced(whole) else 0
    return points, failing


@dataclass(frozen=True, slots=True)
class _Known:
    recipients: Sequence[str]
    others: frozenset[str]


def _others(signs: Signs, original: Original | None) -> frozenset[str]:
    """Addresses that are in the mail for another reason: who reports, who wrote, who is told."""
    found = [*signs.sender_addresses, *signs.addressed_to]
    if original is not None:
        for name in ("from", "sender", "return-path", "reply-to", "errors-to"):
            found += find_addresses(original.first(name)[:2000])
    return frozenset(one.lower() for one in found)


def _candidates(lines: list[str], folded: list[str], failing: list[bool], known: _Known) -> list[_Candidate]:
    found: dict[str, _Candidate] = {}
    expected = {one.lower() for one in known.recipients}
    last_failure = -_NEAR - 1
    for number, line in enumerate(lines):
        if "@" in line:
            for match in list(ADDRESS.finditer(line))[:20]:
                address = bare_address(match[0])
                if not address or len(found) > 500:
                    continue
                score = _score(line, folded[number], match)
                score += 3 if failing[number] else 2 if number - last_failure <= _NEAR else 0
                score += 1 if any(failing[number + 1 : number + 4]) else 0
                key = address.lower()
                score += 4 if key in expected else -6 if key in known.others else 0
                candidate = found.setdefault(key, _Candidate(address, score, number))
                candidate.lines.append(number)
                if score > candidate.score:
                    candidate.score, candidate.line = score, number
        if failing[number]:
            last_failure = number
    return list(found.values())


def _score(line: str, folded: str, match: re.Match[str]) -> int:
    """How much the way an address stands in its line speaks for a failed recipient."""
    marked = f"{line[: match.start()]}\x00{line[match.end() :]}"
    score = 3 if _ALONE.match(marked) or _LEADING.match(marked) else 0
    if _LABEL.search(marked):
        score += 2
    if _NOT_WHO.search(folded[: match.end() + 5]):
        score -= 4
    if _NEVER_WHO.match(match[0]):
        score -= 2
    return score


def _choose(candidates: list[_Candidate], known: list[str], signs: Signs) -> list[_Candidate]:
    """Those that stand like failed recipients; else those a header names; else the only one the mail was for."""
    chosen = [one for one in candidates if one.score >= _ENOUGH]
    expected = {one.lower() for one in known}
    confirmed = [one for one in chosen if one.address.lower() in expected]
    if confirmed:
        chosen = [one for one in chosen if one in confirmed or (one.score >= _ENOUGH + 3 and not signs.failed)]
    if not chosen:
        fair = [one for one in candidates if one.score >= 0]
        chosen = fair if len(fair) == 1 and not known else []
    if not chosen and signs.failed:
        chosen = [_Candidate(address, _ENOUGH, -1) for address in signs.failed]
    if not chosen and known and len(known) <= 3:
        chosen = [_Candidate(known[0], _ENOUGH, -1)]
    if not chosen and not candidates:
        chosen = [_Candidate(address, _ENOUGH, -1) for address in find_addresses(signs.subject)[:1]]
    return sorted(chosen, key=lambda one: one.line)


def _with_words(chosen: list[_Candidate], lines: list[str]) -> list[TextRecipient]:
    starts = sorted(one.line for one in chosen if one.line >= 0)
    found: list[TextRecipient] = []
    for one in chosen:
        if one.line < 0:
            found.append(TextRecipient(one.address, ""))
            continue
        after = next((start for start in starts if start > one.line), len(lines))
        words = _words_after(lines, one.line, min(after, one.line + _DIAGNOSTIC_LINES))
        for number in one.lines[:6]:
            if number != one.line and find_code(lines[number]) is not None:
                words = f"{words} {lines[number]}"
                words += " " + " ".join(lines[number + 1 : number + 2]) if _TRANSCRIPT.match(lines[number]) else ""
        found.append(TextRecipient(one.address, one_line(words), one.score >= _PLAIN))
    return found


def _words_after(lines: list[str], start: int, end: int) -> str:
    """The line of the address and what follows, to the empty line after the first words beside the address."""
    kept: list[str] = []
    for line in lines[start:end]:
        if line.strip():
            kept.append(line)
        elif len(kept) > 1 or _says_more(kept):
            break
    return " ".join(kept)


def _says_more(kept: list[str]) -> bool:
    return bool(kept) and len(ADDRESS.sub("", kept[0]).strip("<>()[]:;,. \t-*'\"")) > 12


def _action(whole: str, subject: str) -> Said:
    text = f"{subject}\n{whole}"
    if any(phrase in text for phrase in WARNINGS):
        return Said.DELAYED
    if any(phrase in text for phrase in DELAYS) and not any(phrase in whole for phrase in FINALS):
        return Said.DELAYED
    return Said.FAILED


def _unique(addresses: list[str]) -> list[str]:
    seen: dict[str, str] = {}
    for address in addresses:
        seen.setdefault(address.lower(), address)
    return list(seen.values())
