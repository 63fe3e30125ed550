"""From a failure's words to what they mean for the mail, and what to do next. Pure.

Stands between the outcome and the verdict. Two files of rules are asked: `diagnosis.toml` (what to do, and the few
replies that mean something else while a session is open) and, through the classifier, `bounces.toml` (what
words mean, in a session or in a bounce that comes later). Guarantees an answer for every reply, and that only
what the far side said may change what its code says: our own outcomes are named, never overruled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache

from relay.policy.outcome import Course, DecidedBy, Diagnosis, Outcome, Phase, Result, Scope
from relay.report.classifier import LONG, UNCLASSIFIED, Classifier, Meaning, refusal_of_reply
from relay.report.phrases import stands_in
from relay.report.rules import Rule
from relay.report.words import fold
from relay.smtp.reply import Reply

OWN = "relay"
"""The provider of our own words."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is done about a meaning; `scope` None = the classifier's."""

    verdict: Course
    scope: Scope | None = None
    rest: timedelta | None = None
    patience: timedelta | None = None


@dataclass(frozen=True, slots=True)
class DiagnosisRule:
    """One `[[rule]]` of diagnosis.toml. All conditions that it names must hold."""

    words: Rule
    """Provider, codes, enhanced codes, phrases, regex; its `reason` is "" where the classifier's meaning stays."""
    policy: Policy
    phases: frozenset[Phase]
    """Empty = any."""
    taken_by: frozenset[str]
    """Ids of rules of bounces.toml, one of which must have taken the reply; empty = any."""


@dataclass(frozen=True, slots=True)
class DiagnosisBook:
    """The rules in their order, and what is done about each meaning."""

    rules: tuple[DiagnosisRule, ...]
    policies: Mapping[str, Policy]


@dataclass(frozen=True, slots=True)
class _Question:
    code: int
    enhanced: str
    text: str
    phase: Phase
    provider: str


class Diagnoser:
    """Diagnoses by one book; remembers the last few thousand answers, since replies repeat."""

    def __init__(self, book: DiagnosisBook, classifier: Classifier, *, remembered: int = 2048) -> None:
        self.book = book
        self._classifier = classifier
        self._answer = lru_cache(maxsize=remembered)(self._search)

    def diagnose(self, reply: Reply, phase: Phase, provider: str = "") -> Diagnosis:
        """What `reply` in `phase` means; `provider` is a name of bounces.toml's [providers], OWN, or ""."""
        refusal = refusal_of_reply(reply, provider)
        asked = _Question(reply.code, refusal.enhanced, f" {fold(refusal.text)} ", phase, provider)
        return self._answer(asked) if len(asked.text) <= LONG else self._search(asked)

    def provider_of(self, host: str, domain: str) -> str:
        """The provider of a host, else of a recipients' domain, "" if neither belongs to one."""
        return self._classifier.provider_of(host, domain)

    def explain(self, outcome: Outcome, domain: str) -> Outcome:
        """`outcome` with its diagnosis; `domain` is the recipients', for where the host's name tells no provider."""
        if outcome.result is Result.DELIVERED:
            return outcome
        if outcome.decided_by is not DecidedBy.REMOTE:
            return replace(outcome, diagnosis=self.diagnose(outcome.reply, outcome.phase, OWN))
        exchanger = outcome.host.exchanger if outcome.host is not None else ""
        provider = self._classifier.provider_of(exchanger, domain)
        return replace(outcome, diagnosis=self.diagnose(outcome.reply, outcome.phase, provider))

    def _search(self, asked: _Question) -> Diagnosis:
        if asked.provider == OWN:
            rule = next((one for one in self.book.rules if one.words.provider == OWN and _fits(one, asked, "")), None)
            meaning = rule.words.reason if rule else UNCLASSIFIED
            scope = (rule.policy.scope if rule else None) or Scope.MESSAGE
            return Diagnosis(meaning, scope, Course.AS_SAID, rule.words.id if rule else "unmatched")
        taken = self._classifier.classify_folded(asked.code, asked.enhanced, asked.text, asked.provider)
        for rule in self.book.rules:
            if rule.words.provider != OWN and _fits(rule, asked, taken.rule):
                return self._by_rule(rule, taken)
        policy = self.book.policies.get(taken.reason) or self.book.policies[UNCLASSIFIED]
        return _diagnosis(taken.reason, policy, taken.scope, taken.rule)

    def _by_rule(self, rule: DiagnosisRule, taken: Meaning) -> Diagnosis:
        return _diagnosis(rule.words.reason or taken.reason, rule.policy, taken.scope, rule.words.id)


def _diagnosis(meaning: str, policy: Policy, scope: str, rule: str) -> Diagnosis:
    return Diagnosis(meaning, policy.scope or Scope(scope), policy.verdict, rule, policy.rest, policy.patience)


def _fits(rule: DiagnosisRule, asked: _Question, taken_by: str) -> bool:
    if rule.phases and asked.phase not in rule.phases:
        return False
    if rule.taken_by and taken_by not in rule.taken_by:
        return False
    if rule.words.phrases and not any(stands_in(phrase, asked.text) for phrase in rule.words.phrases):
        return False
    return rule.words.fits(asked.code, asked.enhanced, asked.text, asked.provider)
