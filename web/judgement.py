"""What moderation says of a whole draft, and what its pages show of that: pure but for the moderator it holds.

Between compose and preview, and again when a letter is sent: rules may have changed in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from web.catalogue import Language
from web.draft import Draft
from web.moderation.moderator import Moderator
from web.moderation.ruling import RANK, Rule, RuleText, Ruling, Span, Step


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of the letter's characters; `marked` if a rule speaks about it."""

    text: str
    marked: bool


class Judge:
    """Rules on drafts, and knows the words of the rules."""

    def __init__(self, moderator: Moderator) -> None:
        self._moderator = moderator

    def rule_on(self, draft: Draft) -> Ruling:
        """The ruling on the letter and on the invented name, whichever is graver."""
        ruling = self._moderator.judge(draft.message)
        if not draft.pseudonym:
            return ruling
        name = self._moderator.judge(draft.pseudonym)
        # A name is in no language, and has no place in the letter to point at.
        if name.rules == (Rule.LANGUAGE,) or RANK[name.step] <= RANK[ruling.step]:
            return ruling
        return Ruling(name.step, name.rules)

    def texts(self, language: Language) -> Mapping[Rule, RuleText]:
        """Title and text of every rule."""
        return self._moderator.book.texts[language.value]


def marked_paragraphs(paragraphs: tuple[tuple[str, ...], ...], phrases: frozenset[str]) -> list[list[list[Piece]]]:
    """Paragraphs of lines of pieces, with `phrases` marked wherever they stand in one line."""
    return [[list(_pieces(line, phrases)) for line in lines] for lines in paragraphs]


def phrases_of(message: str, ruling: Ruling) -> frozenset[str]:
    """The words that the ruling is about, line by line; none where it is about the letter as a whole."""
    if ruling.step is Step.PASS or Rule.LANGUAGE in ruling.rules:
        return frozenset()
    parts = (part.strip() for span in ruling.spans for part in _text_of(message, span).split("\n"))
    return frozenset(part for part in parts if part)


def _text_of(message: str, span: Span) -> str:
    return message[span.start : span.end]


def _pieces(line: str, phrases: frozenset[str]) -> Iterator[Piece]:
    rest = line
    while rest:
        found = [(rest.find(phrase), -len(phrase)) for phrase in phrases if phrase in rest]
        if not found:
            yield Piece(rest, marked=False)
            return
        start, length = min(found)
        if start:
            yield Piece(rest[:start], marked=False)
        yield Piece(rest[start : start - length], marked=True)
        rest = rest[start - length :]
