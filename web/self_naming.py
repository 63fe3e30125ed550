"""Whether a letter says who wrote it: a name below it, or "it's me, Julie". Pure.

The preview points it out; nobody is kept from it. Numbers and addresses are moderation's to find.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = r"[^\W\d_a-zß-öø-ÿ][^\W\d_]+(?:-[^\W\d_]+)?"
_SAYS: Final = re.compile(
    r"(?i:\b(?:it['’]?s me|it is me|my name is|c['’]est moi|moi,? c['’]est|je m['’]appelle|mon nom est|signed|signé))"
    rf"\b[,:]?\s+({_NAME})"
)
_BELOW: Final = re.compile(rf"[\s–—-]*({_NAME}(?:\s{_NAME}){{0,2}}\.?)")
_MOST_BELOW: Final = 80
_WORD: Final = re.compile(r"[^\W\d_]+")
_CLOSINGS: Final = (
    "a always amicalement amie ami amitiés anonyme anonymous again adieu affectueusement anyway bien bises bisou "
    "bisous bonne bravo bye cheers congratulations cordialement courage désolé désolée famille félicitations forever "
    "friend from god goodbye goodnight happy hugs je kisses love merci moi ok pardon peace please quelqu respect "
    "respectfully sincerely somebody someone sorry tendrement thanks thank the toi ton toujours truly un une voilà "
    "with you your yours xoxo yes no oui non"
)
_NO_NAMES: Final = frozenset(_CLOSINGS.split())


def names_writer(message: str, pseudonym: str = "") -> str:
    """The name by which `message` seems to tell its writer, "" for none; an invented name may be told."""
    found = _SAYS.search(message)
    name = found[1] if found else _below(message)
    return "" if name.casefold() == pseudonym.casefold() else name


def _below(message: str) -> str:
    """The last line, if it is a name and there is a letter above it."""
    head, _, tail = message.rstrip().rpartition("\n")
    match = _BELOW.fullmatch(tail[:_MOST_BELOW]) if head.strip() and len(tail) <= _MOST_BELOW else None
    if match is None or any(word.lower() in _NO_NAMES for word in _WORD.findall(match[1])):
        return ""
    return match[1].strip().rstrip(".")
