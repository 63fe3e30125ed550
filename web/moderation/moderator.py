"""The decision about a letter: the rules, what has a form, and the language it is in.

The last step of moderation. Pure and total: any text gets a ruling, in time linear in its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from web.moderation.folding import BARRIER, Token, spelled_out, tokens_of
from web.moderation.languages import is_foreign
from web.moderation.pack import Rulebook, load_rulebook
from web.moderation.pattern import Places
from web.moderation.ruling import RANK, Part, Rule, Ruling, Span, Step
from web.moderation.traces import Found, Trace, find_traces
from web.moderation.wording import Wording

MOST_READ: Final = 4000
"""Characters that are read; the front takes 2,000."""
_MOST_SPANS: Final = 20
_BEFORE_QUOTE: Final = 8


@dataclass(frozen=True, slots=True)
class _Hit:
    rule: Rule
    step: Step
    start: int
    end: int
    part: Part = Part.LETTER


@dataclass(frozen=True, slots=True)
class Moderator:
    """Rules in both languages; one serves all letters."""

    book: Rulebook

    def rule(self, letter: str, pseudonym: str = "") -> Ruling:
        """The ruling on a letter of any content and length, signed `pseudonym` if that is not empty.

        Where letter and pseudonym get different steps, the graver one is told.
        """
        hits = self._hits(letter[:MOST_READ], Part.LETTER)
        if pseudonym:
            hits += self._hits(pseudonym[:MOST_READ], Part.PSEUDONYM)
        return _ruling(hits)

    def wording(self, language: str) -> Wording:
        """What rules and steps say to people in `language`, "en" or "fr"."""
        return self.book.wording[language]

    def _hits(self, text: str, part: Part) -> list[_Hit]:
        tokens = self._read(tokens_of(text))
        hits = [*self._by_rules(tokens), *_by_traces(find_traces(text), tokens)]
        words = [token.word for token in tokens if token.word != BARRIER]
        if is_foreign(text, words, self.book.common):
            hits.append(_Hit(Rule.LANGUAGE, Step.HOLD, 0, len(text)))
        return [replace(hit, part=part) for hit in hits] if part is not Part.LETTER else hits

    def _read(self, tokens: list[Token]) -> list[Token]:
        """Tokens with spelled-out words joined, abbreviations written out, and what others said left out."""
        read: list[Token] = []
        runs = dict(spelled_out(tokens))
        skip_to = -1
        for index, token in enumerate(tokens):
            if index < skip_to:
                continue
            if index in runs:
                part = [one for one in tokens[index : runs[index] + 1] if one.word != BARRIER]
                if words := self.book.lexicon.split("".join(one.word for one in part)):
                    read += [Token(word, part[0].start, part[-1].end) for word in words]
                    skip_to = runs[index] + 1
                    continue
            long = self.book.aliases.get(token.word)
            read += [Token(word, token.start, token.end, token.quoted) for word in long] if long else [token]
        return self._without_reported(read)

    def _without_reported(self, tokens: list[Token]) -> list[Token]:
        """The tokens but those between quotation marks that a word of saying introduces."""
        kept: list[Token] = []
        reported = was_quoted = False
        for token in tokens:
            if token.quoted and not was_quoted:
                before = kept[-_BEFORE_QUOTE:]
                reported = any(self.book.lexicon.classes(one.word) & self.book.said for one in before)
            was_quoted = token.quoted
            if not (token.quoted and reported):
                kept.append(token)
        return kept

    def _by_rules(self, tokens: list[Token]) -> Iterator[_Hit]:
        places = self._places(tokens)
        covered = 0
        for pattern in self.book.allowances:
            for first, last in pattern.matches(places):
                covered |= (1 << (last + 1)) - (1 << first)
        for when in self.book.whens:
            for pattern in when.patterns:
                for first, last in pattern.matches(places):
                    if when.always or not covered & ((1 << (last + 1)) - (1 << first)):
                        yield _Hit(when.rule, when.step, tokens[first].start, tokens[last].end)

    def _places(self, tokens: list[Token]) -> Places:
        classes: dict[int, int] = {}
        negated = barriers = 0
        for index, token in enumerate(tokens):
            bit = 1 << index
            of = self.book.lexicon.classes(token.word)
            for number in of:
                classes[number] = classes.get(number, 0) | bit
            if token.word == BARRIER:
                barriers |= bit
            elif of & self.book.negations:
                negated |= bit
        everywhere = (1 << len(tokens)) - 1
        return Places(classes, everywhere & ~barriers & ~negated, everywhere & ~barriers)


def _by_traces(found: list[Found], tokens: list[Token]) -> Iterator[_Hit]:
    for one in found:
        before = {token.word for token in tokens if one.start - 60 <= token.start < one.start}
        rule, step = _of_trace(one.trace, before)
        yield _Hit(rule, step, one.start, one.end)


_OTHERS: Final = frozenset(
    [
        "his",
        "her",
        "their",
        "he",
        "she",
        "lives",
        "son",
        "sa",
        "ses",
        "leur",
        "leurs",
        "habite",
        "elle",
        "il",
        "lui",
        "vit",
    ]
)
_YOURS: Final = frozenset(["your", "you", "ton", "ta", "tes", "tu", "habites", "vis", "votre"])
_OWN: Final = frozenset(["my", "me", "mon", "moi", "call", "contact", "appelle", "ecris", "reach", "text"])


def _of_trace(trace: Trace, before: set[str]) -> tuple[Rule, Step]:
    match trace:
        case Trace.WALLET:
            return Rule.EXTORTION, Step.REFUSE
        case Trace.ACCOUNT:
            return Rule.PRIVATE, Step.HOLD
        case Trace.LINK:
            return Rule.SPAM, Step.NUDGE
        case Trace.PHONE | Trace.MAILBOX | Trace.STREET:
            if before & _OTHERS and not before & _OWN:
                return Rule.PRIVATE, Step.REFUSE
            if before & _YOURS and not before & _OWN and trace is Trace.STREET:
                return Rule.PRIVATE, Step.HOLD
            return Rule.PRIVATE, Step.NUDGE


def _ruling(hits: list[_Hit]) -> Ruling:
    if not hits:
        return Ruling(Step.PASS)
    step = max((hit.step for hit in hits), key=RANK.__getitem__)
    help_first = any(hit.step is Step.CARE for hit in hits)
    led = [hit for hit in hits if hit.step is step]
    rules = tuple(dict.fromkeys(hit.rule for hit in led))
    spans = sorted({(hit.part, hit.start, hit.end, hit.rule) for hit in led if hit.end > hit.start})
    return Ruling(
        step, rules, tuple(Span(start, end, rule, part) for part, start, end, rule in spans[:_MOST_SPANS]), help_first
    )


def load_moderator(folder: Path | None = None) -> Moderator:
    """The moderator of the packs in `folder`/moderation, else of those that come along. Raises ConfigurationError."""
    return Moderator(load_rulebook(folder))
