"""A running lab on free ports for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.ids import SeededEntropy
from relay.lab.lab import Lab, LabPlan

FREE = LabPlan(dns_port=0, http_port=0, smtp_port=0)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    running = Lab(tmp_path / "lab", SystemClock(), SeededEntropy(1), FREE)
    await running.start()
    yield running
    await running.stop()
