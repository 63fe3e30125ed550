"""How a worker ended: by a fault of its own, or killed by somebody (R01, R33)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from relay.assignment import Assignment
from relay.policy.quarantine import Death
from relay.worker_death import judge_death, memory_kills, status_text


@pytest.mark.parametrize(
    ("status", "hung", "memory_kill", "death"),
    [
        (-signal.SIGKILL, False, False, Death.KILLED),
        (-signal.SIGTERM, False, False, Death.KILLED),
        (-signal.SIGKILL, True, False, Death.BROKE),
        (-signal.SIGKILL, False, True, Death.BROKE),
        (-signal.SIGSEGV, False, False, Death.BROKE),
        (-signal.SIGABRT, False, False, Death.BROKE),
        (1, False, False, Death.BROKE),
    ],
)
def test_only_what_nobody_else_did_speaks_against_the_mail(
    status: int, hung: bool, memory_kill: bool, death: Death
) -> None:
    assert judge_death(status, hung=hung, memory_kill=memory_kill) is death


def test_a_signal_is_told_by_its_name() -> None:
    assert [status_text(one) for one in (-9, -11, 1, 0, -64, -35)] == [
        "SIGKILL", "SIGSEGV", "1", "0", "SIGRTMAX", "signal 35",
    ]  # fmt: skip


def test_the_kernel_s_count_of_kills_for_want_of_memory(tmp_path: Path) -> None:
    counts = tmp_path / "vmstat"
    counts.write_text("pgfault 7\noom_kill 3\ndrop_pagecache 1\n", encoding="ascii")
    assert memory_kills(counts) == 3
    counts.write_text("pgfault 7\n", encoding="ascii")
    assert memory_kills(counts) == 0
    assert memory_kills(tmp_path / "elsewhere") == 0


def test_a_worker_learns_how_the_one_before_it_ended_unless_its_supervisor_is_older() -> None:
    told = Assignment(1, 2, (("smtp", "127.0.0.1:2525", 7),), 3, Death.BROKE)
    assert Assignment.load(told.dump()) == told
    older = '{"worker": 1, "workers": 2, "sockets": [], "restarts": 3}'
    assert Assignment.load(older).fell is Death.KILLED
