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


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of the letter, and the rule they touch."""

    start: int
    end: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision about one letter. `rules` has the rules that led to `step`, gravest first."""

    step: Step
    rules: tuple[Rule, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleText:
    """What a rule says to people in one language."""

    title: str
    text: str
