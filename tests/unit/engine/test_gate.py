"""The gate of a path, on a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from relay.engine.gate import LEAD, LONG, Gate, NoPermitError, Permit
from relay.policy.rate import Stage
from tests.simulation.clock import VirtualClock
from tests.simulation.loop import VirtualLoop


def slowed(clock: VirtualClock) -> Gate:
    """A gate whose path takes about one message a second."""
    gate = Gate(clock)
    rate = gate.rate
    for at in range(-60, 0):
        rate.accepted(at, at)
    rate.refused(0.0, 0.0)
    rate.begins(1.0)
    rate.accepted(1.0, 1.0)
    assert rate.stage is Stage.CLIMBING
    return gate


async def _in_turn(loop: VirtualLoop) -> None:
    gate = slowed(VirtualClock(loop))
    moments: list[float] = []

    async def one() -> None:
        permit = Permit(gate)
        await permit.take()
        moments.append(loop.time())
        await permit.take()  # another host of the same attempt: no second permit
        permit.answered(refused=False, reached=True)

    await asyncio.gather(*(one() for _ in range(5)))
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert min(gaps) >= 0.6
    assert max(gaps) <= 1.1


async def _one_after_the_other(loop: VirtualLoop) -> None:
    """Nobody opens eight sessions at once for a path that takes one message a second: seven would be closed idle."""
    gate = slowed(VirtualClock(loop))
    await asyncio.sleep(gate.wait())
    assert gate.wait() == 0
    assert gate.wait(ahead=2) > LEAD  # two are being opened
    on_the_way = [Permit(gate), Permit(gate)]
    assert gate.wait() > LEAD
    for permit in on_the_way:
        permit.answered(refused=False, reached=False)  # their sessions could not be opened
    assert gate.wait() == 0
    await (permit := Permit(gate)).take()
    permit.answered(refused=False, reached=True)
    assert gate.expected == 0


async def _never_long(loop: VirtualLoop) -> None:
    gate = Gate(VirtualClock(loop))
    gate.refused(await gate.permit())
    assert gate.stock(500) <= 1
    while gate.rate.reopening.pause <= LONG:
        await asyncio.sleep(gate.wait())
        gate.refused(await gate.permit())
    assert gate.stock(500) == 0
    with pytest.raises(NoPermitError):
        await gate.permit()
    await asyncio.sleep(gate.wait())
    await gate.permit()  # this one asks
    second = asyncio.create_task(gate.permit())
    await asyncio.sleep(1)
    assert not second.done()
    gate.close()
    with pytest.raises(NoPermitError):
        await second


@pytest.mark.parametrize("story", [_one_after_the_other, _in_turn, _never_long])
def test_the_gate(story: object) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(loop))  # type: ignore[operator]
    finally:
        loop.close()
