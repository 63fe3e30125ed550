"""What moderation says of a draft, as the pages show it.

Between compose and preview, and again when a letter is sent: another process, with other rules, may have shown it. A
letter that this process has read lately is not read again, however often it is sent.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import Entropy
from web.catalogue import Language
from web.draft import Draft
from web.moderation.moderator import Moderator
from web.moderation.ruling import Rule, Ruling
from web.moderation.wording import HelpLine, RuleText, Wording

REMEMBERED: Final = 4000
"""Rulings of so many letters are remembered, about 2 MB of them."""
_KEPT: Final = timedelta(hours=2)
_KEY: Final = 32
_RULES: Final = {rule.value: rule for rule in Rule}


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of the letter's characters; `marked` if a rule speaks about it."""

    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class ToldRule:
    """A rule as a page shows it; `id` is its anchor on /dos-and-donts."""

    id: str
    words: RuleText


class Judge:
    """Rules on drafts, and knows what rules and steps say to people.

    What it remembers for two hours are the places and rules of a ruling, under a hash of the words whose key ends with
    the process: never the words.
    """

    def __init__(self, moderator: Moderator, clock: Clock, entropy: Entropy) -> None:
        self._moderator = moderator
        self._clock = clock
        self._key = entropy.bytes(_KEY)
        self._known: OrderedDict[bytes, tuple[float, Ruling]] = OrderedDict()

    def knows(self, draft: Draft) -> bool:
        """Whether a ruling on this draft costs no reading."""
        return self._remembered(self._name(draft.message, draft.pseudonym)) is not None

    def rule_on(self, draft: Draft) -> Ruling:
        """The ruling on the letter and on the invented name."""
        return self._rule(draft.message, draft.pseudonym)

    def rule_on_words(self, message: str) -> Ruling:
        """The ruling on a letter's words alone, for whoever reads it again."""
        return self._rule(message, "")

    def _rule(self, message: str, pseudonym: str) -> Ruling:
        name = self._name(message, pseudonym)
        ruling = self._remembered(name)
        if ruling is None:
            ruling = self._moderator.rule(message, pseudonym)
            self._known[name] = (self._clock.monotonic() + _KEPT.total_seconds(), ruling)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return ruling

    def _remembered(self, name: bytes) -> Ruling | None:
        now = self._clock.monotonic()
        while self._known and next(iter(self._known.values()))[0] <= now:
            self._known.popitem(last=False)
        known = self._known.get(name)
        return None if known is None else known[1]

    def _name(self, message: str, pseudonym: str) -> bytes:
        what = f"{len(pseudonym)} {pseudonym}{message}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, what, hashlib.sha256)

    def wording(self, language: Language) -> Wording:
        """What is said in `language`."""
        return self._moderator.wording(language.value)

    def crisis(self, ruling: Ruling, language: Language) -> tuple[HelpLine, ...]:
        """Who helps the reader of a letter that worries about them; nobody for any other letter."""
        return self.wording(language).helps if ruling.worries else ()

    def told(self, names: Iterable[str], language: Language) -> list[ToldRule]:
        """The rules of these ids; what an older pack called otherwise is left out."""
        words = self.wording(language).rules
        return [ToldRule(_RULES[name].anchor, words[_RULES[name]]) for name in names if name in _RULES]


def marked_paragraphs(message: str, ruling: Ruling) -> list[list[list[Piece]]]:
    """`message` as paragraphs of lines of pieces, as `web.plain_text.paragraphs` cuts it."""
    found: list[list[list[Piece]]] = []
    blank = True
    for line in _lines(ruling.parts(message)):
        if not line:
            blank = True
        elif blank:
            found.append([line])
            blank = False
        else:
            found[-1].append(line)
    return found


def _lines(parts: Iterable[tuple[str, Rule | None]]) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    for text, rule in parts:
        # A rule that is about the whole letter, its language for one, points at nothing in it.
        marked = rule is not None and rule is not Rule.LANGUAGE
        for n, run in enumerate(text.split("\n")):
            if n:
                lines.append([])
            if run:
                lines[-1].append(Piece(run, marked))
    return lines
