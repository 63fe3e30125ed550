"""Who holds the connections of a door, and who gives one up when it is full.

A few clients that fill it keep nobody out: for a newcomer who has fewer, whoever holds most gives up the oldest
connection that waits for its client. What waits for us stays.
"""

from __future__ import annotations

from typing import Protocol


class Seat(Protocol):
    """A connection, as those who count it see it."""

    @property
    def waits_for_client(self) -> bool:
        """Whether it waits for its client, not for us."""
        ...

    def give_way(self) -> None:
        """End at once: somebody else has its place."""
        ...


_Holder = tuple[str, bool]
"""Who holds seats, and whether these are firm."""


class Seats:
    """Counts connections by holder; `take` and `leave` come in pairs.

    Neither takes longer for there being many, except where a full door has to find one that gives way: it looks
    through the seats of the heaviest holders until one waits for its client, through all where none does.
    """

    def __init__(self, most: int) -> None:
        """For so many in all."""
        self._most = most
        self._holder_of: dict[Seat, _Holder] = {}
        self._held: dict[_Holder, dict[Seat, None]] = {}
        """In the order in which they came."""
        self._holders_of: dict[int, dict[_Holder, None]] = {}
        """Who may have to give way, by how many they hold."""
        self._heaviest = 0
        """The largest number in `_holders_of`; 0 while there is none."""

    def __len__(self) -> int:
        """Those that are taken."""
        return len(self._holder_of)

    def held_by(self, name: str, *, firm: bool = False) -> int:
        """How many are theirs, of those that never give way or of the others."""
        return len(self._held.get((name, firm), ()))

    def take(self, name: str, seat: Seat, *, firm: bool = False) -> bool:
        """Whether there is room for it, or room was made.

        `firm`: it never gives way, and room is made for it as for somebody's first.
        """
        if len(self) >= self._most and not self._make_room(0 if firm else self.held_by(name)):
            return False
        holder = self._holder_of[seat] = name, firm
        seats = self._held.setdefault(holder, {})
        seats[seat] = None
        self._count(holder, len(seats) - 1, len(seats))
        return True

    def leave(self, seat: Seat) -> None:
        """It has ended; one that gave way has left already."""
        holder = self._holder_of.pop(seat, None)
        if holder is None:
            return
        seats = self._held[holder]
        del seats[seat]
        self._count(holder, len(seats) + 1, len(seats))
        if not seats:
            del self._held[holder]

    def _count(self, holder: _Holder, before: int, now: int) -> None:
        """Their seats were `before`, and are one more or fewer."""
        _, firm = holder
        if firm:
            return
        if before:
            del self._holders_of[before][holder]
            if not self._holders_of[before]:
                del self._holders_of[before]
        if now:
            self._holders_of.setdefault(now, {})[holder] = None
        if now > self._heaviest or self._heaviest not in self._holders_of:
            self._heaviest = now

    def _make_room(self, held: int) -> bool:
        """End one of whoever holds most, if they keep as many as the newcomer, who has `held` so far, will have.

        Where all of theirs wait for us, the next heaviest is asked.
        """
        for number in range(self._heaviest, held + 1, -1):
            for holder in self._holders_of.get(number, ()):
                seat = next((one for one in self._held[holder] if one.waits_for_client), None)
                if seat is not None:
                    self.leave(seat)
                    seat.give_way()
                    return True
        return False
