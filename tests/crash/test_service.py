"""What a service manager sees of a real `leak run`: ready, alive, reloading, stopping; and what a reload refuses."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiosmtplib
import pytest

from tests.crash.test_supervisor import configure
from tests.support.certificates import Made, make
from tests.support.ports import free_port
from tests.support.relay_process import COMMAND, ROOT, RelayProcess


class Manager:
    """A datagram socket as systemd's, and every message that came."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(address.replace("@", "\0"))
        self.heard: list[str] = []
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self.heard.append(self._socket.recv(4096).decode())

    def count(self, word: str) -> int:
        return sum(one.splitlines()[0] == word for one in self.heard)

    async def until(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.05)


@contextmanager
def manager_at(kind: str) -> Iterator[Manager]:
    """At a path, which may have 107 octets (a test's own folder is too long), or at a name that is no file."""
    with TemporaryDirectory(prefix="leak-") as folder:
        manager = Manager(f"{folder}/notify" if kind == "path" else f"@leak-test-{os.getpid()}-{free_port()}")
        try:
            yield manager
        finally:
            manager.close()


def write_pair(folder: Path, certificate: Made, key: Made) -> None:
    """As a client does: each file beside, then in place."""
    for name, text in (("fullchain.pem", certificate.pem), ("privkey.pem", key.key_pem)):
        (folder / f".{name}").write_bytes(text)
        (folder / f".{name}").replace(folder / name)


async def served(port: int) -> bytes:
    """The certificate that a client of STARTTLS sees."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, timeout=30) as client:
        await client.starttls(tls_context=context)
        transport: Any = client.transport
        octets = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(octets, bytes)
        return octets


async def reload_by_command(config: Path, pid: int) -> tuple[int, str]:
    """`leak reload --pid`: its status and words."""
    words = (*COMMAND, "reload", "--config", str(config), "--pid", str(pid))
    process = await asyncio.create_subprocess_exec(
        *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_service_manager_is_told_and_a_reload_is_all_or_nothing(tmp_path: Path, workers: int) -> None:
    first, second, other = (make("mail.leak.lab.test") for _ in range(3))
    write_pair(tmp_path, first, first)
    config, port = tmp_path / "relay.toml", free_port()
    tls = {"certificate": "fullchain.pem", "key": "privkey.pem"}
    http = configure(
        config,
        node={"workers": workers},
        submission={"listen": [f"127.0.0.1:{port}"], "tls": tls},
    )
    relay = RelayProcess(config, http, tmp_path / "relay.log")
    with manager_at("path" if workers > 1 else "name") as manager:
        try:
            # Without the tests' own environment: WATCHDOG_PID would name a process that is none of ours.
            await relay.start(wait=False, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="400000")
            assert relay.process is not None
            await manager.until(lambda: manager.count("READY=1") > 0)
            assert await served(port) == first.der  # READY is not said before the doors are open
            alive = manager.count("WATCHDOG=1")
            await manager.until(lambda: manager.count("WATCHDOG=1") > alive + 1)
            if workers > 1:
                await manager.until(
                    lambda: f"STATUS={workers} of {workers} workers take and send mail" in manager.heard
                )

            write_pair(tmp_path, second, other)
            status, said = await reload_by_command(config, relay.process.pid)
            assert status == 2
            assert "nothing was reloaded" in said
            assert "submission.tls" in said
            relay.process.send_signal(signal.SIGHUP)  # who does not ask first
            await manager.until(lambda: '"reload-refused"' in relay.log.read_text())
            await manager.until(lambda: manager.count("READY=1") > 1)
            assert await served(port) == first.der

            write_pair(tmp_path, second, second)
            status, said = await reload_by_command(config, relay.process.pid)
            assert status == 0, said
            await manager.until(lambda: relay.log.read_text().count('"action": "reloaded"') == workers)
            await manager.until(lambda: manager.count("READY=1") > 2)
            assert manager.count("RELOADING=1") == 2
            assert await served(port) == second.der

            assert await relay.terminate() == 0
            await manager.until(lambda: manager.count("STOPPING=1") > 0)
            words = [one for one in manager.heard if not one.startswith(("WATCHDOG", "STATUS"))]
            assert words[0] == "READY=1"
            assert words[-1] == "STOPPING=1"
            assert all("MONOTONIC_USEC=" in one for one in words if one.startswith("RELOADING"))
        finally:
            await relay.clean_up()


UNITS = ROOT / "packaging" / "systemd"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
async def test_the_units_are_sound_and_confined(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing, and `security --offline` an exposure that is called OK or better."""
    program = tmp_path / "opt/leak/bin/leak"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS.glob("leak*.*"):
        if unit.suffix in {".service", ".timer"}:
            (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/leak/bin/leak", str(program)))
    units = sorted(str(one) for one in tmp_path.iterdir() if one.suffix in {".service", ".timer"})
    assert {Path(unit).name for unit in units} == {
        "leak.service",
        "leak-front.service",
        "leak-backup.service",
        "leak-backup.timer",
    }
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    verified = await _run("systemd-analyze", "verify", "--man=no", *units, environment=environment)
    assert verified == (0, ""), verified[1]
    services = [one for one in units if one.endswith(".service")]
    status, said = await _run(
        "systemd-analyze", "security", "--offline=true", "--threshold=20", *services, environment=environment
    )
    assert status == 0, said


async def _run(*words: str, environment: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()
