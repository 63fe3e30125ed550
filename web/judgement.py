"""What moderation says of a draft, as the pages show it. Pure, but for the moderator it holds.

Between compose and preview, and again when a letter is sent: rules may have changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from web.catalogue import Language
from web.draft import Draft
from web.moderation.moderator import Moderator
from web.moderation.ruling import Rule, Ruling
from web.moderation.wording import HelpLine, RuleText, Wording


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
    """Rules on drafts, and knows what rules and steps say to people."""

    def __init__(self, moderator: Moderator) -> None:
        self._moderator = moderator

    def rule_on(self, draft: Draft) -> Ruling:
        """The ruling on the letter and on the invented name."""
        return self._moderator.rule(draft.message, draft.pseudonym)

    def rule_on_words(self, message: str) -> Ruling:
        """The ruling on a letter's words alone, for whoever reads it again."""
        return self._moderator.rule(message, "")

    def wording(self, language: Language) -> Wording:
        """What is said in `language`."""
        return self._moderator.wording(language.value)

    def crisis(self, ruling: Ruling, language: Language) -> tuple[HelpLine, ...]:
        """Who helps the reader of a letter that worries about them; nobody for any other letter."""
        return self.wording(language).helps if ruling.worries else ()

    def told(self, names: Iterable[str], language: Language) -> list[ToldRule]:
        """The rules of these ids; what an older pack called otherwise is left out."""
        words = self.wording(language).rules
        known = {rule.value: rule for rule in Rule}
        return [ToldRule(known[name].anchor, words[known[name]]) for name in names if name in known]


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
