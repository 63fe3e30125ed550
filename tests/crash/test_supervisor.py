"""The supervisor with real processes: what it replaces, what it passes on, and what ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.ports import free_port
from tests.support.relay_process import COMMAND, ROOT, RelayProcess, is_alive, write_toml

WORKERS = 2


def configure(path: Path, **sections: dict[str, Any]) -> int:
    """Write a configuration without the outside world; the HTTP port."""
    port = free_port()
    data: dict[str, dict[str, Any]] = {
        "node": {"name": "mail.leak.lab.test", "workers": WORKERS, "roles": ["submission", "api", "delivery"]},
        "spool": {"url": "sqlite:spool.db", "minimum_free": 0},
        "submission": {"listen": [f"127.0.0.1:{free_port()}"], "trusted_networks": ["127.0.0.1/32"]},
        "api": {"listen": f"127.0.0.1:{port}"},
        "resolver": {"nameservers": ["127.0.0.1:9"]},
        "log": {"level": "info"},
    }
    for name, values in sections.items():
        data[name] = {**data.get(name, {}), **values}
    write_toml(path, data)
    return port


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RelayProcess]:
    config = tmp_path / "relay.toml"
    relay = RelayProcess(config, configure(config), tmp_path / "relay.log")
    try:
        await relay.start()
        await until(lambda: started(relay) == WORKERS)
        yield relay
    finally:
        await relay.clean_up()


async def until(condition: Callable[[], object], seconds: float = 45) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def log_of(relay: RelayProcess) -> str:
    return relay.log.read_text(encoding="utf-8")


def started(relay: RelayProcess) -> int:
    """How many times a worker said that it works."""
    return log_of(relay).count('"action": "started"')


async def ended(config: Path) -> tuple[int, str]:
    """Run a relay that is to refuse: its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "run",
        "--config",
        str(config),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            words, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, words.decode()


async def test_a_worker_that_is_killed_is_replaced(relay: RelayProcess) -> None:
    before = relay.workers
    assert len(before) == WORKERS
    relay.kill_worker(0)
    await until(lambda: len(relay.workers) == WORKERS and relay.workers != before)
    assert len(set(before) & set(relay.workers)) == WORKERS - 1
    await until(lambda: started(relay) == WORKERS + 1)
    await relay.ready()
    assert await relay.terminate() == 0


async def test_settings_that_a_worker_refuses_end_the_supervisor(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    configure(config, submission={"tls": {"certificate": "missing.pem", "key": "missing.key"}})
    status, words = await ended(config)
    assert status == 2
    assert "submission.tls" in words
    assert "missing.pem" in words


async def test_a_bad_file_changes_nothing_and_a_good_one_is_passed_on(relay: RelayProcess) -> None:
    assert relay.process is not None
    before = relay.workers
    good = relay.config.read_text(encoding="utf-8")
    relay.config.write_text(good + "\n[nodule]\n", encoding="utf-8")
    relay.process.send_signal(signal.SIGHUP)
    await until(lambda: "reload-refused" in log_of(relay))
    assert "nodule" in log_of(relay)
    assert relay.workers == before
    await relay.ready()
    relay.config.write_text(good, encoding="utf-8")
    relay.process.send_signal(signal.SIGHUP)
    await until(lambda: log_of(relay).count('"action": "reloaded"') == WORKERS)
    assert relay.workers == before


async def test_a_worker_that_dies_while_the_file_is_being_edited_comes_back(relay: RelayProcess) -> None:
    assert relay.process is not None
    good = relay.config.read_text(encoding="utf-8")
    relay.config.write_text("[node", encoding="utf-8")
    relay.kill_worker(0)
    await until(lambda: log_of(relay).count("worker-died") >= 2)
    assert relay.process.returncode is None
    relay.config.write_text(good, encoding="utf-8")
    await until(lambda: started(relay) == WORKERS + 1)
    await relay.ready()


async def test_a_reload_asked_of_a_worker_that_starts_is_done_once_it_has(relay: RelayProcess) -> None:
    # An unhandled SIGHUP would kill it.
    before = set(relay.workers)
    relay.kill_worker(0)
    await until(lambda: log_of(relay).count("worker-started") == WORKERS + 1)
    (young,) = set(relay.workers) - before
    os.kill(young, signal.SIGHUP)
    await until(lambda: started(relay) == WORKERS + 1)
    await until(lambda: '"action": "reloaded"' in log_of(relay))
    assert is_alive(young)


async def test_a_taken_port_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configure(config, submission={"listen": [f"127.0.0.1:{port}"]})
        status, words = await ended(config)
    assert status == 2
    assert f"port {port}" in words
    assert "submission.listen" in words


async def test_a_node_whose_supervisor_was_killed_starts_again_at_once(relay: RelayProcess) -> None:
    # Its workers hold the ports for a moment longer.
    orphans = await relay.kill_supervisor()
    assert len(orphans) == WORKERS
    await relay.start()
    assert not any(map(is_alive, orphans))
    assert await relay.terminate() == 0


async def test_a_worker_that_still_loads_its_modules_ends_with_its_supervisor(relay: RelayProcess) -> None:
    # It holds the ports from its first moment on.
    before = set(relay.workers)
    relay.kill_worker(0)
    await until(lambda: set(relay.workers) - before)
    orphans = await relay.kill_supervisor()
    assert set(orphans) - before
    await until(lambda: not any(map(is_alive, orphans)))


async def test_workers_load_nothing_from_the_folder_the_node_is_started_in(tmp_path: Path) -> None:
    strange = tmp_path / "strange" / "relay"
    strange.mkdir(parents=True)
    (strange / "__init__.py").write_text("raise SystemExit('code of the current folder was run')\n", encoding="utf-8")
    config = tmp_path / "relay.toml"
    relay = RelayProcess(config, configure(config), tmp_path / "relay.log", folder=strange.parent)
    try:
        await relay.start()
        await until(lambda: started(relay) == WORKERS)
        assert "current folder" not in log_of(relay)
    finally:
        await relay.clean_up()


@pytest.mark.timeout(300)
async def test_a_worker_that_stands_still_is_killed_and_replaced(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    port = configure(config, node={"watchdog": "15s"})
    relay = RelayProcess(config, port, tmp_path / "relay.log")
    try:
        await relay.start()
        await until(lambda: started(relay) == WORKERS)
        still = relay.workers[0]
        os.kill(still, signal.SIGSTOP)
        await until(lambda: not is_alive(still), 120)
        # On a machine that stands still itself another may be killed besides.
        assert any(f'"pid": {still}' in line for line in log_of(relay).splitlines() if "worker-hangs" in line)
        await until(lambda: started(relay) > WORKERS, 90)
        await relay.ready()
    finally:
        await relay.clean_up()


@pytest.mark.timeout(300)
async def test_doors_answer_while_every_worker_dies_at_its_start(relay: RelayProcess) -> None:
    # Nobody would accept what waits in the backlog, and a probe would hang until its own time-out.
    good = relay.config.read_text(encoding="utf-8")
    smtp_port = int(good.partition('listen = ["127.0.0.1:')[2].partition('"')[0])
    relay.config.write_text("[node", encoding="utf-8")
    for pid in relay.workers:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: log_of(relay).count('"action": "stand-in"') == WORKERS)
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{relay.http_port}/readyz") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "no worker runs" in await answer.text()
        async with client.post(f"http://127.0.0.1:{relay.http_port}/api/v1/messages", data=b"x" * 100_000) as answer:
            assert answer.status == 503
    reader, writer = await asyncio.open_connection("127.0.0.1", smtp_port)
    assert (await reader.readline()).startswith(b"421 4.3.2 ")
    assert await reader.read() == b""
    writer.close()
    relay.config.write_text(good, encoding="utf-8")
    await until(lambda: started(relay) == 2 * WORKERS, 90)
    await relay.ready()
