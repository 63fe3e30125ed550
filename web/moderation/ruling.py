"""What moderation says of a letter: how far it may go, by which rules, and because of which words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """The ladder, and `care`, which stands beside it: help comes before any judgement."""

    PASS = "pass"  # noqa: S105 - a step, no password
    NUDGE = "nudge"
    HOLD = "hold"
    CARE = "care"
    REFUSE = "refuse"

    @property
    def stops(self) -> bool:
        """Whether the letter may not depart as it is, or not yet."""
        return self in {Step.HOLD, Step.REFUSE}


RANK: Final = {step: rank for rank, step in enumerate(Step)}
"""Which step wins where several rules speak; the order of `Step`."""


class Rule(StrEnum):
    """The don'ts; the value is the id in rule packs and pages, and the anchor on /dos-and-donts."""

    SEXUAL = "sexual"
    BULLYING = "bullying"
    THREAT = "threat"
    HATE = "hate"
    SPAM = "spam"
    SELF_HARM = "self-harm"
    PRIVATE = "private-information"
    VIOLENCE = "violence"
    IMPERSONATION = "impersonation"
    EXTORTION = "extortion"
    LANGUAGE = "language"

    @property
    def anchor(self) -> str:
        """Where /dos-and-donts tells of it: the fragment, without "#"."""
        return self.value


class Part(StrEnum):
    """What of a letter was read."""

    LETTER = "letter"
    PSEUDONYM = "pseudonym"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of `part`, and the rule they touch."""

    start: int
    end: int
    rule: Rule
    part: Part = Part.LETTER


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision about one letter. `rules` has the rules that led to `step`, gravest first; none for `pass`."""

    step: Step
    rules: tuple[Rule, ...] = ()
    spans: tuple[Span, ...] = ()
    """The words that led to `step`, in their order; empty where the letter as a whole did."""
    help_first: bool = False
    """Whether the writer speaks of harming themselves, whatever else there is: they are shown help first."""
    worries: bool = False
    """Whether the writer worries that the reader might: the letter brings the crisis line. It is no step."""

    def parts(self, text: str) -> list[tuple[str, Rule | None]]:
        """`text`, the letter, cut into stretches with the rule that each touches; together they are `text` again."""
        cut: list[tuple[str, Rule | None]] = []
        at = 0
        for span in self.spans:
            if span.part is not Part.LETTER or span.end <= at:
                continue
            start = max(span.start, at)
            cut += [(text[at:start], None)] if start > at else []
            cut.append((text[start : span.end], span.rule))
            at = span.end
        return [*cut, (text[at:], None)] if at < len(text) else cut
