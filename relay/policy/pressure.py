"""Pressure: whether an outcome says "too much, too fast" of the path, so that its pace must follow. Pure.

What words mean stands in the diagnosis; a 5xx whose words say that it is for now counts too. Beyond it, a temporary
refusal of MAIL is about us and our flow, unless its meaning is something else: nobody has been named yet whom it
could be about.
"""

from __future__ import annotations

from typing import Final

from relay.policy.outcome import Course, DecidedBy, Outcome, Phase, Result, Scope

RATE: Final = "rate-limit"

_OF_MAIL: Final = frozenset(
    {
        RATE,
        "policy",
        "greylisted",
        "reputation",
        "unclassified",
        "unavailable",
        "mailbox-full",
        "too-many-recipients",
    }
)
"""Meanings of a temporary refusal of MAIL that come to the same: not so much now."""

_OF_THE_PATH: Final = frozenset({Scope.HOST, Scope.SITE, Scope.SOURCE})


def presses(outcome: Outcome) -> bool:
    """Whether the far side refused because of how much, or how fast, we send to it."""
    diagnosis = outcome.diagnosis
    if outcome.decided_by is not DecidedBy.REMOTE:
        return False
    if outcome.result is Result.PERMANENT and outcome.phase is Phase.MAIL:
        return diagnosis is not None and diagnosis.meaning == RATE and diagnosis.verdict is Course.WAIT
    if outcome.result is not Result.TEMPORARY:
        return False
    if outcome.phase is Phase.MAIL:
        return diagnosis is None or diagnosis.meaning in _OF_MAIL or _plain(outcome)
    if outcome.phase not in (Phase.RCPT, Phase.DATA, Phase.DOT) or diagnosis is None:
        return False
    return diagnosis.meaning == RATE and diagnosis.scope in _OF_THE_PATH


def _plain(outcome: Outcome) -> bool:
    """A 421 without a word on what is wrong."""
    return outcome.reply.code == 421 and not outcome.reply.enhanced
