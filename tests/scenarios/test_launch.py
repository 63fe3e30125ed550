"""`leak lab scenario launch-2014`, small: the node is a process of its own, and every letter is accounted for."""

from __future__ import annotations

import json
import subprocess
import sys

from relay.lab.launch.plan import DAYS

COMMAND = (sys.executable, "-P", "-c", "import sys; from relay.cli import main; sys.exit(main())")


def test_a_small_launch_is_accounted_for() -> None:
    words = ("lab", "scenario", "launch-2014", "--letters", "60", "--seed", "5", "--json")
    done = subprocess.run((*COMMAND, *words), capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert found["written"] == sum(found["places"].values()) == 60
    assert found["places"]["delivered"] == found["arrived"] - found["doubled"] > 30
    assert sum(day["written"] for day in found["days"][:DAYS]) == 60


def test_an_unknown_scenario_is_wrong_usage() -> None:
    done = subprocess.run((*COMMAND, "lab", "scenario", "launch-2015"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "leak lab list" in done.stderr
