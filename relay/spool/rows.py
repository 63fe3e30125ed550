"""How values of the contract look as rows: the JSON of events and attempts, and reverse-paths.

Remote replies come here with recipient addresses already replaced, so no row but `recipient`'s names anybody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from relay.clock import from_millis
from relay.mail.address import NULL_PATH, Address, ReversePath
from relay.policy.outcome import TlsFacts
from relay.smtp.transcript import Exchange
from relay.spool.work import AttemptRecord, Warmth

MAX_REPLY: Final = 1000
"""Characters of a reply kept with each delivery: a thousand recipients do not store a host's prose in full each."""


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


def dump(value: object) -> str:
    """Compact JSON."""
    return _ENCODER.encode(value)  # json.dumps would make an encoder for each call, at twice the cost


def load(text: str | None) -> Any:
    """The value of a JSON column; an empty mapping for NULL."""
    return json.loads(text) if text else {}


def path_column(path: ReversePath) -> str | None:
    """A reverse-path as stored: NULL is the null path."""
    return str(path) if isinstance(path, Address) else None


def column_path(value: str | None) -> ReversePath:
    """A stored reverse-path."""
    return NULL_PATH if value is None else column_address(value)


def column_address(value: str) -> Address:
    """A stored address: it was parsed when it came in."""
    local, _, domain = value.rpartition("@")
    return Address(local, domain)


def column_warmth(warm_up: int | None, promised: int | None) -> Warmth | None:
    """A stored warm-up; None where none was noted."""
    if warm_up is None:
        return None
    return Warmth(warm_up, None if promised is None else from_millis(promised))


def attempt_detail(attempt: AttemptRecord) -> dict[str, Any]:
    """An attempt as the events and the API show it; absent facts are left out."""
    outcome = attempt.outcome
    detail: dict[str, Any] = {
        "attempt": attempt.number,
        "result": outcome.result.value,
        "scope": outcome.scope.value,
        "phase": outcome.phase.value,
        "decided_by": outcome.decided_by.value,
        "reply": str(outcome.reply)[:MAX_REPLY],
        "status": outcome.reply.status,
        "ms": attempt.duration_ms,
    }
    if attempt.source:
        detail["source"] = attempt.source
    if outcome.host is not None:
        detail["host"] = outcome.host.exchanger
        detail["address"] = outcome.host.address
    if outcome.diagnosis is not None:
        detail["diagnosis"] = {
            "meaning": outcome.diagnosis.meaning,
            "scope": outcome.diagnosis.scope.value,
            "verdict": outcome.diagnosis.verdict.value,
            "rule": outcome.diagnosis.rule,
        }
    if outcome.tls is not None:
        detail["tls"] = _tls_detail(outcome.tls)
    if outcome.passed:
        detail["passed"] = [
            {"host": one.host.exchanger, "address": one.host.address, "tls": _tls_detail(one.tls)}
            for one in outcome.passed
        ]
    return detail


def _tls_detail(tls: TlsFacts) -> dict[str, Any]:
    return {
        "protocol": tls.protocol,
        "cipher": tls.cipher,
        "verified": tls.verified,
        "demand": tls.demand,
        "policy": tls.policy,
        **({"domain": tls.domain} if tls.domain else {}),
        **({"testing": True} if tls.testing else {}),
        **({"error": tls.error} if tls.error else {}),
        **({"failure": tls.failure} if tls.failure else {}),
    }


def transcript_column(transcript: tuple[Exchange, ...]) -> str:
    """A transcript as stored."""
    return dump([list(exchange) for exchange in transcript])


def column_transcript(text: str) -> tuple[Exchange, ...]:
    """A stored transcript."""
    return tuple(Exchange(*item) for item in json.loads(text))


def labels_column(tags: tuple[str, ...], metadata: Mapping[str, str], *, unnamed: bool = False) -> str | None:
    """Tags and metadata as stored, and whether nobody is told the recipients."""
    if not (tags or metadata or unnamed):
        return None
    return dump({"tags": tags, "metadata": dict(metadata)} | ({"unnamed": True} if unnamed else {}))


def wordless(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What happened without a host's words, which repeat a recipient's address; their code stays."""
    told = dict(detail)
    reply = str(told.pop("reply", ""))
    return told | ({"reply": reply[:3]} if reply[:3].isdecimal() else {})
