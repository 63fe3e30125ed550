"""Poison in the spool: what breaks its worker again and again is held, what was only in hand never is (R33)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.database.contract import Connection
from relay.event import EventKind
from relay.policy.outcome import Result
from relay.policy.quarantine import KILLS, TRIES, Care, Death
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from relay.spool.life import Terms
from relay.spool.orders import Verb
from relay.spool.work import Parcel, Settlement
from tests.contract.test_spool import Bench, attempt, bench

__all__ = ["bench"]


async def die(bench: Bench, death: Death = Death.BROKE) -> None:
    """The worker is gone without a word, and its supervisor starts it again."""
    bench.me = await bench.spool.register("node", 0, Terms(fell=death))


async def handle(bench: Bench, parcel: Parcel) -> None:
    """What the engine does before it touches a suspect."""
    if parcel.care is not Care.USUAL:
        await bench.spool.note_begun(parcel.seq, [duty.n for duty in parcel.duties])


async def alarms(bench: Bench) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.subject) for alarm in await bench.spool.alarms()]


async def test_what_its_worker_dies_of_three_times_is_held_and_nothing_else(bench: Bench) -> None:
    # R33
    poison = await bench.accept("a@b.example", lease_to=bench.me)
    others = [await bench.accept(f"u{n}@c{n}.example", lease_to=bench.me) for n in range(3)]
    await die(bench)
    seen = []
    while await bench.states(poison.id) != [State.HELD]:
        parcels = {parcel.id: parcel for parcel in await bench.claim()}
        seen.append(parcels[poison.id].care)
        await handle(bench, parcels[poison.id])  # the others wait in line when the worker dies
        await die(bench)
    assert seen == [Care.NOTED, Care.ALONE]
    assert [(await bench.states(other.id))[0] for other in others] == [State.WAITING] * 3
    assert await alarms(bench) == [("quarantine", poison.id)]
    view = await bench.spool.message(poison.id)
    assert view is not None
    assert view.events[-1].kind is EventKind.HELD
    assert f"{TRIES} times" in view.events[-1].detail["reason"]
    assert poison.id not in {parcel.id for parcel in await bench.claim()}


async def test_what_is_handled_whenever_somebody_kills_its_worker_rests_and_is_tried_again(bench: Bench) -> None:
    # R01, R33: kills in a row are no proof against the letter that they met
    receipt = await bench.accept("a@b.example")
    rests = []
    for _ in range(KILLS - 1):
        (parcel,) = await bench.claim()
        await handle(bench, parcel)
        before = bench.clock.now()
        await die(bench, Death.KILLED)
        due = await bench.spool.next_due()
        assert due is not None
        rests.append(max(due - before, timedelta()))
        bench.clock.forward(seconds=rests[-1].total_seconds())
    assert rests[:4] == [timedelta(), timedelta(), timedelta(seconds=10), timedelta(seconds=20)]
    assert rests == sorted(rests)
    assert max(rests) == timedelta(minutes=10)
    assert await bench.states(receipt.id) == [State.WAITING]
    assert await alarms(bench) == []
    (parcel,) = await bench.claim()
    await handle(bench, parcel)
    await die(bench, Death.KILLED)  # whatever kills every node is not tried for ever
    assert await bench.states(receipt.id) == [State.HELD]


async def test_one_fault_after_many_kills_is_proof_enough_and_only_against_what_was_handled(bench: Bench) -> None:
    await bench.accept("a@b.example", lease_to=bench.me)
    for _ in range(TRIES):
        await die(bench, Death.KILLED)
        bench.clock.forward(minutes=1)
        (parcel,) = await bench.claim()
        await handle(bench, parcel)
    await die(bench, Death.KILLED)
    bench.clock.forward(minutes=1)
    (parcel,) = await bench.claim()
    await die(bench)
    assert await bench.states(parcel.id) == [State.WAITING]  # it was in line
    (parcel,) = await bench.claim()
    await handle(bench, parcel)
    await die(bench)
    assert await bench.states(parcel.id) == [State.HELD]


async def test_mail_in_hand_at_many_deaths_is_never_held(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example")
    for _ in range(3 * TRIES):
        await bench.claim()
        await die(bench)
    assert await bench.states(receipt.id) == [State.WAITING]


async def test_a_try_that_ends_without_breaking_clears_the_suspicion(bench: Bench) -> None:
    await bench.accept("a@b.example", lease_to=bench.me)
    await die(bench)
    (parcel,) = await bench.claim()
    await handle(bench, parcel)
    later = Settlement(
        parcel.seq, 0, State.WAITING, bench.clock.now(), EventKind.DEFERRED, attempt=attempt(Result.TEMPORARY, 451)
    )
    await bench.spool.settle(bench.me, [later])
    (parcel,) = await bench.claim()
    assert parcel.care is Care.USUAL


async def test_a_worker_that_stops_in_good_order_counts_for_nothing(bench: Bench) -> None:
    await bench.accept("a@b.example", lease_to=bench.me)
    await bench.spool.retire(bench.me)
    await die(bench)
    (parcel,) = await bench.claim()
    assert parcel.care is Care.USUAL


async def test_a_vanished_machine_counts_as_a_death(bench: Bench) -> None:
    await bench.accept("a@b.example", lease_to=bench.me)
    other = await bench.spool.register("other", 0)
    await bench.silence(other, 61)
    (parcel,) = await bench.spool.claim(other, 10)
    assert parcel.care is Care.NOTED


@pytest.mark.parametrize("verb", [Verb.RELEASE, Verb.RETRY, Verb.CANCEL])
async def test_a_command_answers_the_alarm_and_a_release_gives_three_new_tries(bench: Bench, verb: Verb) -> None:
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    held = Settlement(receipt.seq, 0, State.HELD, event=EventKind.HELD, detail={"reason": "it broke"}, broken=True)
    await bench.spool.settle(bench.me, [held])
    assert await alarms(bench) == [("quarantine", receipt.id)]
    await bench.spool.ask(verb, QueueFilter(message=receipt.id), "looked at", timedelta())
    assert await alarms(bench) == []
    if verb is not Verb.CANCEL:
        (parcel,) = await bench.claim()
        assert parcel.care is Care.USUAL


async def test_broken_tries_are_counted_across_workers(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example")
    for number, expected in ((1, Care.USUAL), (2, Care.NOTED), (3, Care.ALONE)):
        (parcel,) = await bench.claim()
        assert (parcel.seq, parcel.care, parcel.duties[0].broken) == (receipt.seq, expected, number - 1)
        broke = attempt(Result.TEMPORARY, 451, number=number)
        later = Settlement(
            parcel.seq, 0, State.WAITING, bench.clock.now(), EventKind.DEFERRED, attempt=broke, broken=True
        )
        assert await bench.spool.settle(bench.me, [later]) == 1


@pytest.mark.parametrize(
    "damage", ["UPDATE message SET ret = 'HALF' WHERE seq = ?", "DELETE FROM message WHERE seq = ?"]
)
async def test_rows_that_cannot_be_read_are_held_and_all_others_go_on(bench: Bench, damage: str) -> None:
    # R06
    torn = await bench.accept("a@b.example")
    whole = await bench.accept("c@b.example")

    def spoil(connection: Connection) -> None:
        connection.execute(damage, (torn.seq,))

    await bench.database.write(spoil)
    assert [parcel.id for parcel in await bench.claim()] == [whole.id]
    ((kind, subject),) = await alarms(bench)
    assert kind == "quarantine"
    assert subject in (torn.id, f"#{torn.seq}")
