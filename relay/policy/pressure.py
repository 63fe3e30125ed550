"""Pressure: whether an outcome says "too much, too fast" of the path, so that its pace must follow. Pure.

What words mean stands in the diagnosis. Beyond it, a temporary refusal of MAIL is about us and our flow, unless its
meaning is something else: nobody has been named yet whom it could be about.
"""

from __future__ import annotations

from typing import Final

from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope

RATE: Final = "rate-limit"

_OF_MAIL: Final = frozenset({RATE, "policy", "greylisted", "reputation", "unclassified", "unavailable"})
"""Meanings of a temporary refusal of MAIL that come to the same: not so much now."""

_OF_THE_PATH: Final = frozenset({Scope.HOST, Scope.SITE, Scope.SOURCE})


def presses(outcome: Outcome) -> bool:
    """Whether the far side refused because of how much, or how fast, we send to it."""
    if outcome.result is not Result.TEMPORARY or outcome.decided_by is not DecidedBy.REMOTE:
        return False
    diagnosis = outcome.diagnosis
    if outcome.phase is Phase.MAIL:
        return diagnosis is None or diagnosis.meaning in _OF_MAIL or _plain(outcome)
    if outcome.phase not in (Phase.RCPT, Phase.DATA, Phase.DOT) or diagnosis is None:
        return False
    return diagnosis.meaning == RATE and diagnosis.scope in _OF_THE_PATH


def _plain(outcome: Outcome) -> bool:
    """A 421 without a word on what is wrong."""
    return outcome.reply.code == 421 and not outcome.reply.enhanced
