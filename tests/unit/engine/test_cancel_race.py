"""Cancels and holds at random moments: a letter is delivered or cancelled, never both, never neither (R16, R17)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

from relay.event import EventKind
from relay.ids import SpoolId
from relay.mail.address import Address
from relay.policy.state import State
from relay.smtp.reply import Reply, remote_reply
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
from tests.support.engine_bench import EngineBench, engine_bench

LETTERS = 60
FINAL = {EventKind.DELIVERED, EventKind.BOUNCED, EventKind.EXPIRED, EventKind.CANCELLED}


async def meddle(bench: EngineBench, message: SpoolId, chance: random.Random) -> None:
    """Ask something of a letter at a random moment, and perhaps take it back."""
    await asyncio.sleep(chance.uniform(0, 0.6))
    verb = chance.choice((Verb.CANCEL, Verb.CANCEL, Verb.HOLD))
    asked = await bench.spool.ask(verb, QueueFilter(message=message), "a change of mind", timedelta())
    if verb is Verb.HOLD:
        await asyncio.sleep(chance.uniform(0, 0.2))
        await bench.spool.ask(Verb.RELEASE, QueueFilter(message=message), "and back", timedelta())
    elif asked.id is not None and chance.random() < 0.3:
        await bench.spool.undo(asked.id)


async def test_each_letter_has_one_end_and_the_far_side_agrees(tmp_path: Path) -> None:
    # R16, R17
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)

    def moody(_: Address) -> Reply:
        return remote_reply(250, ("ok",)) if chance.random() < 0.5 else remote_reply(451, ("4.7.1 later",))

    async with engine_bench(tmp_path) as bench:
        for n in range(6):
            bench.far.host(f"mx.d{n}.example").reply_to = moody
        sent = [await bench.send(f"u{n}@d{n % 6}.example") for n in range(LETTERS)]
        await asyncio.gather(*(meddle(bench, message, chance) for message in sent))
        # A hold that met a letter under way may be obeyed after its release: whoever holds lets go.
        async with asyncio.timeout(60):
            while open_ones := await bench.spool.deliveries(QueueFilter(limit=LETTERS)):
                if all(one.state is State.HELD for one in open_ones):
                    await bench.spool.ask(Verb.RELEASE, QueueFilter(), "all go", timedelta())
                await asyncio.sleep(0.1)
        ends = Counter[State]()
        for message in sent:
            view = await bench.view(message)
            (delivery,) = view.deliveries
            ends[delivery.state] += 1
            kinds = [event.kind for event in view.events]
            assert sum(kind in FINAL for kind in kinds) == 1, (seed, kinds)
            assert kinds[-1] in FINAL, (seed, kinds)
            taken = bench.far.counted()[delivery.recipient or ""]
            assert taken == (delivery.state is State.DELIVERED), (seed, delivery.state, taken)
    assert set(ends) <= {State.DELIVERED, State.CANCELLED}, seed
    assert ends[State.DELIVERED], seed
