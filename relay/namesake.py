"""Two nodes of one name: the newest wins, and the older stops for good, with an alarm that says where the other runs.

A node that is started again voids what its predecessor held, by name, without waiting. So a name belongs to one node; a
second one that is given it by mistake takes the place of the first, which learns of it within moments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from relay.engine.alarms import Alarms
from relay.log import Log
from relay.policy.alarms import AlarmKind
from relay.spool.life import Life

_log = Log("node")

ALARM: Final = AlarmKind.NODE_NAME_TAKEN
TELL_SECONDS: Final = 5.0
"""How long the one that stops may try to leave its alarm."""


def is_contested(living: Sequence[Life], name: str, place: str) -> bool:
    """Whether another place has a life under our name: a node that runs, or one that did not end in good order."""
    return any(life.node == name and life.place != place for life in living)


async def tell_replaced(alarms: Alarms, name: str, place: str, by: str) -> None:
    """The last words of the older one."""
    where = by or "another machine"
    remedy = "give each node a node.name of its own, then start this one again"
    _log.error("name-taken", name=name, ours=place, theirs=where, remedy=remedy)
    try:
        async with asyncio.timeout(TELL_SECONDS):
            await alarms.start(ALARM, name, f"{place} was replaced by {where} and has stopped: {remedy}")
    except TimeoutError:
        _log.warning("alarm-not-stored", kind=ALARM, subject=name, error="no answer in time")
