"""What the figures, the queue and the workers' lives say that a person should know. Pure: counts in, judgements out.

Rates are judged against the provider's own past: one that always defers a third of our mail is no news. What stands
ends a good deal below where it began, so that no rate at the edge calls a person again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from relay.policy.alarms import AlarmKind
from relay.policy.lessons import OTHER

RECENT: Final = timedelta(hours=2)
PAST: Final = timedelta(days=7)
SAID: Final = timedelta(hours=3)
"""How long a provider's word about our identity or a blocklist counts."""
ENOUGH: Final = 20
"""Answers of a provider from which a rate means anything."""
TIMES: Final = 3.0
"""How often its past rate a provider must reach."""
FLOORS: Final[Mapping[AlarmKind, float]] = {AlarmKind.DEFERRALS: 0.3, AlarmKind.BOUNCES: 0.1}
ENDS_BELOW: Final = 0.7
"""Part of the threshold below which what stands ends."""
SAYINGS: Final = 3
_SAID: Final[Mapping[AlarmKind, frozenset[str]]] = {
    AlarmKind.IDENTITY: frozenset({"authentication", "reverse-dns"}),
    AlarmKind.BLOCKLISTED: frozenset({"blocklisted"}),
}
DEATHS: Final = 3
DEATHS_WITHIN: Final = timedelta(minutes=10)
CALM: Final = timedelta(minutes=30)
RELAY_SILENCE: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Seen:
    """One judgement about one subject; `wrong` None: nothing can be said this time."""

    kind: AlarmKind
    subject: str
    wrong: bool | None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a provider answered in one hour: counts by label of the event's kind, and its reasons."""

    provider: str
    at: datetime
    counts: Mapping[str, int]
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def judge_answers(answers: Iterable[Answers], standing: Collection[tuple[AlarmKind, str]], now: datetime) -> list[Seen]:
    """Rates and words of every provider that answered within `PAST`."""
    recent: dict[str, Counter[str]] = {}
    past: dict[str, Counter[str]] = {}
    said: dict[str, Counter[str]] = {}
    for one in answers:
        if not one.provider:
            continue
        period = recent if one.at > now - RECENT - timedelta(hours=1) else past
        period.setdefault(one.provider, Counter()).update(one.counts)
        recent.setdefault(one.provider, Counter())
        words = said.setdefault(one.provider, Counter())
        if one.at > now - SAID:
            for label in ("deferred", "bounced"):
                words.update(one.reasons.get(label, {}))
    seen: list[Seen] = []
    for provider, counts in sorted(recent.items()):
        before = past.get(provider, Counter())
        for kind, label in ((AlarmKind.DEFERRALS, "deferred"), (AlarmKind.BOUNCES, "bounced")):
            seen.append(_judge_rate(kind, label, provider, (counts, before), stands=(kind, provider) in standing))
        seen += [_judge_words(kind, provider, said[provider]) for kind in _SAID]
    return seen


def _judge_rate(
    kind: AlarmKind, label: str, provider: str, periods: tuple[Counter[str], Counter[str]], *, stands: bool
) -> Seen:
    (now_rate, now_all), (past_rate, past_all) = (_rate(label, counts) for counts in periods)
    threshold = max(FLOORS[kind], TIMES * past_rate if past_all >= ENOUGH else 0.0)
    threshold = min(threshold, 0.95) * (ENDS_BELOW if stands else 1.0)
    wrong = now_all >= ENOUGH and now_rate > threshold
    whose = "hosts of no known provider" if provider == OTHER else provider
    evidence = (
        f"{whose} {label} {now_rate:.0%} of {now_all} answers in the last hours; "
        f"{past_rate:.0%} of {past_all} in the week before"
    )
    return Seen(kind, provider, wrong, evidence)


def _rate(label: str, counts: Counter[str]) -> tuple[float, int]:
    total = counts["delivered"] + counts["deferred"] + counts["bounced"]
    return (counts[label] / total if total else 0.0), total


def _judge_words(kind: AlarmKind, provider: str, said: Counter[str]) -> Seen:
    found = {word: said[word] for word in sorted(_SAID[kind]) if said[word]}
    words = ", ".join(f"{word} {count} times" for word, count in found.items())
    return Seen(kind, provider, sum(found.values()) >= SAYINGS, f"replies of {provider} in three hours: {words}")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one domain, and since when it might have left; `suspended` by a command or a rule."""

    domain: str
    waiting: int
    due: datetime | None
    suspended: bool = False


def judge_queue(backlog: Sequence[Backlog], patience: timedelta, now: datetime) -> Seen:
    """One judgement for the whole queue, naming the latest domains."""
    overdue = [(one.due, one) for one in backlog if one.due and one.waiting and not one.suspended]
    late = sorted((pair for pair in overdue if now - pair[0] > patience), key=lambda pair: (pair[0], pair[1].domain))
    named = ", ".join(f"{one.domain} ({one.waiting}, since {due:%m-%d %H:%M})" for due, one in late[:5])
    more = f" and {len(late) - 5} more" if len(late) > 5 else ""
    return Seen(AlarmKind.QUEUE_AGE, "queue", bool(late), f"due and not sent: {named}{more}")


def judge_workers(node: str, deaths: Sequence[datetime], now: datetime, *, stands: bool) -> Seen:
    """Three deaths within ten minutes; over when none came for half an hour."""
    young = sum(1 for moment in deaths if now - moment <= DEATHS_WITHIN)
    lately = sum(1 for moment in deaths if now - moment <= CALM)
    wrong = young >= DEATHS or (stands and lately > 0)
    return Seen(AlarmKind.WORKERS, node, wrong, f"{young} ended and were started again within ten minutes")


def judge_relay(node: str, silence: timedelta, why: str) -> Seen:
    """A relay on another machine that took nothing for so long: a restart of it is over by then."""
    return Seen(AlarmKind.RELAY_AWAY, node, silence >= RELAY_SILENCE, f"{why}, for {silence.total_seconds():.0f} s")


def judge_database(node: str, failures: int, why: str) -> Seen:
    """Three probes in a row that failed."""
    return Seen(AlarmKind.DATABASE, node, None if 0 < failures < 3 else failures >= 3, why)
