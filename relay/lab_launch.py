"""The scenario `launch-2014`: a node in a process of its own, and here the lab, the visitors and the books.

The node is the one of production, its front in the replay's time (`relay.lab.launch.time`). When the last letter is
written, the days go on until nothing is due any more; then the node is stopped and every letter is looked for in the
tables and at the lab's hosts.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, Protocol

import aiohttp

from relay.clock import SystemClock, to_millis
from relay.database.contract import Connection, Database
from relay.database.sqlite import SqliteDatabase
from relay.ids import SystemEntropy
from relay.lab.lab import Lab, LabPlan
from relay.lab.launch.ledger import Ledger, Standing, balance
from relay.lab.launch.plan import DAY, DAYS, Kind, Letter, letters
from relay.lab.launch.report import DayCount
from relay.lab.launch.time import ReplayClock
from relay.lab.launch.visitors import Played, Times, Visitors
from relay.lab.mailbox import Arrival
from relay.launch_node import LaunchPlan, prepare, start_node, stop_node
from relay.policy.state import State

AT_ONCE: Final = 24
"""Letters that are being written at a time."""
WRITING: Final = 1800.0
"""Seconds of the replay that pass at most while somebody writes: a preview is good for two hours, and in the first days
as much lies between three letters.
"""

_SUBNET: Final = 14
_DRAIN_DAYS: Final = 4
_DRAIN_HOURS: Final = (0.5, 12.0)
_PATIENCE: Final = 300.0
_WAITED_FOR: Final = 200
"""A day of fewer letters is not waited for at its end: what is left leaves on the next."""
_TELL_EVERY: Final = 2.0
_REFUSES_EVERY: Final = 120
"""One reader of so many wants no more letters."""
_LINK: Final = re.compile(r"/r/([A-Za-z0-9_-]{20,})")
_DUE: Final = "SELECT EXISTS (SELECT 1 FROM web_handover WHERE held_until IS NULL AND due <= ?)"
_WAITING: Final = "SELECT COUNT(*) FROM web_handover WHERE held_until IS NULL AND due < 253402300799000"
_STATES: Final = "SELECT m.id, d.state FROM message m JOIN delivery d ON d.message = m.seq"
_UNSETTLED: Final = "SELECT COUNT(*) FROM delivery WHERE state IN (?, ?)"


class Account(Protocol):
    """Where the front has a letter."""

    @property
    def message_id(self) -> str | None: ...
    @property
    def place(self) -> str: ...


Accounts = Callable[[Database], Awaitable[Mapping[bytes, Account]]]
"""The front's own books, by the hash of a letter's secret."""


@dataclass(slots=True)
class Launch:
    """What came of it."""

    ledger: Ledger
    days: list[DayCount]
    seconds: float
    times: Times
    faults: list[str]


@dataclass(slots=True)
class Readers:
    """Those who get the mail: they are counted, and some want no more."""

    arrived: list[str] = field(default_factory=list)
    refusing: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)
    refused: list[str] = field(default_factory=list)

    def take(self, arrival: Arrival) -> None:
        """A mail arrived at a lab host."""
        posting = arrival.posting
        if posting.reverse_path == "":
            return
        self.arrived += posting.recipients
        if len(self.arrived) % _REFUSES_EVERY == 0:
            text = email.message_from_bytes(posting.content, policy=email.policy.default).get_body(("plain",))
            link = _LINK.search(str(text.get_content())) if text is not None else None
            if link is not None:
                self.refusing.put_nowait((link[1], posting.recipients[0]))


async def launch(plan: LaunchPlan, accounts: Accounts, say: Callable[[str], None]) -> Launch:
    """Replay the launch. Raises LeakError if the node does not start."""
    began = time.monotonic()
    lab = Lab(
        plan.folder,
        SystemClock(),
        SystemEntropy(),
        LabPlan(dns_port=0, http_port=0, smtp_port=0, subnet=_SUBNET, max_mails=50, judge_all=False),
    )
    readers = Readers()
    lab.inbox.tell(readers.take)
    clock = ReplayClock.make(plan.folder / "clock")
    await lab.start()
    try:
        settings, port = prepare(plan, lab)
        node = await start_node(plan, port)
        try:
            database = await SqliteDatabase.open(settings.sqlite_path or plan.folder / "spool.db")
            try:
                replay = Replay(plan, clock, readers, database, say)
                await replay.run(f"http://127.0.0.1:{port}", began)
                ledger = await _balance(replay.played, accounts, database, readers)
            finally:
                await database.close()
        finally:
            await stop_node(node)
    finally:
        await lab.stop()
    seconds = time.monotonic() - began
    faults = ledger.faults(plan.letters)
    if seconds > plan.minutes * 60:
        faults.append(f"it took {seconds / 60:.1f} minutes, more than {plan.minutes:g}")
    return Launch(ledger, replay.days, seconds, replay.times, faults)


class Replay:
    """Plays the letters and lets the days pass."""

    def __init__(
        self,
        plan: LaunchPlan,
        clock: ReplayClock,
        readers: Readers,
        database: Database,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._readers = readers
        self._database = database
        self._say = say
        self.played: list[Played] = []
        self.days: list[DayCount] = []
        self.times = Times()
        self._written: Counter[int] = Counter()
        self._turn = asyncio.Lock()
        self._writing: list[float] = []
        """When each of the letters was begun that are being written."""
        self._ended = asyncio.Event()

    async def run(self, url: str, began: float) -> None:
        """All letters, and the days until nothing is due."""
        connector = aiohttp.TCPConnector(limit=AT_ONCE + 4)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            visitors = Visitors(url, session)
            self.times = visitors.times
            telling = asyncio.create_task(self._tell(began))
            refusing = asyncio.create_task(self._let_readers_refuse(visitors))
            try:
                await self._write(visitors)
                await self._let_days_pass()
            finally:
                for task in (telling, refusing):
                    task.cancel()
                await asyncio.gather(telling, refusing, return_exceptions=True)

    async def _write(self, visitors: Visitors) -> None:
        source = letters(self._plan.seed, self._plan.letters)
        last = 0
        for day, todays in groupby(source, lambda letter: letter.day):
            for quiet in range(last + 1, day):
                await self._end_day(quiet)
            await self.write_day(visitors, todays)
            await self._end_day(day)
            last = day

    async def write_day(self, visitors: Visitors, todays: Iterator[Letter]) -> None:
        """Each writer takes the next letter when the last is sent: nobody waits for the slowest of a round."""
        async with asyncio.TaskGroup() as writing:
            for _ in range(AT_ONCE):
                writing.create_task(self._write_some(visitors, todays))

    async def _write_some(self, visitors: Visitors, todays: Iterator[Letter]) -> None:
        while letter := await self._begin_next(todays):
            try:
                self.played.append(await visitors.play(self._told(letter)))
            finally:
                self._writing.remove(letter.at)
                self._ended.set()
            self._written[letter.day] += 1

    async def _begin_next(self, todays: Iterator[Letter]) -> Letter | None:
        """The next letter, at its time: as soon as nobody is still writing one that was begun long before."""
        async with self._turn:
            letter = next(todays, None)
            if letter is None:
                return None
            while self._writing and letter.at - min(self._writing) > WRITING:
                self._ended.clear()
                await self._ended.wait()
            self._writing.append(letter.at)
            self._clock.advance(letter.at)
            return letter

    def _told(self, letter: Letter) -> Letter:
        """`letter`, to somebody who has refused if it is to be that."""
        if letter.kind is Kind.UNWANTED and self._readers.refused:
            refused = self._readers.refused
            return replace(letter, to=refused[letter.number % len(refused)])
        return letter

    async def _end_day(self, day: int) -> None:
        """Midnight: what of this day may still leave does, then it is counted."""
        self._clock.advance(day * DAY - 60)
        if self._written[day] >= _WAITED_FOR:
            await self._settle()
        waiting = await self._count(_WAITING)
        arrived = len(self._readers.arrived) - sum(one.arrived for one in self.days)
        self.days.append(DayCount(day, self._written[day], arrived, waiting))

    async def _let_days_pass(self) -> None:
        for day in range(DAYS + 1, DAYS + 1 + _DRAIN_DAYS):
            if not await self._count(_WAITING):
                break
            for hours in _DRAIN_HOURS:
                self._clock.advance((day - 1 + hours / 24) * DAY)
                await self._settle()
            await self._end_day(day)
        self._clock.advance((DAYS + 1 + _DRAIN_DAYS) * DAY)
        await self._settle()
        await self._until(self._nothing_unsettled)

    async def _settle(self) -> None:
        """Wait until the courier has looked at everything that is due."""
        await self._until(self._nothing_due)

    async def _nothing_due(self) -> bool:
        return not await self._count(_DUE, to_millis(self._clock.now()))

    async def _nothing_unsettled(self) -> bool:
        return not await self._count(_UNSETTLED, State.WAITING.value, State.LEASED.value)

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if await condition():
                return
            await asyncio.sleep(0.1)

    async def _count(self, sql: str, *bindings: Any) -> int:
        def work(connection: Connection) -> int:
            ((found,),) = connection.execute(sql, bindings)
            return int(found)

        return await self._database.read(work)

    async def _let_readers_refuse(self, visitors: Visitors) -> None:
        while True:
            token, address = await self._readers.refusing.get()
            await visitors.refuse(token)
            self._readers.refused.append(address)

    async def _tell(self, began: float) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY)
            seconds, done = time.monotonic() - began, len(self.played)
            day = int(self._clock.monotonic() / DAY) + 1
            self._say(
                f"{seconds:5.0f} s  day {day:>2}  {done:>7,} of {self._plan.letters:,} written  "
                f"{len(self._readers.arrived):>7,} arrived  {done / max(seconds, 1):4.0f}/s"
            )


async def _balance(played: list[Played], accounts: Accounts, database: Database, readers: Readers) -> Ledger:
    known = await accounts(database)

    def work(connection: Connection) -> dict[str, str]:
        return {message: State(state).label for message, state in connection.execute(_STATES)}

    states = await database.read(work)
    standings: dict[str, Standing] = {}
    for one in played:
        account = known.get(hashlib.sha256(one.secret.encode()).digest()) if one.secret else None
        if account is not None:
            state = states.get(account.message_id, "nowhere") if account.message_id is not None else ""
            standings[one.secret] = Standing("" if state == "nowhere" else state, account.place)
    return balance(played, standings, readers.arrived, len(known))
