"""The postman: one webhook's posts, in its form and under its secrets, counted.

Stands under the courier, which decides what is told and when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, assert_never
from urllib.parse import urlencode

from relay import metrics
from relay.clock import Clock
from relay.event.feed import FeedEvent, event_document, moment_text
from relay.notify.mandrill import NAMES, mandrill_events
from relay.notify.signatures import mandrill_signature, standard_headers
from relay.notify.webhook import Answer, Form, Post, Webhook
from relay.spool.rows import dump

IN_FLIGHT: Final = 8
"""Messages of one webhook that are told at the same time."""
DOWN_AFTER: Final = 3
"""Posts that fail in a row before the receiver counts as down."""
GONE: Final = 410
TEST: Final = "test"
"""The `type` of a post that tells no event."""


class Posting(Protocol):
    """The client, as the postman needs it."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post `body`; never raises for what the receiver does."""
        ...


@dataclass(slots=True)
class Tally:
    """What became of posts, all by the events' numbers. `failures`: in a row, up to now."""

    failures: int
    told: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    posts: list[Post] = field(default_factory=list)
    pause: float = 0.0
    """Seconds the receiver asked to be left alone."""
    error: str = ""
    """What the last refusal said."""
    is_gone: bool = False

    @property
    def is_down(self) -> bool:
        """Whether the receiver counts as down."""
        return self.is_gone or self.failures >= DOWN_AFTER

    def join(self, other: Tally) -> None:
        """Add what another tally found; its failures do not count, but what it got rid of does."""
        if other.told:
            self.failures = 0
        self.told |= other.told
        self.posts += other.posts
        self.pause = max(self.pause, other.pause)
        self.error = self.error or other.error
        self.is_gone = self.is_gone or other.is_gone


class Postman:
    """Posts to one webhook; `secrets` are those that sign now, the newest first."""

    def __init__(self, webhook: Webhook, secrets: Sequence[str], client: Posting, clock: Clock) -> None:
        self.webhook = webhook
        self._secrets = secrets
        self._client = client
        self._clock = clock

    async def tell(self, events: Sequence[FeedEvent], tally: Tally, attempt: int = 1) -> bool:
        """Post one message's events in order, up to the first that is refused; False if one was."""
        for batch in self._batches(events):
            answer = await self._post(batch)
            seqs, at = [event.position.seq for event in batch], self._clock.now()
            tally.posts += [Post(at, seq, attempt, answer.status, answer.millis, answer.error) for seq in seqs]
            if not answer.taken:
                tally.failures += 1
                tally.refused.add(seqs[0])
                tally.pause = max(tally.pause, answer.retry_after or 0.0)
                tally.error = answer.error
                tally.is_gone = tally.is_gone or answer.status == GONE
                return False
            tally.failures = 0
            tally.told.update(seqs)
        tally.told.update(event.position.seq for event in events)
        return True

    async def knock(self) -> Answer:
        """A post that tells no event, signed as all are: whether the receiver answers and believes us."""
        match self.webhook.form:
            case Form.STANDARD:
                at = self._clock.now()
                body = dump({"type": TEST, "timestamp": moment_text(at), "data": {"kind": TEST}}).encode()
                headers = self._standard(f"{TEST}_{int(at.timestamp())}", body)
            case Form.MANDRILL:
                headers, body = self._mandrill([])  # as Mandrill's own "send test" does
            case _:
                assert_never(self.webhook.form)
        return await self._client.post(self.webhook.url, headers, body)

    def _batches(self, events: Sequence[FeedEvent]) -> list[list[FeedEvent]]:
        match self.webhook.form:
            case Form.STANDARD:
                return [[event] for event in events]
            case Form.MANDRILL:
                named = [event for event in events if event.kind in NAMES]
                return [named] if named else []
            case _:
                assert_never(self.webhook.form)

    async def _post(self, events: Sequence[FeedEvent]) -> Answer:
        headers, body = self._write(events)
        answer = await self._client.post(self.webhook.url, headers, body)
        metrics.webhook_posts.labels("taken" if answer.taken else "refused").inc()
        return answer

    def _write(self, events: Sequence[FeedEvent]) -> tuple[dict[str, str], bytes]:
        match self.webhook.form:
            case Form.STANDARD:
                document = event_document(events[0])
                body = dump({"type": document["kind"], "timestamp": document["at"], "data": document}).encode()
                return self._standard(events[0].id, body), body
            case Form.MANDRILL:
                return self._mandrill(events)
            case _:
                assert_never(self.webhook.form)

    def _standard(self, name: str, body: bytes) -> dict[str, str]:
        timestamp = int(self._clock.now().timestamp())
        return {**standard_headers(self._secrets, name, timestamp, body), "Content-Type": "application/json"}

    def _mandrill(self, events: Sequence[FeedEvent]) -> tuple[dict[str, str], bytes]:
        fields = {"mandrill_events": mandrill_events(events)}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Mandrill-Signature": mandrill_signature(self._secrets[0], self.webhook.url, fields),
        }
        return headers, urlencode(fields).encode()
