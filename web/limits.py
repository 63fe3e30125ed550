"""Limits per sender, recipient, pair and organisation, and what looks like many against one (S17, S53; RCP 5 and 6).

Uses are counted in the database, under hashes whose keys are in memory only: all workers of a machine count together,
and what is on disk says nothing once the keys have gone. A letter is counted in the transaction that allows it.
Until then no row says which others it was written with: rows stand in the order of their hashes, at full hours, what
names a sender is another value for each recipient and each minute, and no hash is the one a letter has for a freeze.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.ids import Entropy
from web.client_address import site_of
from web.limit_keys import Hashes, LimitKeys, Period
from web.mailbox import mailbox_of
from web.network import Network
from web.organisations import AS_USUAL, Organisations
from web.pile import HeldPile
from web.turns import Turn, take_turn

_KEY: Final = 32
_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_COUNT: Final = "SELECT at FROM web_count WHERE hash IN (?, ?) AND at > ? ORDER BY at DESC LIMIT ?"
_WHO: Final = "SELECT DISTINCT who FROM web_count WHERE hash IN (?, ?) AND at > ? AND who IS NOT NULL"
_ADD: Final = "INSERT INTO web_count (hash, lot, at, until, who) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_COUNTED: Final = "SELECT 1 FROM web_count WHERE hash = ? AND lot = ?"
_TAKE_BACK: Final = "DELETE FROM web_count WHERE hash = ? AND lot = ?"
_FORGET: Final = (("DELETE FROM web_count WHERE until < ?", 0), ("DELETE FROM web_use WHERE at < ?", 2 * 24 * _HOUR))
"""`web_use` is what an older front of the same database counts in; two days are longer than both run side by side."""
_MIX: Final = """
WITH moved AS (DELETE FROM web_count WHERE at >= ? AND at < ? RETURNING hash, lot, at, until, who)
INSERT INTO web_count (hash, lot, at, until, who) SELECT hash, lot, at, until, who FROM moved ORDER BY hash, lot
"""
_MIXED: Final = 2 * _HOUR
"""Rows of so long are mixed each time: the hour that is just over, and the one before where a round came late."""
MAX_TRACKED: Final = 50_000
_MOST_OWED: Final = 10_000
"""Rows to take back at most, of about a thousand letters; what is older stays counted until its time is over."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` within `span`."""

    count: int
    span: timedelta

    @property
    def of_site(self) -> Limit:
        """What holds for all networks of a site together."""
        return Limit(self.count * SITE, self.span)


SENDER_MINUTE: Final = Limit(1, timedelta(minutes=1))
SENDER_DAY: Final = Limit(5, timedelta(days=1))
RECIPIENT_DAY: Final = Limit(3, timedelta(days=1))
RECIPIENT_MONTH: Final = Limit(10, timedelta(days=30))
TICKETS: Final = Limit(5, timedelta(days=1))
"""Places in the slow lane for one sender."""
SITE: Final = 8
"""A site, the /48 of an IPv6 address, may do so many times what one sender may: it has 256 networks of /56."""
QUESTIONS_SENDER: Final = Limit(10, timedelta(days=1))
"""Mails that ask whether an address was typed by its owner: a writer's code, the weekly."""
QUESTIONS_MAILBOX: Final = Limit(3, timedelta(days=1))
QUESTIONS_MAILBOX_MONTH: Final = Limit(10, timedelta(days=30))
NOTICES: Final = Limit(20, timedelta(days=1))
"""Notices of one sender: the form stays open to others, however many somebody files."""
PAIR_DAY: Final = Limit(1, timedelta(days=1))
PAIR_MONTH: Final = Limit(3, timedelta(days=30))
PREVIEWS: Final = Limit(60, timedelta(minutes=10))
"""Checks of an address by one sender: enough for somebody who cannot type, too few to search with."""

PILE_ON: Final = 4
"""Senders to one recipient within a day, from which on a person looks first."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a letter may be sent: `wait` set, it may not yet. `pair` names who wrote to whom, for a freeze.

    A sender whom the recipient has reported is let in like any other, and so is one letter too many: an answer that
    follows from letters of others, of whoever shares a connection too, would tell of them. Both are stopped later.
    """

    wait: timedelta | None = None
    may_queue: bool = False
    """Whether nothing but the sender's limit for a day makes it wait."""
    pile_on: bool = False
    pair: bytes | None = None
    is_full: bool = False
    """A person would look first whoever it is for, and too many letters wait for that. It is not counted."""
    over: bool = False
    """Whether its recipient, their organisation or its sender's letters to them have reached a limit, or so many wait
    for a person that nobody can look at a pile-on: then it is taken as any other and withheld.
    """
    counted: tuple[tuple[bytes, bytes], ...] = ()
    """By which rows the letter was counted."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the pile of held letters has to know of a letter: where it comes from, and whether a person looks at it
    whoever else wrote to its recipient.
    """

    network: Network = Network.DIRECT
    anyway: bool = False
    letter_id: str = ""
    """Which letter it is, so that one that two workers take at once is counted once; "" for none that is known."""


@dataclass(frozen=True, slots=True)
class _Use:
    limit: Limit
    hashes: Hashes
    who: bytes | None = None
    """Whose use it is, as a value that stands nowhere else."""

    @property
    def milliseconds(self) -> int:
        """The span."""
        return int(self.limit.span.total_seconds() * 1000)

    def row(self, now: int, lot: bytes) -> tuple[bytes, bytes, int, int, bytes | None]:
        """How it is kept: for twice its span, from the beginning of the hour (a minute's from that of the minute)."""
        grain = min(self.milliseconds, _HOUR)
        at = now // grain * grain
        return self.hashes.now, lot, at, at + 2 * self.milliseconds, self.who


@dataclass(frozen=True, slots=True)
class _Asks:
    """What one letter is counted under at `now`: as its sender's own, as one that a person may look at, and as others
    may know of it, a recipient's day apart from the rest.
    """

    now: int
    own: tuple[_Use, ...]
    watched: tuple[_Use, ...]
    other: tuple[_Use, ...]
    theirs: _Use

    @property
    def all(self) -> tuple[_Use, ...]:
        """Each of them."""
        return (*self.own, *self.watched, *self.other, self.theirs)

    def longest(self, connection: Connection, uses: Sequence[_Use]) -> int:
        """Milliseconds until one more of each of `uses` is allowed."""
        return max((_wait(connection, use, self.now) for use in uses), default=0)

    def is_pile_on(self, connection: Connection) -> bool:
        """Whether the recipient's day is full of letters by several others."""
        full = _wait(connection, self.theirs, self.now) > 0
        return full and _senders(connection, self.theirs, self.now) >= PILE_ON


class LetterLimits:
    """Admits letters. Raises SpoolUnavailableError."""

    def __init__(
        self,
        database: Database,
        keys: LimitKeys,
        clock: Clock,
        organisations: Organisations = AS_USUAL,
        pile: HeldPile | None = None,
    ) -> None:
        self._database = database
        self._pile = pile
        self._keys = keys
        self._clock = clock
        self._organisations = organisations
        self._owed = deque[tuple[bytes, bytes]](maxlen=_MOST_OWED)

    async def take(self, sender: bytes, recipient: str, *, has_ticket: bool = False, held: Held = Held()) -> Admission:
        """Count one letter of `sender`, a network, to `recipient`; one that has to wait is not counted.

        What makes a letter wait is its sender's alone; the rest makes it one too many, which nobody is told. That one
        counts for its sender, for nobody else. Who has waited for a ticket is free of the sender's limits, never of
        the others, nor of their own part of what a person looks at.
        """
        asks = self._asks(sender, recipient, has_ticket=has_ticket)
        mailbox = mailbox_of(recipient).encode()
        pair = self._keys.hashes(Period.MONTH, b"pair\0" + sender + b"\0" + mailbox)
        now, owed = asks.now, tuple(self._owed)
        rows = {use: use.row(now, self._lot(use, held.letter_id)) for use in asks.all}
        wrote = next(rows[use] for use in asks.other if use.limit == PAIR_DAY)

        def work(connection: Connection) -> Admission:
            take_turn(connection, self._database.dialect, Turn.LIMITS)
            _take_back(connection, owed)
            if has_ticket and held.letter_id and list(connection.execute(_COUNTED, wrote[:2])):
                # Pressed twice, at two workers: as one too many, beside itself, it would never leave. Without a
                # ticket the minute stops it, and its writer finds it there.
                return Admission(pile_on=asks.is_pile_on(connection), pair=_frozen(connection, pair) or pair.now)
            final = asks.longest(connection, asks.watched) if held.anyway else 0
            mine = [_wait(connection, use, now) for use in asks.own]
            longest = max(final, *mine, 0)
            if longest > 0:
                queues = final == 0 and max(mine[1:], default=0) > 0
                return Admission(timedelta(milliseconds=longest), may_queue=queues)
            has_room = self._pile is None or self._pile.has_room(connection, held.network)
            if held.anyway and not has_room:
                return Admission(is_full=True)
            pile_on = asks.is_pile_on(connection)
            may_wait = held.anyway or (has_room and asks.longest(connection, asks.watched) == 0)
            full = not may_wait if pile_on else _wait(connection, asks.theirs, now) > 0
            over = full or asks.longest(connection, asks.other) > 0
            pile_on = pile_on and not over
            uses = (*asks.own, *(asks.watched if held.anyway or pile_on else ()))
            uses = uses if over else (*uses, *asks.other, asks.theirs)
            added = sorted(rows[use] for use in _distinct(uses))
            connection.executemany(_ADD, added)
            counted = tuple((hashed, lot) for hashed, lot, *_ in added)
            frozen = _frozen(connection, pair)
            return Admission(pile_on=pile_on, pair=frozen or pair.now, over=over, counted=counted)

        admission = await self._database.write(work)
        self._have_back(owed)
        return admission

    def _asks(self, sender: bytes, recipient: str, *, has_ticket: bool) -> _Asks:
        """Everything that a letter is counted under."""
        mailbox = mailbox_of(recipient)
        name = mailbox.encode()
        both = sender + b"\0" + name
        wrote = self._keys.hashes(Period.MONTH, b"wrote\0" + both)
        who = self._keys.hashes(Period.DAY, b"who\0" + both).now
        now = to_millis(self._clock.now())
        return _Asks(
            now,
            own=() if has_ticket else self._of_sender(sender, now),
            watched=self._of_pile(sender),
            other=(
                _Use(RECIPIENT_MONTH, self._keys.hashes(Period.MONTH, b"recipient\0" + name)),
                _Use(PAIR_DAY, wrote),
                _Use(PAIR_MONTH, wrote),
                *self._of_all(mailbox),
            ),
            theirs=_Use(RECIPIENT_DAY, self._keys.hashes(Period.DAY, b"recipient\0" + name), who),
        )

    def give_back(self, admission: Admission) -> None:
        """The letter that was let in could not be kept: it is to count no more, so that it may be sent again."""
        self._owed.extend(admission.counted)

    async def repay(self) -> None:
        """Take back what is owed; `take` does so too, but a letter that is sent again may meet another worker."""
        owed = tuple(self._owed)

        def work(connection: Connection) -> None:
            take_turn(connection, self._database.dialect, Turn.LIMITS)
            _take_back(connection, owed)

        if owed:
            await self._database.write(work)
            self._have_back(owed)

    def _have_back(self, owed: Sequence[tuple[bytes, bytes]]) -> None:
        done = set(owed)
        self._owed = deque((row for row in self._owed if row not in done), _MOST_OWED)

    def _of_sender(self, sender: bytes, now: int) -> tuple[_Use, ...]:
        """The minute comes first, with a hash of its own: its exact time must not stand beside what lasts a day."""
        minute = b"%d\0" % (now // _MINUTE)
        return (
            _Use(SENDER_MINUTE, self._keys.hashes(Period.DAY, b"minute\0" + minute + sender)),
            *self._of_network(SENDER_DAY, b"sender\0", sender),
        )

    def _of_pile(self, sender: bytes) -> tuple[_Use, ...]:
        """What one sender may add in a day to what waits for a person."""
        if self._pile is None:
            return ()
        return self._of_network(Limit(self._pile.bounds.of_one, timedelta(days=1)), b"held\0", sender)

    def _of_network(self, limit: Limit, purpose: bytes, sender: bytes) -> tuple[_Use, ...]:
        """What counts for a network in a day, and for its site where it has one."""
        own = _Use(limit, self._keys.hashes(Period.DAY, purpose + sender))
        site = site_of(sender)
        if site is None:
            return (own,)
        return own, _Use(limit.of_site, self._keys.hashes(Period.DAY, b"site\0" + purpose + site))

    def _lot(self, use: _Use, letter_id: str) -> bytes:
        """What tells rows of one hash apart: the same for a letter that is counted again, another for each hash."""
        return self._keys.lot_of(use.hashes.now, letter_id.encode()) if letter_id else self._keys.lot()

    def _rows(self, uses: Sequence[_Use], now: int) -> list[tuple[bytes, bytes, int, int, bytes | None]]:
        return sorted(use.row(now, self._keys.lot()) for use in uses)

    def _of_all(self, mailbox: str) -> tuple[_Use, ...]:
        """What counts for everybody of the recipient's organisation together."""
        domain = self._organisations.of(mailbox)
        if domain is None:
            return ()
        hashes = self._keys.hashes(Period.DAY, b"organisation\0" + domain.encode())
        return (_Use(Limit(self._organisations.per_day, timedelta(days=1)), hashes),)

    async def take_ticket(self, sender: bytes) -> timedelta | None:
        """Count one place in the slow lane; None if `sender` may have it, else how long to wait."""
        return await self._take(*self._of_network(TICKETS, b"ticket\0", sender))

    async def take_notice(self, sender: bytes) -> timedelta | None:
        """Count one notice of unlawful content; None if `sender` may file it, else how long to wait."""
        return await self._take(*self._of_network(NOTICES, b"notice\0", sender))

    async def take_question(self, sender: bytes, address: str) -> bool:
        """Count one mail that asks whoever has `address`; False if `sender` or the mailbox has had enough."""
        mailbox = b"asked\0" + mailbox_of(address).encode()
        wait = await self._take(
            *self._of_network(QUESTIONS_SENDER, b"asks\0", sender),
            _Use(QUESTIONS_MAILBOX, self._keys.hashes(Period.DAY, mailbox)),
            _Use(QUESTIONS_MAILBOX_MONTH, self._keys.hashes(Period.MONTH, mailbox)),
        )
        return wait is None

    async def _take(self, *uses: _Use) -> timedelta | None:
        """Count one of each, or none: then the longest wait of all."""
        now = to_millis(self._clock.now())
        rows = self._rows(uses, now)

        def work(connection: Connection) -> int:
            take_turn(connection, self._database.dialect, Turn.LIMITS)
            wait = max(_wait(connection, use, now) for use in uses)
            if wait <= 0:
                connection.executemany(_ADD, rows)
            return wait

        wait = await self._database.write(work)
        return timedelta(milliseconds=wait) if wait > 0 else None

    async def forget(self) -> None:
        """Delete uses that count for no limit any more, and mix the others of the hours that are over.

        PostgreSQL keeps rows in the order and under the transactions in which they came: those of one letter together.
        """
        now = to_millis(self._clock.now())
        hour = now // _HOUR * _HOUR

        def work(connection: Connection) -> None:
            # Whoever else changes rows has the turn too: two at once would wait for each other's.
            take_turn(connection, self._database.dialect, Turn.LIMITS)
            for sql, age in _FORGET:
                connection.execute(sql, (now - age,))
            if self._database.dialect == "postgres":
                connection.execute(_MIX, (hour - _MIXED, hour))

        await self._database.write(work)


def _take_back(connection: Connection, owed: Sequence[tuple[bytes, bytes]]) -> None:
    if owed:
        connection.executemany(_TAKE_BACK, owed)


def _wait(connection: Connection, use: _Use, now: int) -> int:
    """Milliseconds until one more use is allowed."""
    rows = list(connection.execute(_COUNT, (*use.hashes.both, now - use.milliseconds, use.limit.count)))
    return int(rows[-1][0]) + use.milliseconds - now if len(rows) >= use.limit.count else 0


def _senders(connection: Connection, use: _Use, now: int) -> int:
    """How many senders have used this within its time, the one who asks included."""
    since = (*use.hashes.both, now - use.milliseconds)
    rows: Sequence[tuple[Any, ...]] = list(connection.execute(_WHO, since))
    return len({bytes(who) for (who,) in rows} | {use.who})


def _frozen(connection: Connection, pair: Hashes) -> bytes | None:
    """The hash under which a pair is frozen."""
    rows = list(connection.execute("SELECT pair FROM web_freeze WHERE pair IN (?, ?)", pair.both))
    return bytes(rows[0][0]) if rows else None


def _distinct(uses: Sequence[_Use]) -> list[_Use]:
    """One use a hash, the one that is kept longest: two limits of one thing are counted in the same rows."""
    longest: dict[bytes, _Use] = {}
    for use in uses:
        known = longest.get(use.hashes.now)
        if known is None or known.limit.span < use.limit.span:
            longest[use.hashes.now] = use
    return list(longest.values())


class PreviewLimits:
    """Counts previews by sender in this process's memory; at most `tracked` senders, the oldest go first."""

    def __init__(self, clock: Clock, entropy: Entropy, tracked: int = MAX_TRACKED) -> None:
        self._key = entropy.bytes(_KEY)
        self._clock = clock
        self._tracked = tracked
        self.times: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()

    def take(self, sender: bytes) -> timedelta | None:
        """Count one preview; None if it may be made, else how long to wait."""
        key = hmac.digest(self._key, b"preview " + sender, hashlib.sha256)[:16]
        now, span = self._clock.monotonic(), PREVIEWS.span.total_seconds()
        recent = tuple(at for at in self.times.get(key, ()) if at > now - span)
        if len(recent) >= PREVIEWS.count:
            return timedelta(seconds=math.ceil(recent[-PREVIEWS.count] + span - now))
        self.times[key] = (*recent, now)
        self.times.move_to_end(key)
        if len(self.times) > self._tracked:
            self.times.popitem(last=False)
        return None
