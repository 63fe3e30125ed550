"""The day's admission: kinds of network, their shares, and lists that change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.database.sqlite import SqliteDatabase
from relay.database.statements import rows_of
from relay.errors import ConfigurationError
from tests.support.hand_clock import HandClock
from web.admission import WAITING, DayAdmission
from web.letter_table import DatabaseLetterStore
from web.network import Network, NetworkLists
from web.shares import Room, Shares

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
SHARES = Shares(tor=0.2, data_centre=0.1)


def _play(first: Network, then: Network, most: int, change: timedelta) -> dict[Network, int]:
    """A day on which endless letters of `first` come, and from `change` on endless ones of `then` too."""
    left: dict[Network, int] = {}
    for step in range(24 * 60):
        now = MIDNIGHT + timedelta(minutes=step)
        for network in (first, then) if now - MIDNIGHT >= change else (first,):
            while Room(most, left).opens(network, SHARES, now) is None:
                left[network] = left.get(network, 0) + 1
    return left


@pytest.mark.parametrize("crowd", [Network.TOR, Network.DATA_CENTRE])
@pytest.mark.parametrize("hours", [0, 6, 12, 20])
def test_a_crowd_of_one_kind_leaves_the_others_their_part_of_the_time_that_is_left(crowd: Network, hours: int) -> None:
    left = _play(crowd, Network.DIRECT, 1000, timedelta(hours=hours))
    assert left[Network.DIRECT] >= int(700 * (24 - hours) / 24) - 1
    assert 998 <= sum(left.values()) <= 1000
    assert left[crowd] <= 1000 - left[Network.DIRECT]


def test_what_nobody_else_uses_is_not_wasted() -> None:
    left = _play(Network.TOR, Network.TOR, 1000, timedelta(0))
    assert left[Network.TOR] >= 995
    assert Room(1000, {Network.TOR: 200}).opens(Network.TOR, SHARES, MIDNIGHT) == MIDNIGHT + timedelta(minutes=30)


@given(
    most=st.integers(0, 5000),
    left=st.dictionaries(st.sampled_from(list(Network)), st.integers(0, 5000)),
    network=st.sampled_from(list(Network)),
    minute=st.integers(0, 24 * 60 - 1),
)
def test_no_day_is_fuller_than_its_ceiling_and_every_wait_ends(
    most: int, left: dict[Network, int], network: Network, minute: int
) -> None:
    now = MIDNIGHT + timedelta(minutes=minute)
    room = Room(most, left)
    at = room.opens(network, SHARES, now)
    if at is None:
        assert sum(left.values()) < most
    else:
        assert now < at <= MIDNIGHT + timedelta(days=1)


def test_an_address_is_of_the_list_that_names_it_and_direct_otherwise(tmp_path: Path) -> None:
    tor, hosts = tmp_path / "tor.txt", tmp_path / "hosts.txt"
    tor.write_text("# exits\n198.51.100.7\n2001:db8:1::/48 ; an exit's network\n\n")
    hosts.write_text("203.0.113.0/25\n203.0.113.128/25\n198.51.100.0/24\n")
    lists = NetworkLists({Network.TOR: (tor,), Network.DATA_CENTRE: (hosts,)})
    for text, kind in {
        "198.51.100.7": Network.TOR,
        "198.51.100.8": Network.DATA_CENTRE,
        "203.0.113.255": Network.DATA_CENTRE,
        "203.0.114.0": Network.DIRECT,
        "2001:db8:1:ff::1": Network.TOR,
        "2001:db8:2::1": Network.DIRECT,
        "0.0.0.0": Network.DIRECT,
        "::": Network.DIRECT,
    }.items():
        assert lists.of(ip_address(text)) is kind, text
    assert lists.of(None) is Network.DIRECT


def test_a_changed_list_is_read_again_and_a_damaged_one_changes_nothing(tmp_path: Path) -> None:
    tor = tmp_path / "tor.txt"
    tor.write_text("198.51.100.7\n")
    lists = NetworkLists({Network.TOR: (tor,)})
    assert not lists.reload()
    tor.write_text("198.51.100.8\n198.51.100.9\n")
    assert lists.reload()
    assert lists.of(ip_address("198.51.100.9")) is Network.TOR
    assert lists.of(ip_address("198.51.100.7")) is Network.DIRECT
    tor.write_text("<html>502 Bad Gateway</html>\n")
    with pytest.raises(ConfigurationError, match=r"line 1: '<html>502' is no address"):
        lists.reload()
    assert lists.of(ip_address("198.51.100.9")) is Network.TOR
    tor.unlink()
    with pytest.raises(ConfigurationError):
        NetworkLists({Network.TOR: (tor,)})


def test_ten_thousand_networks_are_found_fast(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("".join(f"10.{n // 128}.{n % 128 * 2}.0/24\n" for n in range(10_000)))
    lists = NetworkLists({Network.DATA_CENTRE: (hosts,)})
    assert lists.of(ip_address("10.20.4.9")) is Network.DATA_CENTRE
    assert lists.of(ip_address("10.20.5.9")) is Network.DIRECT


async def test_what_waits_is_counted_without_reading_a_letter(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "front.db")
    try:
        await DatabaseLetterStore(database).prepare()
        now = HandClock()
        assert await DayAdmission(database, now, 10).waiting(Network.TOR) == 0
        plan = await rows_of(database, f"EXPLAIN QUERY PLAN {WAITING}", ("tor", 0, 1))
        assert any("web_handover_waiting" in row[3] for row in plan), plan
    finally:
        await database.close()
