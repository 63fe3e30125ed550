"""What stands in the way of mail, and the alarms: read together, and said in the words of `leak queue`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.figures.book import FigureBook
from relay.figures.brakes import EVERY_STREAM, Brake
from relay.shaping.contract import WarmUpView
from relay.shaping.path_notes import PathNote, PathNotes, paces, rests
from relay.shaping.warm_ups import WarmUpBook
from relay.spool.explaining import Obstacles
from relay.spool.inquiry import MessageView
from relay.spool.orders import Alarm, Suspension


class Stopping(Protocol):
    """The part of a spool that tells what an operator stopped, and what alarms stand."""

    async def suspensions(self) -> list[Suspension]:
        """See `relay.spool.contract.Spool.suspensions`."""
        ...

    async def alarms(self) -> list[Alarm]:
        """See `relay.spool.contract.Spool.alarms`."""
        ...


class Books(Protocol):
    """The stores that are asked."""

    @property
    def spool(self) -> Stopping: ...
    @property
    def figures(self) -> FigureBook: ...
    @property
    def warm_ups(self) -> WarmUpBook: ...
    @property
    def notes(self) -> PathNotes: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands just now."""

    suspensions: Sequence[Suspension]
    alarms: Sequence[Alarm]
    brakes: Sequence[Brake]
    warm_ups: Sequence[WarmUpView]
    notes: Sequence[PathNote]

    def rests(self) -> Iterator[str]:
        """What is stopped: by an operator, by what a path's hosts said, by complaints."""
        yield from map(suspended, self.suspensions)
        yield from (str(note) for note in self.notes if note.rests_until is not None)
        yield from map(braked, self.brakes)

    def paces(self) -> Iterator[str]:
        """What is slowed: paths whose provider limits us, warm-ups with mail that waits."""
        yield from (str(note) for note in self.notes if note.rests_until is None)
        for view in self.warm_ups:
            if view.waits_until:
                yield f"{view}; mail waits until {view.waits_until:%Y-%m-%d %H:%M} UTC"

    def alarming(self) -> Iterator[str]:
        """The alarms."""
        for alarm in self.alarms:
            yield f"alarm since {alarm.since:%Y-%m-%d %H:%M:%S} UTC: {alarm.kind} {alarm.subject}: {alarm.detail}"


def suspended(one: Suspension) -> str:
    """A suspension: what it stops, until when, and why."""
    named = (one.site, one.source and f"from {one.source}", one.domain, one.tenant and f"tenant {one.tenant}")
    what = " ".join(filter(None, named)) or "everything"
    return f"suspended ({one.id}) until {one.until:%Y-%m-%d %H:%M:%S} UTC: {what}: {one.reason}"


def braked(brake: Brake) -> str:
    """A brake, and the command that ends it."""
    how = f"leak queue resume --tenant {brake.tenant_name} --stream '{brake.stream}'"
    return f"{brake.subject} {brake}; to end it: {how}"


async def read_standing(books: Books) -> Standing:
    """All of it. Raises SpoolUnavailableError."""
    return Standing(
        await books.spool.suspensions(),
        await books.spool.alarms(),
        await books.figures.brakes(),
        await books.warm_ups.views(),
        await books.notes.all(),
    )


async def read_obstacles(books: Books, ceilings: Iterable[int]) -> Obstacles:
    """What may keep deliveries waiting; `ceilings` are the rows of the warm-ups they wait for."""
    notes = await books.notes.all()
    suspensions, reasons = await books.spool.suspensions(), await books.warm_ups.reasons(ceilings)
    return Obstacles(suspensions, reasons, paces(notes), rests(notes))


def why_braked(view: MessageView, brakes: Sequence[Brake]) -> str:
    """Why a message's stream is slowed or stopped; "" if it is not."""
    for one in brakes:
        if one.tenant == view.tenant_id and one.stream in (view.stream, EVERY_STREAM):
            return f"the stream {one.subject} is {one}"
    return ""
