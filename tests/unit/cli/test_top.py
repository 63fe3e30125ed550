"""`leak top`: the screen in every size, figures a second, and a live node that goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.cli.top_source import LocalSource, RemoteSource
from relay.cli.top_view import COUNTED, Lane, Sample, View, rates_between, read_sample, screen
from tests.support.command import PROGRAM, REPOSITORY, leak_program
from tests.support.whole_relay import whole_relay

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ZEROS = dict.fromkeys(COUNTED, 0.0)


def full(lanes: int = 60, others: int = 12) -> View:
    hour = timedelta(hours=1)
    return View(
        "mail.leak.example",
        NOW,
        "ready",
        [
            Lane(
                f"a-rather-long-name-{n:03}.of-a-domain.example",
                n * 997,
                n,
                n % 3,
                NOW - n * hour,
                NOW + hour,
                "default",
            )
            for n in range(lanes)
        ],
        [f"ptr 192.0.2.{n} since 11-22 10:00: has no PTR record {'x' * 200}" for n in range(others)],
        [f"mx{n}.example suspended until 11-22 14:00: by hand" for n in range(others)],
        [f"mx{n}.example from ip1: 40 a minute" for n in range(others)],
        Sample(1.0, ZEROS, 14, 1200, {}),
        dict.fromkeys(COUNTED, 12.34),
        "the spool cannot be read: \x1b[2Jno",
    )


@pytest.mark.parametrize("size", [(80, 24), (79, 24), (120, 40), (200, 60), (40, 12), (80, 8)])
def test_fits_and_shows_every_part(size: tuple[int, int]) -> None:
    width, height = size
    lines = screen(full(), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    if height >= 24:
        text = "\n".join(lines)
        for word in ("alarms 12", "resting 12", "pace 12", "DOMAIN", "more"):
            assert word in text
        assert "a-rather-long-name-059" in text  # the fullest first
        assert len(lines) >= height - 1  # no room is left unused


def test_few_and_many() -> None:
    """With nothing to tell the rest is said all the same; without a height, everything is shown."""
    empty = View("n", NOW, "the node does not answer (ClientConnectorError)")
    text = "\n".join(screen(empty, 80, 24))
    assert "alarms none" in text
    assert "nothing waits" in text
    assert "a second  -" in text
    assert len(screen(full(), 80)) > 60 + 3 * 12


def test_figures_a_second() -> None:
    """Counters that went back are those of a node that began anew."""
    before = Sample(10.0, {**ZEROS, "delivered": 100.0}, 0, 0, {})
    after = Sample(12.0, {**ZEROS, "delivered": 150.0}, 0, 0, {})
    anew = Sample(14.0, {**ZEROS, "delivered": 10.0}, 0, 0, {})
    assert rates_between(None, after) == {}
    assert rates_between(before, after)["delivered"] == 25.0
    assert rates_between(after, anew)["delivered"] == 5.0
    lines = (
        'leak_settled_total{state="waiting"} 3',
        'leak_settled_total{state="delivered"} 4',
        'leak_alarms{kind="ptr"} 1',
    )
    sample = read_sample("\n".join(lines) + "\n", 1.0)
    assert (sample.counts["deferred"], sample.counts["delivered"], sample.alarms) == (3, 4, {"ptr": 1})


async def test_a_live_node_that_goes_away(tmp_path: Path) -> None:
    """Beside the node and over HTTP; after its end the spool is still shown, and the node as away."""
    async with whole_relay(tmp_path) as relay:
        await relay.send("ann@leak.lab.test", ["defer+421x50@inbox.lab.test"], b"From: ann@leak.lab.test\r\n\r\nx\r\n")
        settings = relay.settings.model_copy(
            update={"api": relay.settings.api.model_copy(update={"listen": _listen(relay.http_port)})}
        )
        local, remote = LocalSource(settings), RemoteSource(relay.http, "lab")
        view = await local.look()
        assert view.state == "ready"
        assert view.sample is not None
        assert view.sample.counts["accepted"] >= 1
        assert [lane.domain for lane in view.lanes] == ["inbox.lab.test"]
        assert (await local.look()).rates
        there = await remote.look()
        assert [lane.domain for lane in there.lanes] == ["inbox.lab.test"]
        assert not there.trouble
        stranger = RemoteSource(relay.http, "wrong")
        assert "--key-file" in (await stranger.look()).trouble
        await stranger.close()
    gone = await local.look()
    assert "does not answer" in gone.state
    assert [lane.domain for lane in gone.lanes] == ["inbox.lab.test"]
    assert "cannot be read" in (await remote.look()).trouble
    await local.close()
    await remote.close()


async def test_usage() -> None:
    ran = await leak_program("top", "--url", "http://mail.example", "--once")
    assert ran.status == 2
    assert "https" in ran.err


async def test_on_a_terminal(tmp_path: Path) -> None:
    """The live screen on a real terminal of 80 × 24 without spool and node; q ends it and the terminal is as before."""
    config = tmp_path / "relay.toml"
    lines = ("[node]", 'name = "m.example"', "[spool]", 'url = "sqlite:spool.db"', "[web]", 'listen = "127.0.0.1:1"')
    config.write_text("\n".join(lines))
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "--config", str(config), "top", "--every", "0.2"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=REPOSITORY,
        env={**os.environ, "TERM": "vt100", "LINES": "24", "COLUMNS": "80", "LC_ALL": "C.UTF-8"},
    )
    os.close(theirs)
    seen = b""
    try:
        async with asyncio.timeout(60):
            while b"nothing waits" not in seen:
                seen += await asyncio.to_thread(os.read, ours, 4096)
            os.write(ours, b"q")
            assert await process.wait() == 0, seen
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
    assert b"there is none at" in seen
    assert b"does not answer" in seen


def _listen(port: int) -> object:
    from relay.settings import parse_listen

    return parse_listen(f"127.0.0.1:{port}")
