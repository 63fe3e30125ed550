"""The line of a site, and the window."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from relay.clock import SystemClock
from relay.engine.gate import Gate
from relay.engine.line import MANY, SiteLine, Standing
from relay.engine.site import SiteLines
from relay.engine.window import Window
from relay.ids import SpoolId
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.route import Plan
from relay.policy.shaping import Limits, Shaping, Share
from relay.policy.state import State
from relay.policy.way import EgressPath, Source, Way
from relay.smtp.reply import reply
from relay.spool.work import Door, Duty, Parcel, Settlement

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PATH = EgressPath("mx.example", "one")
FIRST = EgressPath("mx0.example", "one")
REST = timedelta(minutes=5)
UNREACHED = Outcome(
    Result.TEMPORARY, Scope.HOST, Phase.CONNECT, DecidedBy.NETWORK, reply(451, "4.4.1", "no connection")
)


def parcel(seq: int, domain: str = "b.example", content: bytes | None = None, n: int = 0) -> Parcel:
    recipient = Recipient(parse_address(f"a@{domain}"))
    duty = Duty(seq, n, SpoolId(f"m{seq}"), 1, recipient, 0, NOW)
    sender = parse_address("ann@sender.example")
    return Parcel(
        seq=seq,
        id=SpoolId(f"m{seq}"),
        tenant=1,
        door=Door.SMTP,
        reverse_path=sender,
        envelope=Envelope(sender, (recipient,)),
        duties=(duty,),
        size=10,
        prelude=b"",
        received=b"",
        sign_as=None,
        accepted_at=NOW,
        expires_at=NOW + timedelta(days=1),
        stream="",
        content=content,
    )


def standing(seq: int, domain: str = "b.example") -> Standing:
    return Standing(parcel(seq, domain), Way(Plan("mx.example", ()), Source("one", "", "us.example"), (), ()))


def test_one_parcel_wants_one_session_however_often_one_asks() -> None:
    line = SiteLine(PATH, Limits(20), Gate(SystemClock()))
    opened = 0
    for seq in range(3):
        line.join(standing(seq))
        while line.wants_session():
            line.session_begins()
            opened += 1
    assert opened == 3
    assert [taken.parcel.seq for _ in range(3) if (taken := line.first())] == [0, 1, 2]
    assert not line.wants_session()


def test_a_line_knows_its_domains_while_somebody_waits() -> None:
    line = SiteLine(PATH, Limits(20), Gate(SystemClock()))
    line.join(standing(1, "one.example"))
    line.join(standing(2, "two.example"))
    line.join(standing(3, "one.example"))
    line.pop()
    assert line.domains == {"one.example", "two.example"}
    assert len(list(line.drain())) == 2
    assert line.domains == frozenset()
    assert line.empty


async def test_every_idle_session_gets_a_parcel_of_those_that_come() -> None:
    line = SiteLine(PATH, Limits(20), Gate(SystemClock()))
    idle = [asyncio.create_task(line.next(5)) for _ in range(3)]
    await asyncio.sleep(0)
    for seq in range(3):
        line.join(standing(seq))
        assert not line.wants_session()
    taken = await asyncio.gather(*idle)
    assert {one.parcel.seq for one in taken if one is not None} == {0, 1, 2}


async def test_idle_sessions_leave_after_their_patience_or_at_once_when_the_line_closes() -> None:
    line = SiteLine(PATH, Limits(20), Gate(SystemClock()))
    assert await line.next(0.01) is None
    waiting = asyncio.create_task(line.next(60))
    await asyncio.sleep(0)
    line.close()
    assert await asyncio.wait_for(waiting, 5) is None
    line.join(standing(1))
    assert line.wants_session()


async def test_a_suspect_gets_a_place_within_the_limit_for_which_another_session_leaves() -> None:
    line = SiteLine(PATH, Limits(1), Gate(SystemClock()))
    line.join(standing(1))
    line.join(standing(2))
    assert line.wants_session()
    line.session_begins()
    assert line.first() is not None
    suspect = asyncio.create_task(line.place())
    await asyncio.sleep(0)
    assert line.crowded
    assert not suspect.done()
    line.session_ends()
    assert not line.wants_session()  # the place is the suspect's, whoever waits
    assert await asyncio.wait_for(suspect, 5)
    assert (line.sessions, line.crowded) == (1, False)
    line.session_ends()
    assert line.wants_session()


async def test_idle_sessions_leave_when_their_part_of_the_path_shrinks() -> None:
    line = SiteLine(PATH, Limits(2), Gate(SystemClock()))
    for seq in range(2):
        line.join(standing(seq))
        line.session_begins()
        line.first()
    idle = [asyncio.create_task(line.next(60)) for _ in range(2)]
    await asyncio.sleep(0)
    line.use(Shaping(Limits(2)), Share(0, 2), NOW)
    assert await asyncio.wait_for(asyncio.gather(*idle), 5) == [None, None]
    waits = asyncio.create_task(line.place())
    await asyncio.sleep(0)
    line.close()
    assert not await asyncio.wait_for(waits, 5)


def test_a_site_rests_with_the_failure_that_sent_it_there() -> None:
    lines = SiteLines(Limits(20), REST, SystemClock())
    line = lines.line(PATH, NOW)
    before = line.pace.window
    lines.put_to_rest(line, UNREACHED, NOW)
    rest = line.resting(NOW)
    assert rest is not None
    assert (rest.until, rest.failure) == (NOW + REST, UNREACHED)
    assert line.resting(NOW + REST) is None
    assert line.pace.window < before
    lines.drop_if_empty(line)
    assert lines.get(PATH) is line


def test_lines_of_dead_sites_do_not_pile_up() -> None:
    lines = SiteLines(Limits(20), REST, SystemClock())
    now = NOW
    for n in range(1000):
        lines.put_to_rest(lines.line(EgressPath(f"mx{n}.example", "one"), now), UNREACHED, now)
        # one that is dead for good goes to rest again and again, and is no obstacle to forgetting the others
        lines.put_to_rest(lines.line(FIRST, now), UNREACHED, now)
        now += timedelta(seconds=10)
    assert len(lines) < 70
    assert lines.get(FIRST) is not None


def test_the_rests_of_an_only_site_do_not_pile_up() -> None:
    """A smarthost has no other site beside it whose line is made anew."""
    lines = SiteLines(Limits(20), REST, SystemClock())
    now = NOW
    line = lines.line(PATH, now)
    for _ in range(500):
        lines.put_to_rest(line, UNREACHED, now)
        lines.let_wait(line, "b.example", UNREACHED, now)
        now += 3 * REST
    assert len(lines._rests) < 5
    assert lines.get(PATH) is line


def test_contents_shared_by_parcels_count_once_until_the_last_lets_go() -> None:
    window = Window(10, 1000)
    shared = bytes(600)
    one, two = parcel(1, "one.example", shared, 0), parcel(1, "two.example", shared, 1)
    window.take(one)
    window.take(two)
    assert window.room == 8
    assert window.fits(1, 400)
    assert not window.fits(1, 401)
    window.drop_content(one)
    window.drop_content(one)
    assert not window.fits(1, 401)
    window.drop_content(two)
    assert window.fits(1, 1000)
    window.settled([Settlement(1, n, State.DELIVERED) for n in range(2)])
    assert not window.holds(1, 0)
    assert window.room == 10
    assert not window.fits(11, 0)


def test_a_window_full_of_octets_has_no_room() -> None:
    window = Window(10, 1000)
    large = parcel(1, content=bytes(1000))
    window.take(large)
    assert window.room == 0
    window.take(replace(parcel(2), content=None))
    window.drop_content(large)
    assert window.room == 8


async def test_large_contents_read_back_wait_for_room_and_one_always_goes() -> None:
    # R08
    window = Window(100, 1_000_000)
    under_way: list[int] = []
    most: list[int] = []

    async def send(octets: int) -> None:
        async with window.reading(octets):
            under_way.append(octets)
            most.append(sum(under_way))
            try:
                await asyncio.sleep(0.01)
            finally:
                under_way.remove(octets)

    cut = asyncio.create_task(send(900_000))
    later = [asyncio.create_task(send(400_000)) for _ in range(6)]
    await asyncio.sleep(0)
    later[0].cancel()
    cut.cancel()
    await asyncio.gather(*later, cut, return_exceptions=True)
    assert max(most) <= 1_000_000
    await asyncio.gather(*(send(5_000_000) for _ in range(3)))
    assert max(most) == 5_000_000
    assert window.room == 100


async def test_small_contents_do_not_wait_and_count() -> None:
    window = Window(100, 300_000)
    async with window.reading(200_000), window.reading(200_000):
        assert window.room == 0
    assert window.room == 100


def test_what_a_busy_path_took_is_not_forgotten_when_its_line_is_empty_for_a_moment() -> None:
    lines = SiteLines(Limits(), REST, SystemClock())
    line = lines.line(PATH, NOW)
    lines.drop_if_empty(line)
    assert lines.get(PATH) is None
    line = lines.line(PATH, NOW)
    for _ in range(MANY):
        line.gate.accepted(0.0)
    lines.drop_if_empty(line)
    assert lines.get(PATH) is line
