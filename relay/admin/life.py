"""The life of a message in words: the steps of its path, the attempts with their transcripts, and what comes next.

Pure: a view of the spool and the time in, words out. The steps bear the names the design gives them: door, intake,
accept, plan, talk, understand, settle. `leak message` prints them, and the operator's page shows the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from relay.event import EventKind
from relay.policy.state import State
from relay.spool.explaining import NO_OBSTACLES, Obstacles, last_words, waiting
from relay.spool.inquiry import AttemptView, DeliveryView, EventView, MessageView
from relay.spool.work import Door
from relay.units import format_duration, format_size


class Step(NamedTuple):
    """A step and what is told of it; a step without a name goes on with the one before."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a life: the message itself, or one of its deliveries."""

    title: str
    steps: tuple[Step, ...]


_DOORS = {
    Door.SMTP: "SMTP submission",
    Door.HTTP: "the HTTP API",
    Door.WEB: "the web front",
    Door.NOTICE: "the relay itself: a report about another message",
}


def describe(
    view: MessageView,
    now: datetime,
    obstacles: Obstacles = NO_OBSTACLES,
    brake: str = "",
    *,
    transcripts: bool = True,
) -> Iterator[str]:
    """The whole life, line by line."""
    for number, chapter in enumerate(chapters(view, now, obstacles, brake, transcripts=transcripts)):
        if number:
            yield ""
        yield chapter.title
        for step in chapter.steps:
            yield f"  {step.name:<10} {step.text}".rstrip()


def chapters(
    view: MessageView,
    now: datetime,
    obstacles: Obstacles = NO_OBSTACLES,
    brake: str = "",
    *,
    transcripts: bool = True,
) -> Iterator[Chapter]:
    """The message, then each of its deliveries. `brake` says why its stream is slowed or stopped, "" if it is not."""
    yield Chapter(f"message {view.id}", tuple(_message(view)))
    for delivery in view.deliveries:
        recipient = delivery.recipient or f"(erased)@{delivery.domain}"
        steps = [*_delivery(view, delivery, transcripts=transcripts)]
        steps.append(Step("next", what_next(view, delivery, now, obstacles)))
        if brake and delivery.state is State.WAITING:
            steps.append(Step("waits", f"because {brake}"))
        title = f"delivery {delivery.message}.{delivery.n} to {recipient}: {delivery.state.label}"
        yield Chapter(title, tuple(steps))


def _message(view: MessageView) -> Iterator[Step]:
    sender = view.reverse_path or "<> (nobody: reports about it go nowhere)"
    yield Step("door", f"{_DOORS[view.door]}, tenant {view.tenant}{f', stream {view.stream}' if view.stream else ''}")
    size = format_size(view.size)
    yield Step("intake", f"from {sender}, {size}, {_count(len(view.deliveries), 'recipient')}")
    if view.tags:
        yield Step("", f"tags {', '.join(view.tags)}")
    scheduled = f"not sent before {_time(view.send_at)}; " if view.send_at is not None else ""
    yield Step("accept", f"{_time(view.accepted_at)}; {scheduled}given up after {_time(view.expires_at)}")
    for event in view.events:
        if event.n is None and event.kind is not EventKind.ACCEPTED:
            yield Step(event.kind.label, f"{_time(event.at)} {_detail(event.detail)}".rstrip())


def _delivery(view: MessageView, delivery: DeliveryView, *, transcripts: bool) -> Iterator[Step]:
    attempts = {item.number: item for item in view.attempts if item.n == delivery.n}
    told: set[int] = set()
    for event in view.events:
        if event.n != delivery.n:
            continue
        number = int(event.detail.get("attempt") or 0)
        attempt = attempts.get(number)
        if attempt is None and number and event.detail.get("result"):
            # What went well is kept with its event alone, without a transcript.
            attempt = AttemptView(delivery.n, number, event.at, event.detail, ())
        if attempt is not None and attempt.number not in told:
            told.add(attempt.number)
            yield from _attempt(attempt, transcripts=transcripts)
        yield from _settled(event)
    for number, attempt in sorted(attempts.items()):
        if number not in told:
            yield from _attempt(attempt, transcripts=transcripts)


def _attempt(attempt: AttemptView, *, transcripts: bool) -> Iterator[Step]:
    detail = attempt.detail
    where = f"{detail['host']} [{detail.get('address', '')}]" if detail.get("host") else "no host"
    source = f" from {detail['source']}" if detail.get("source") else ""
    yield Step(f"attempt {attempt.number}", f"{_time(attempt.at)}, {detail.get('ms', 0)} ms")
    yield Step("plan", f"{where}{source}")
    for one in detail.get("passed", ()):
        yield Step("talk", f"{one.get('host')} [{one.get('address')}] was passed over. {_tls(one.get('tls', {}))}")
    if tls := detail.get("tls"):
        yield Step("talk", _tls(tls))
    if transcripts:
        for exchange in attempt.transcript:
            yield Step("talk", f"{exchange.millis:>6} ms {exchange.speaker:<4} {exchange.text}")
    yield Step("understand", _outcome(detail))


_POLICIES = {"tlsa": "the TLSA records", "sts": "the MTA-STS policy", "no-policy-found": ""}
_VERIFIED_BY = {"dane": "a TLSA record", "sts": "an authority, for a name of the policy"}


def _tls(tls: Mapping[str, Any]) -> str:
    """What was demanded and by whom, what was had, and what verified it or why nothing did."""
    asked = _POLICIES.get(str(tls.get("policy")), "")
    owner = f" of {tls['domain']}" if tls.get("domain") else ""
    whose = f" by {asked}{owner}" if asked else ""
    watched = ", watched only" if tls.get("testing") else ""
    had = f"{tls['protocol']} {tls.get('cipher', '')}".rstrip() if tls.get("protocol") else "in clear"
    error = f": {tls['error']}" if tls.get("error") else ""
    if not tls.get("protocol"):
        verified = error
    elif tls.get("verified"):
        by = _VERIFIED_BY.get(str(tls.get("demand")), "an authority, for the host's name")
        verified = f", certificate verified by {by}{error}"
    else:
        verified = f", certificate not verified{error}"
    return f"TLS demanded: {tls.get('demand')}{whose}{watched}; had: {had}{verified}"


_DECIDED = {"remote": "the far side", "relay": "this relay", "network": "the network", "dns": "the DNS"}


def _outcome(detail: Mapping[str, Any]) -> str:
    who = _DECIDED.get(str(detail.get("decided_by")), str(detail.get("decided_by")))
    scope = detail.get("scope")
    found = detail.get("diagnosis")
    meaning = f" [{found.get('meaning')}, rule {found.get('rule')}]" if isinstance(found, dict) else ""
    said = f"{detail.get('result')}, decided by {who} at {detail.get('phase')}, about the {scope}{meaning}"
    return f"{said}: {detail.get('reply')}"


def _reported(detail: Mapping[str, Any]) -> str:
    """What a report said that came back later, and where the report is."""
    lasting = "for good" if detail.get("permanent") else "for now"
    what = f"{detail.get('reason')} {lasting} [rule {detail.get('rule')}]"
    return (
        f"{what}, reported by {detail.get('host') or 'a host'} (inbound {detail.get('inbound')}): {detail.get('reply')}"
    )


def _settled(event: EventView) -> Iterator[Step]:
    if event.kind is EventKind.ACCEPTED:
        return
    reason = str(event.detail.get("reason") or "")
    if event.detail.get("means"):
        reason = _reported(event.detail)
    elif not event.detail.get("attempt") and event.detail.get("reply"):
        reason = _outcome(event.detail)
    late = ", too late to change anything" if event.detail.get("late") else ""
    yield Step("settle", f"{_time(event.at)} {event.kind.label}{late}{f': {reason}' if reason else ''}")


def what_next(
    view: MessageView,
    delivery: DeliveryView,
    now: datetime,
    obstacles: Obstacles = NO_OBSTACLES,
) -> str:
    """What becomes of a delivery and why, in a sentence."""
    match delivery.state:
        case State.WAITING:
            return waiting(view, delivery, now, obstacles).sentence
        case State.LEASED:
            return "a worker has it: an attempt is under way, or about to begin"
        case State.HELD:
            why = last_words(view, delivery) or "it is held"
            return f"nothing until somebody acts: {why}; to let it go: leak queue release --id {view.id}"
        case State.DELIVERED:
            return "nothing: the next host took responsibility; a later bounce would make it returned"
        case State.BOUNCED:
            return "nothing: it was refused for good"
        case State.EXPIRED:
            return f"nothing: it was tried for {format_duration(view.expires_at - view.accepted_at)} and given up"
        case State.SUPPRESSED:
            return "nothing: the recipient is under a standing refusal"
        case State.CANCELLED:
            return "nothing: it was taken back"
        case State.RETURNED:
            return "nothing: it bounced after the far side had accepted it"
        case _:
            assert_never(delivery.state)


def _detail(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in detail.items())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
