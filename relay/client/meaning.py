"""What a failure means to the person who wrote the letter, in one word. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from relay.policy.outcome import DecidedBy, Phase

_UNKNOWN_USER: Final = frozenset({"5.1.0", "5.1.1", "5.1.3", "5.1.6"})
_BEFORE_MAIL: Final = frozenset(
    phase.value
    for phase in (Phase.ROUTE, Phase.CONNECT, Phase.BANNER, Phase.EHLO, Phase.STARTTLS, Phase.TLS, Phase.AUTH)
)
_UNREACHED: Final = frozenset({DecidedBy.NETWORK.value, DecidedBy.DNS.value})


def meaning_of(detail: Mapping[str, Any]) -> str:
    """The word of `LetterState.meaning` for the last event's detail (an attempt, RFC 3463 `status` included)."""
    status = str(detail.get("status", ""))
    subject = status.partition(".")[2]
    if status in _UNKNOWN_USER:
        return "unknown-user"
    if subject == "2.2":
        return "full"
    if subject.startswith("2."):
        return "mailbox"
    if subject.startswith("7."):
        return "policy"
    unreached = detail.get("phase") in _BEFORE_MAIL or detail.get("decided_by") in _UNREACHED
    if unreached or subject.startswith("4.") or subject in {"1.2", "1.10"}:
        return "unreachable"
    return "other"
