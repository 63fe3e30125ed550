"""`leak queue warm-up`, and what `leak queue` says of ceilings that hold mail back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.policy.warm_up import WarmUpRules
from relay.settings import load_settings
from relay.shaping.contract import Question, WarmUpKey
from tests.support.command import leak

KEY = WarmUpKey("leak.example", "ip1", 4, "google")


async def ask(config: Path, letters: int) -> None:
    stores = await open_stores(load_settings(config, {}), SystemClock(), SystemEntropy())
    try:
        await stores.warm_ups.ask([Question(KEY, 1, False, WarmUpRules((2, 4)), 1) for _ in range(letters)])
    finally:
        await stores.close()


def test_where_each_warm_up_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "relay.toml"
    config.write_text('[spool]\nurl = "sqlite:spool.db"\nminimum_free = 0\n', encoding="utf-8")
    asyncio.run(ask(config, 0))
    assert "no source warms up" in leak(capsys, "queue", "warm-up", "--config", config).out
    asyncio.run(ask(config, 3))
    shown = leak(capsys, "queue", "warm-up", "--config", config).out.splitlines()
    assert shown[0].split()[:7] == ["DOMAIN", "SOURCE", "IP", "PROVIDER", "STEP", "CEILING", "USED"]
    assert shown[-1].split()[:7] == ["leak.example", "ip1", "v4", "google", "1", "2", "1"]
    (plain,) = json.loads(leak(capsys, "queue", "warm-up", "--json", "--config", config).out)
    assert (plain["provider"], plain["ceiling"], plain["used"], plain["mark"]) == ("google", 2, 1, None)
    summary = leak(capsys, "queue", "--config", config).out
    assert "leak.example from ip1 at google may send 2 letters a day (step 1), 1 are used today; mail waits" in summary
