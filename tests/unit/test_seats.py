"""Who holds the connections of a door, and who gives one up when it is full."""

from __future__ import annotations

from collections import Counter

from hypothesis import event, given, settings
from hypothesis import strategies as st

from relay.peers import client_block
from relay.seats import Seats


class _Client:
    """A connection that does nothing."""

    def __init__(self, name: str, *, waits: bool = True, firm: bool = False) -> None:
        self.name = name
        self.waits_for_client = waits
        self.firm = firm
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


def test_the_next_heaviest_gives_way_where_the_heaviest_waits_for_us() -> None:  # S25
    seats = Seats(5)
    busy = [_Client("a", waits=False) for _ in range(3)]
    idle = [_Client("b") for _ in range(2)]
    assert all(seats.take(one.name, one) for one in (*busy, *idle))
    newcomer = _Client("c")
    assert seats.take("c", newcomer)
    assert [one.gave_way for one in (*busy, *idle)] == [False, False, False, True, False]
    assert not seats.take("d", _Client("d"))  # everybody else whose seat waits for a client has one
    busy[1].waits_for_client = True
    assert seats.take("d", _Client("d"))
    assert busy[1].gave_way
    assert len(seats) == 5


_ACTS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "leave", "turn"]), st.integers(0, 5), st.booleans(), st.booleans()
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(most=st.integers(1, 8), acts=_ACTS)
def test_it_counts_as_a_list_would(most: int, acts: list[tuple[str, int, bool, bool]]) -> None:  # S25
    """Beside a list of clients, in which everything is looked up anew."""
    seats, present = Seats(most), list[_Client]()
    for act, number, waits, firm in acts:
        if act == "take":
            client = _Client(f"client {number}", waits=waits, firm=firm and number == 0)
            giving = Counter(one.name for one in present if not one.firm)
            held = 0 if client.firm else giving[client.name]
            heaviest = [one for one in present if not one.firm and one.waits_for_client]
            most_held = max((giving[one.name] for one in heaviest), default=0)
            has_room = len(present) < most
            assert seats.take(client.name, client, firm=client.firm) is (has_room or most_held > held + 1)
            gone = [one for one in present if one.gave_way]
            assert len(gone) == int(not has_room and most_held > held + 1)
            for one in gone:
                event("gave way")
                assert one is next(other for other in heaviest if other.name == one.name)
                assert giving[one.name] == most_held
                seats.leave(one)  # has left by then, and counts once
            present = [one for one in present if not one.gave_way]
            if has_room or gone:
                present.append(client)
        elif present:
            chosen = present[number % len(present)]
            if act == "turn":
                chosen.waits_for_client = not chosen.waits_for_client
            else:
                seats.leave(chosen)
                present.remove(chosen)
        assert len(seats) == len(present)
        for name, firm_ones in {(one.name, one.firm) for one in present} | {("nobody", False)}:
            expected = sum((one.name, one.firm) == (name, firm_ones) for one in present)
            assert seats.held_by(name, firm=firm_ones) == expected


def test_one_client_owns_a_block() -> None:  # S15, S25
    assert client_block("192.0.2.1") == client_block("::ffff:192.0.2.1") == "192.0.2.1"
    assert client_block("2001:db8::1%eth0") == client_block("2001:db8::ffff:1") == "2001:db8::/64"
    assert client_block("") == "unknown"
