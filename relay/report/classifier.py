"""From the words of a refusal to what it means: one function for replies seen live and for bounces read later.

Pure. It asks the rules in their order (`relay.report.rules`); the first that fits decides the reason. Whether a
failure is permanent is decided in one place, `Permanence.holds`: 4xx never is, 5xx is unless the rule says it may
pass, and words without a code are what the rule says (RFC 3463 §2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from relay.report.phrases import PhraseIndex
from relay.report.rules import RuleBook
from relay.report.words import find_code, find_enhanced, fold
from relay.smtp.reply import Reply

UNMATCHED: Final = "unmatched"
"""Rule id of a refusal no rule knows."""

UNCLASSIFIED: Final = "unclassified"

LONG: Final = 500
"""Longer texts are not remembered: a far side that writes novels does not fill our memory."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was said: reply code, enhanced code "5.1.1" or "", the text without them or with, and whose words."""

    text: str
    code: int | None = None
    enhanced: str = ""
    provider: str = ""
    """A name of the rules' [providers], or "" while unknown."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a refusal means, and by which rule."""

    reason: str
    scope: str
    permanent: bool
    rule: str


def refusal_of(text: str, provider: str = "") -> Refusal:
    """A refusal from running text, codes read out of it."""
    return Refusal(text, find_code(text), find_enhanced(text), provider)


def refusal_of_reply(reply: Reply, provider: str = "") -> Refusal:
    """A refusal from a reply of SMTP. The text keeps its enhanced code, which tells nothing twice."""
    enhanced = ".".join(map(str, reply.enhanced)) if reply.enhanced else ""
    return Refusal(reply.text, reply.code, enhanced, provider)


class Classifier:
    """Classifies refusals by one book of rules; remembers the last few thousand, since replies repeat."""

    def __init__(self, book: RuleBook, *, remembered: int = 4096) -> None:
        self.book = book
        self._phrases = PhraseIndex([rule.phrases for rule in book.rules])
        self._wordless = frozenset(number for number, rule in enumerate(book.rules) if not rule.phrases)
        self._meaning = lru_cache(maxsize=remembered)(self._search)

    def classify(self, refusal: Refusal) -> Meaning:
        """What `refusal` means; always an answer, with rule `unmatched` when no rule fits."""
        return self.classify_folded(refusal.code, refusal.enhanced, f" {fold(refusal.text)} ", refusal.provider)

    def classify_folded(self, code: int | None, enhanced: str, text: str, provider: str) -> Meaning:
        """The same for a text that is folded and has a space at both ends."""
        if len(text) > LONG:
            return self._search(code, enhanced, text, provider)
        return self._meaning(code, enhanced, text, provider)

    def provider_of(self, *names: str) -> str:
        """The provider of the first of these hosts or domains that belongs to one, or ""."""
        return next((found for name in names if name and (found := self.book.provider_of(name))), "")

    def _search(self, code: int | None, enhanced: str, text: str, provider: str) -> Meaning:
        severity = int(enhanced[0]) if enhanced else code // 100 if code else 0
        for number in sorted(self._wordless | self._phrases.groups_in(text)):
            rule = self.book.rules[number]
            if rule.fits(code, enhanced, text, provider):
                return Meaning(rule.reason, rule.scope, rule.permanent.holds(severity), rule.id)
        return Meaning(UNCLASSIFIED, "message", severity == 5, UNMATCHED)
