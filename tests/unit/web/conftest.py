"""The front as most of its tests want it: running in this process, somebody who visits, somebody who moderates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.front import Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator, a_moderator
from tests.support.visitor import Visitor


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def front(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    async with running_front(tmp_path, clock) as running:
        yield running


@pytest.fixture
async def visitor(front: Front) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession() as session:
        yield Visitor(front, session)


@pytest.fixture
async def ann(front: Front) -> AsyncIterator[Moderator]:
    async with a_moderator(front) as somebody:
        yield somebody
