"""The courier: tells one webhook what its tenant's events say, one round after the other.

Stands under the outbox. A round is a page of the stream, posted message by message: the events of one message in
order, several messages at a time. What the receiver refuses while it takes other things is parked and tried again
apart; the message's later events wait behind it. When posts fail one after the other the receiver counts as down:
the position stays, and one post a time asks whether it is back. So a receiver that is down takes no room, and nothing
is passed over. A process that dies between a post and the round's record posts again: at least once, never not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from relay.clock import has_come
from relay.engine.postman import IN_FLIGHT, Postman, Tally
from relay.event.feed import EventFilter, EventPage, FeedEvent, Position
from relay.ids import Entropy
from relay.log import Log
from relay.notify.book import WebhookBook
from relay.notify.webhook import Parked, Round
from relay.spool.contract import Spool
from relay.wary_clock import WaryClock

_log = Log("webhook")

PAGE: Final = 200
"""Events of a round, in memory at once."""
MOST_PARKED: Final = 1000
"""Events parked for a webhook; past it the stream waits."""
DUE_AT_ONCE: Final = 25
"""Messages with parked events that a round tries again."""
WAITS: Final = tuple(timedelta(seconds=s) for s in (5, 30, 120, 300, 900, 1800, 3600))
"""Between tries of a parked event; the last one repeats."""
SHORTEST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(hours=1)
"""Between questions to a receiver that is down; the pause is half the time it has been so."""
FURTHEST: Final = timedelta(hours=2)
"""No time of a next try lies further ahead."""


@dataclass(frozen=True, slots=True)
class CourierParts:
    """What couriers work with."""

    spool: Spool
    book: WebhookBook
    clock: WaryClock
    entropy: Entropy
    give_up_after: timedelta


@dataclass(slots=True)
class _Round:
    """What a round found: the page, what of it was not told before, and what happened."""

    now: datetime
    page: EventPage
    fresh: list[FeedEvent]
    parked: list[Parked]
    tally: Tally
    again: list[Parked] = field(default_factory=list)
    """Parked ones that were refused again, with their next time."""
    gone: list[int] = field(default_factory=list)
    """Parked ones whose event is kept no longer."""
    stalled: bool = False
    """The position stays."""


class Courier:
    """Tells one webhook. `told` outlives the courier: what was taken above the position, for the next round."""

    def __init__(
        self, parts: CourierParts, postman: Postman, incarnation: int, holds: Callable[[], bool], told: set[int]
    ) -> None:
        self._parts = parts
        self._postman = postman
        self._webhook = postman.webhook
        self._incarnation = incarnation
        self._holds = holds
        self._told = told
        self.disabled_why = ""
        """Set when the last round disabled the webhook."""

    async def run(self) -> None:
        """Rounds until there is nothing to tell, the receiver is down, or the webhook is not ours any more."""
        while self._holds():
            found = await self._look()
            await self._tell(found)
            if not await self._record(found):
                return

    async def _look(self) -> _Round:
        parts, hook = self._parts, self._webhook
        parked = await parts.book.parked(hook.id) if hook.parked else []
        room = min(PAGE, MOST_PARKED - len(parked))
        if room > 0:
            page = await parts.spool.events(EventFilter(hook.position, room, hook.tenant, hook.kinds))
        else:
            page = EventPage((), hook.position, more=False)
        fresh = [event for event in page.events if event.position.seq not in self._told]
        found = _Round(parts.clock.now(), page, fresh, parked, Tally(hook.failures))
        found.stalled = room <= 0
        return found

    async def _tell(self, found: _Round) -> None:
        """Fresh events first: they alone show how the receiver is; then what is parked and due."""
        tally = found.tally
        behind = {one.message for one in found.parked}
        groups = _by_message([event for event in found.fresh if event.message not in behind])
        if tally.is_down and groups:
            await self._postman.tell(groups[0], tally)
            groups = groups[1:]
        await self._several(groups, tally)
        found.stalled = found.stalled or tally.is_down
        if not (tally.is_down and found.fresh):
            await self._retry(found)

    async def _several(self, groups: Sequence[list[FeedEvent]], tally: Tally) -> None:
        """Several messages at a time, until too many fail or we have to stop."""
        waiting = iter(groups)

        async def work() -> None:
            for group in waiting:
                if tally.is_down or not self._holds():
                    return
                await self._postman.tell(group, tally)

        await asyncio.gather(*(work() for _ in range(min(IN_FLIGHT, len(groups)))))

    async def _retry(self, found: _Round) -> None:
        """Try what is parked and due, each message from its first."""
        queues: dict[str, list[Parked]] = {}
        for one in found.parked:
            queues.setdefault(one.message, []).append(one)
        due = [queue for queue in queues.values() if has_come(queue[0].next_at, found.now, FURTHEST)][:DUE_AT_ONCE]
        seqs = [one.seq for queue in due for one in queue]
        events = {e.position.seq: e for e in await self._parts.spool.events_named(seqs, self._webhook.tenant)}
        # That it refuses again what it refused before says nothing new of the receiver.
        tally = Tally(0)

        async def work(waiting: list[list[Parked]]) -> None:
            while waiting and self._holds():
                queue = waiting.pop(0)
                known = [events[one.seq] for one in queue if one.seq in events]
                found.gone += [one.seq for one in queue if one.seq not in events]
                if not known or await self._postman.tell(known, tally, queue[0].attempts + 1):
                    continue
                stuck = next(one for one in queue if one.seq in events and one.seq not in tally.told)
                found.again.append(self._later(stuck, found.now))

        await asyncio.gather(*(work(due) for _ in range(IN_FLIGHT)))
        found.tally.join(tally)

    def _later(self, stuck: Parked, now: datetime) -> Parked:
        wait = WAITS[min(stuck.attempts, len(WAITS) - 1)] * (1 + self._parts.entropy.uniform() / 5)
        return Parked(stuck.seq, stuck.message, stuck.attempts + 1, stuck.since, now + wait)

    async def _record(self, found: _Round) -> bool:
        """Write the round; whether to go on at once."""
        hook, tally, now = self._webhook, found.tally, found.now
        found.stalled = found.stalled or not self._holds()
        self._told |= tally.told
        given_up = self._given_up(found)
        failing_since = self._failing_since(tally, now)
        parked = found.again if found.stalled else [*found.again, *self._to_park(found)]
        self.disabled_why = self._why_disable(found, failing_since)
        result = Round(
            position=self._reached(found.page) if found.stalled else found.page.cursor,
            failures=tally.failures,
            failing_since=failing_since,
            next_at=now + self._pause(tally, failing_since, now) if found.stalled else now,
            taken_at=now if tally.told else hook.taken_at,
            posts=tuple(tally.posts),
            park=tuple(one for one in parked if one.seq not in given_up),
            unpark=(*(one.seq for one in found.parked if one.seq in tally.told), *found.gone, *given_up),
            disabled_why=self.disabled_why,
        )
        if not await self._parts.book.record(hook, self._incarnation, result):
            self.disabled_why = ""
            return False
        self._told.intersection_update(event.position.seq for event in found.page.events if found.stalled)
        newest = await self._parts.book.get(hook.id, hook.tenant)
        if newest is None or newest.version != hook.version or found.stalled:
            return False
        self._webhook = newest
        return found.page.more

    def _failing_since(self, tally: Tally, now: datetime) -> datetime | None:
        if not tally.failures:
            return None
        return min(now, (None if tally.told else self._webhook.failing_since) or now)

    def _pause(self, tally: Tally, failing_since: datetime | None, now: datetime) -> timedelta:
        """How long a receiver that is down is left alone."""
        pause = (now - failing_since) / 2 if failing_since is not None else SHORTEST_PAUSE
        pause = min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE) * (1 + self._parts.entropy.uniform() / 5)
        return max(pause, timedelta(seconds=tally.pause))

    def _reached(self, page: EventPage) -> Position:
        """How far everything has been told, without a gap."""
        position = self._webhook.position
        for event in page.events:
            if event.position.seq not in self._told:
                break
            position = event.position
        return position

    def _to_park(self, found: _Round) -> list[Parked]:
        """What of the page was not taken: refused, or behind something that was."""
        parked = []
        for event in found.fresh:
            seq = event.position.seq
            if seq in found.tally.refused:
                parked.append(self._later(Parked(seq, event.message, 0, found.now, found.now), found.now))
            elif seq not in found.tally.told:
                parked.append(Parked(seq, event.message, 0, found.now, found.now))
        return parked

    def _given_up(self, found: _Round) -> list[int]:
        """Parked events that were refused for days, while the receiver took others."""
        last, limit = self._webhook.taken_at, self._limit(found)
        seqs = [one.seq for one in found.again if one.since <= limit and last is not None and last > one.since]
        if seqs:
            _log.warning("events-given-up", webhook=self._webhook.id, events=len(seqs))
        return seqs

    def _limit(self, found: _Round) -> datetime:
        """What was refused since then is given up; a wall clock that may be ahead ends nobody's patience."""
        return found.now - self._parts.clock.lead() - self._parts.give_up_after

    def _why_disable(self, found: _Round, failing_since: datetime | None) -> str:
        if found.tally.is_gone:
            return "the receiver answered 410 Gone"
        last, limit = self._webhook.taken_at, self._limit(found)
        silent = any(one.since <= limit and (last is None or last <= one.since) for one in found.again)
        if found.tally.told or not (silent or (failing_since is not None and failing_since <= limit)):
            return ""
        days = self._parts.give_up_after.total_seconds() / 86_400
        return f"nothing was taken for {days:g} days; the last time: {found.tally.error or 'no answer'}"


def _by_message(events: Sequence[FeedEvent]) -> list[list[FeedEvent]]:
    """The events of each message in order, messages in the order of their first."""
    groups: dict[str, list[FeedEvent]] = {}
    for event in events:
        groups.setdefault(event.message, []).append(event)
    return list(groups.values())
