"""Time, numbers and shut-down of the submission door (C08, F15, S25, S26, S35)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from relay import metrics
from relay.account.identity import Identity
from relay.peers import peer_address
from relay.submission.connections import Connections
from relay.submission.context import SubmissionContext
from relay.submission.options import CONTENT_SHARES, LINE_END, MAX_CONTENT_IN_MEMORY, MAX_HANDSHAKES_PER_ADDRESS
from relay.submission.patience import Patience
from relay.submission.sasl import Credentials
from relay.submission.throttle import GuessThrottle
from tests.support.hand_clock import HandClock
from tests.support.recording_intake import TRUSTED, RecordingIntake, SmallAccounts
from tests.support.smtp_client import RawClient, connected
from tests.support.smtp_door import OPTIONS, STRANGER, Door, open_door, tls_pair

LETTER = b"Subject: hi\r\n\r\nhello\r\n"


async def begin_data(client: RawClient) -> None:
    """Up to the 354."""
    await client.ehlo()
    for command in ("MAIL FROM:<>", "RCPT TO:<bob@example.org>"):
        assert (await client.ask(command)).code == 250
    assert (await client.ask("DATA")).code == 354


async def test_the_log_names_the_door_and_its_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "leak")
    async with open_door() as door:
        pass
    told = [(line.getMessage(), vars(line)["facts"]) for line in caplog.records if line.name == "leak.submission"]
    assert told == [
        ("listening", {"door": "submission", "address": f"127.0.0.1:{door.port}", "tls": False}),
        ("drained", {"door": "submission", "cut": 0}),
    ]


async def test_a_silent_client_hears_421() -> None:  # C08
    async with open_door(idle_timeout=0.3) as door, connected(door.port) as client:
        answer = await client.answer()
        assert (answer.code, answer.status) == (421, "4.3.2")
        assert await client.ended()


async def test_octets_of_an_unfinished_command_buy_no_time() -> None:  # S25
    async with open_door(idle_timeout=0.4) as door, connected(door.port) as client:

        async def drip() -> None:
            while True:
                await client.send(b"N")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(drip())
        assert (await client.answer()).code == 421
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_content_below_the_minimum_rate_is_cut() -> None:  # S25
    async with open_door(idle_timeout=0.5) as door, connected(door.port) as client:
        await begin_data(client)

        async def drip() -> None:
            while True:
                await client.send(b"x")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(drip())
        assert (await client.answer()).code == 421
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not door.intake.submissions


async def test_content_above_the_minimum_rate_may_take_longer_than_the_time_out() -> None:  # F15
    async with open_door(idle_timeout=0.5) as door, connected(door.port) as client:
        await begin_data(client)
        for _ in range(20):  # 1 kB in 50 ms, for a second: forty times the minimum
            await client.send(b"x" * 998 + b"\r\n")
            await asyncio.sleep(0.05)
        await client.send(b".\r\n")
        assert (await client.answer()).code == 250


async def test_the_relays_own_work_costs_the_client_no_time() -> None:
    async with open_door(idle_timeout=0.3) as door, connected(door.port) as client:
        door.intake.gate.clear()
        await begin_data(client)
        await client.send(LETTER + b".\r\n")
        await asyncio.sleep(0.8)
        door.intake.gate.set()
        assert (await client.answer()).code == 250


async def test_a_client_that_never_reads_is_dropped() -> None:  # S25
    async with open_door(idle_timeout=1.0, trusted_networks=()) as door:
        # A reader that nobody reads from stops reading its socket at twice its limit.
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1024)

        async def flood() -> None:
            while True:
                writer.write(b"NOOP\r\n" * 10_000)
                await writer.drain()

        with pytest.raises(ConnectionError):
            async with asyncio.timeout(60):
                await flood()
        writer.close()


async def test_connections_are_counted() -> None:  # S25
    async with open_door(max_connections=3, max_connections_per_address=2) as door:
        async with connected(door.port) as first, connected(door.port):
            async with connected(door.port, greeting=False) as third:
                assert (await third.answer()).status == "4.7.0"
                assert await third.ended()
            async with connected(door.port, STRANGER), connected(door.port, STRANGER, greeting=False) as fifth:
                assert (await fifth.answer()).status == "4.3.2"
            assert door.server.session_count <= 3
            assert metrics.smtp_clients._value.get() >= 2
            await first.ask("QUIT")
            assert await first.ended()
        while door.server.session_count:
            await asyncio.sleep(0.01)
        async with connected(door.port), connected(door.port):
            pass


async def test_whoever_fills_the_door_alone_keeps_nobody_out() -> None:  # S25
    async with (
        open_door(max_connections=2) as door,
        connected(door.port, STRANGER) as oldest,
        connected(door.port, STRANGER) as other,
        connected(door.port, "127.0.0.10") as newcomer,
    ):
        assert (await oldest.answer()).status == "4.3.2"
        assert await oldest.ended()
        assert (await newcomer.ask("NOOP")).code == 250
        async with connected(door.port, "127.0.0.11", greeting=False) as last:
            assert (await last.answer()).status == "4.3.2"  # everybody has one
        assert (await other.ask("NOOP")).code == 250


class _Session:
    """One that does nothing."""

    def __init__(self, *, waits_for_client: bool = True) -> None:
        self.waits_for_client = waits_for_client
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


def test_what_is_being_committed_stays_and_so_do_trusted_clients() -> None:  # S25, C05
    room = Connections(replace(OPTIONS, max_connections=6))
    trusted = [_Session() for _ in range(3)]
    theirs = [_Session(waits_for_client=False), _Session(), _Session(waits_for_client=False)]
    assert all(room.admit("127.0.0.1", one) is None for one in trusted)
    assert all(room.admit("192.0.2.9", one) is None for one in theirs)
    assert room.admit("192.0.2.9", _Session()) is not None  # theirs are most already
    assert room.admit("192.0.2.7", _Session()) is None
    assert [one.gave_way for one in theirs] == [False, True, False]
    room.leave(theirs[1])  # it has left by then, and counts once
    assert room.admit("192.0.2.8", _Session()) is not None  # the others are being answered
    theirs[0].waits_for_client = True
    assert room.admit("127.0.0.1", _Session()) is None  # the fourth of theirs, where no stranger has so many
    assert theirs[0].gave_way
    assert not any(one.gave_way for one in trusted)


async def test_no_trusted_client_gives_way() -> None:  # S25
    async with open_door(max_connections=2) as door, connected(door.port), connected(door.port) as committing:
        async with connected(door.port, STRANGER, greeting=False) as stranger:
            assert (await stranger.answer()).code == 421
        await begin_data(committing)
        await committing.send(LETTER + b".\r\n")
        assert (await committing.answer()).code == 250


async def drain(door: Door, seconds: float) -> asyncio.Task[None]:
    """Begin to drain."""
    task = asyncio.create_task(door.server.drain(seconds))
    await asyncio.sleep(0)
    return task


async def test_draining_lets_transactions_finish() -> None:  # C08
    async with open_door() as door:
        async with connected(door.port) as idle, connected(door.port) as midway, connected(door.port) as committing:
            await begin_data(midway)
            await begin_data(committing)
            door.intake.gate.clear()
            await committing.send(LETTER + b".\r\n")
            await door.intake.entered.wait()
            task = await drain(door, 20)
            answer = await idle.answer()
            assert (answer.code, answer.status) == (421, "4.3.2")
            assert await idle.ended()
            with pytest.raises(ConnectionError):
                async with connected(door.port):
                    pass
            door.intake.gate.set()
            assert [(await committing.answer()).code, (await committing.answer()).code] == [250, 421]
            await midway.send(LETTER + b".\r\n")
            assert [(await midway.answer()).code, (await midway.answer()).code] == [250, 421]
            assert await midway.ended()
            await task
        assert len(door.intake.submissions) == 2


async def test_draining_ends_in_time() -> None:  # C08
    server_tls, client_tls = tls_pair()
    async with (
        open_door(tls=server_tls) as door,
        connected(door.tls_port, tls=client_tls) as midway,
        connected(door.tls_port, greeting=False),
    ):
        await begin_data(midway)
        task = await drain(door, 0.3)
        assert (await midway.answer()).code == 421
        async with asyncio.timeout(10):
            await task


async def test_handshakes_of_one_address_are_bounded() -> None:  # S35
    server_tls, client_tls = tls_pair()
    async with open_door(tls=server_tls, max_connections_per_address=500) as door:
        pairs = [
            await asyncio.open_connection("127.0.0.1", door.tls_port, local_addr=(STRANGER, 0))
            for _ in range(MAX_HANDSHAKES_PER_ADDRESS + 10)
        ]
        closed = [asyncio.create_task(reader.read(1)) for reader, _ in pairs]
        done, pending = await asyncio.wait(closed, timeout=1.0)
        assert len(done) == 10
        async with connected(door.tls_port, tls=client_tls) as client:
            assert await client.ehlo()
        for _, writer in pairs:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in pairs), return_exceptions=True)
        await asyncio.gather(*pending, *done, return_exceptions=True)


async def test_implicit_tls_needs_a_context() -> None:
    async with open_door() as door:
        with pytest.raises(ValueError, match="TLS context"):
            await door.server.start([(None, True)])  # type: ignore[list-item]


def open_context(**changes: Any) -> SubmissionContext:
    """A context without a server; `changes` are fields of its options."""
    return SubmissionContext(replace(OPTIONS, **changes), RecordingIntake(), SmallAccounts(), HandClock(), TRUSTED)


def test_memory_for_content_is_bounded() -> None:  # S31
    context = open_context()
    assert context.reserve(TRUSTED.id, 100 * 1024 * 1024)
    assert not context.reserve(TRUSTED.id, 100 * 1024 * 1024)
    context.release(TRUSTED.id, 100 * 1024 * 1024)
    assert context.reserve(TRUSTED.id, 100 * 1024 * 1024)


def test_one_login_cannot_take_all_memory_for_content() -> None:  # S31
    context = open_context()
    greedy, other = (Identity(1, "acme", number, f"user{number}", ("*",)) for number in (7, 8))
    share = MAX_CONTENT_IN_MEMORY // CONTENT_SHARES
    assert context.reserve(greedy.id, share)
    assert not context.reserve(greedy.id, 1)
    assert context.reserve(other.id, share)
    context.release(greedy.id, share)
    assert context.reserve(greedy.id, share)


def test_a_share_holds_the_largest_message() -> None:
    context = open_context(max_message_size=100_000_000)
    assert context.reserve(7, 100_000_000 + LINE_END)


def test_time_runs_faster_as_memory_runs_short() -> None:  # S25
    context = open_context()
    pressures = [context.pressure()]
    for _ in range(CONTENT_SHARES):
        assert context.reserve(TRUSTED.id, MAX_CONTENT_IN_MEMORY // CONTENT_SHARES)
        pressures.append(context.pressure())
    assert pressures == [1.0, 1.0, 1.0, 2.0, 20.0]
    silent, busy = Patience(300, 0), Patience(300, 0)
    silent.earn(0, 20, 20.0)
    busy.earn(20 * 20_000, 20, 20.0)
    assert silent.left(20) < 0 < busy.left(20)


async def test_content_that_stalls_is_cut_sooner_when_memory_is_short() -> None:  # S25
    async with open_door(idle_timeout=100.0, max_message_size=1_000_000) as door, connected(door.port) as client:
        assert door.server._context.reserve(TRUSTED.id, MAX_CONTENT_IN_MEMORY - 1_000_000)
        await begin_data(client)
        await client.send(b"x" * 300_000)
        async with asyncio.timeout(50):
            assert (await client.answer()).code == 421


def test_addresses_have_one_form() -> None:
    assert peer_address(("::ffff:127.0.0.1", 1, 0, 0)) == "127.0.0.1"
    assert peer_address(("fe80::1%eth0", 1, 0, 2)) == "fe80::1"
    assert peer_address("") == ""
    connections = Connections(OPTIONS)
    assert connections.is_trusted("127.0.0.1")
    assert not connections.is_trusted("127.0.0.2")
    assert not connections.is_trusted("")


def test_patience() -> None:  # S25
    patience = Patience(60, 1000)
    patience.earn(0, 1050)
    assert patience.left(1050) == 10
    patience.earn(5000, 1050)
    assert patience.left(1055) == 15
    patience.earn(10**9, 1055)
    assert patience.left(1055) == 60
    assert patience.left(1116) < 0


def test_the_throttle_forgets_and_stays_small() -> None:  # S15
    clock = HandClock()
    throttle = GuessThrottle(clock, limit=2, window=60, capacity=4)
    assert throttle.take("192.0.2.1", "ann")
    assert throttle.take("192.0.2.2", "ann")
    assert throttle.take("192.0.2.3", "ann") is None
    taken = throttle.take("192.0.2.1", "eve")
    assert taken
    assert throttle.take("192.0.2.1", "bob") is None
    throttle.unchecked(taken)
    assert throttle.take("192.0.2.1", "bob")
    clock.move(61)
    assert throttle.take("192.0.2.3", "ann")
    for n in range(100):
        throttle.take(f"2001:db8:{n}::1", "x")
    assert len(throttle._counts) <= 4


def test_one_ipv6_network_is_one_guesser() -> None:  # S15
    throttle = GuessThrottle(HandClock(), limit=1)
    assert throttle.take("2001:db8::1", "a")
    assert throttle.take("2001:db8::2", "b") is None
    assert throttle.take("2001:db8:0:1::1", "c")


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("ann", "secret"))
