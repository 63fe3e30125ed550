"""`leak moderate` without any configuration: a ruling a line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LETTERS = "Thank you for everything.\nYou are a pathetic loser.\n\n"


def test_a_line_in_is_a_line_out(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from relay.cli import main; sys.exit(main())", "moderate"]
    plain = subprocess.run(command, input=LETTERS, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert plain.stdout.splitlines() == ["pass", "refuse bullying", "pass"]
    told = subprocess.run([*command, "--json"], input=LETTERS, capture_output=True, text=True, cwd=tmp_path, check=True)
    rulings = [json.loads(line) for line in told.stdout.splitlines()]
    assert [one["ruling"] for one in rulings] == ["pass", "refuse", "pass"]
    assert rulings[1]["rules"] == ["bullying"]
    assert rulings[1]["spans"][0].keys() == {"start", "end", "rule"}
