"""Is the machine fit? Disk, fsync, clock, modes of secrets, versions."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import ssl
import stat
import struct
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

from relay import __version__
from relay.database.sqlite import MINIMUM_VERSION
from relay.doctor.finding import Finding, Severity
from relay.doctor.reach import find_address
from relay.doctor.subject import Examined, Means, Place, Spool
from relay.errors import LeakError, cause_of

SLOW_FSYNC: Final = 0.1
"""Seconds: above it an idle relay takes ten mails a second at most."""
_ROUNDS: Final = 5
_CLOCK_WARNS: Final = timedelta(seconds=30)
_CLOCK_FAULT: Final = timedelta(minutes=5)
_NTP_EPOCH: Final = 2_208_988_800
_NTP_SECONDS: Final = 5.0


async def look_disk(_: Means, examined: Examined) -> list[Finding]:
    """The disk of the spool."""
    return await look_at_disk(examined.spool)


async def look_at_disk(spool: Spool) -> list[Finding]:
    """Room and speed of the disk the spool is on; a database server's is its own matter."""
    folder = spool.folder
    if folder is None:
        return []
    there = next(one for one in (folder, *folder.parents) if one.is_dir())
    usage = shutil.disk_usage(there)
    findings = [judge_room(str(folder), usage.free, usage.total, spool.minimum_free)]
    try:
        findings.append(judge_fsync(str(folder), await asyncio.to_thread(fsync_seconds, there)))
    except OSError as error:
        evidence = f"nothing can be written: {error.strerror}"
        remedy = "run the doctor as the node's user, and let it own the spool's folder"
        findings.append(Finding("fsync", str(folder), Severity.UNKNOWN, evidence, remedy))
    return findings


def fsync_seconds(folder: Path) -> float:
    """The median time of writing a page so that it survives a power cut. Raises OSError."""
    took: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_ROUNDS):
            begun = time.monotonic()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.monotonic() - begun)
    return median(took)


def judge_room(folder: str, free: int, total: int, minimum: int) -> Finding:
    """Below the minimum new mail is refused; below four times as much somebody should look."""
    shown = f"{free // 1_000_000} MB of {total // 1_000_000} MB are free"
    remedy = (
        f"make room on the disk of {folder}; below {minimum // 1_000_000} MB new mail gets 452 (spool.minimum_free)"
    )
    if free < minimum:
        return Finding("disk", folder, Severity.ERROR, f"{shown}: new mail is refused", remedy)
    if free < 4 * minimum or free < total // 50:
        return Finding("disk", folder, Severity.WARNING, shown, remedy)
    return Finding("disk", folder, Severity.OK, shown)


def judge_fsync(folder: str, seconds: float) -> Finding:
    """Every accepted mail waits for one fsync."""
    shown = f"{seconds * 1000:.1f} ms to write a page for good"
    if seconds > SLOW_FSYNC:
        remedy = "use a disk of its own or an SSD with a write cache that survives a power cut"
        return Finding("fsync", folder, Severity.WARNING, shown, remedy)
    return Finding("fsync", folder, Severity.OK, shown)


async def look_clock(means: Means, examined: Examined) -> list[Finding]:
    """Our clock beside the database's and a time server's: signatures and leases carry its time."""
    findings: list[Finding] = []
    if examined.spool.now is not None:
        before = means.clock.now()
        theirs = await examined.spool.now()
        middle = before + (means.clock.now() - before) / 2
        findings.append(judge_clock("the database's", theirs - middle))
    if examined.time_server is not None:
        try:
            findings.append(judge_clock(str(examined.time_server), await _ntp_offset(means, examined.time_server)))
        except (OSError, TimeoutError) as error:
            why = "no answer" if isinstance(error, TimeoutError) else cause_of(error)
            evidence = f"no time from {examined.time_server}: {why}"
            remedy = "let UDP port 123 out, or name another server in doctor.time_server"
            findings.append(Finding("clock", str(examined.time_server), Severity.UNKNOWN, evidence, remedy))
    return findings or [Finding("clock", "this machine", Severity.NOTE, *_no_clock())]


def _no_clock() -> tuple[str, str]:
    return "there is no other clock to compare with", 'name one in doctor.time_server, as in "pool.ntp.org:123"'


def judge_clock(other: str, ahead: timedelta) -> Finding:
    """`ahead` is how far the other clock is ahead of ours."""
    shown = f"{abs(ahead).total_seconds():.1f} s {'behind' if ahead > timedelta() else 'ahead of'} {other}"
    remedy = "keep the machine's time by chrony or systemd-timesyncd"
    if abs(ahead) > _CLOCK_FAULT:
        return Finding("clock", other, Severity.ERROR, shown, f"{remedy}: signatures with a wrong time are refused")
    if abs(ahead) > _CLOCK_WARNS:
        return Finding("clock", other, Severity.WARNING, shown, remedy)
    return Finding("clock", other, Severity.OK, shown)


async def _ntp_offset(means: Means, server: Place) -> timedelta:
    """How far the server is ahead, by one question of SNTP (RFC 4330). Raises OSError, TimeoutError."""
    address, problem = await find_address(means, server.host)
    if problem:
        raise OSError(problem)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: _OneAnswer(answered), remote_addr=(address, server.port))
    try:
        before = means.clock.now()
        transport.sendto(b"\x23" + bytes(47))
        async with asyncio.timeout(_NTP_SECONDS):
            packet = await answered
        middle = before + (means.clock.now() - before) / 2
    finally:
        transport.close()
    return read_ntp(packet) - middle


def read_ntp(packet: bytes) -> datetime:
    """The server's time in an answer of SNTP. Raises OSError for anything else."""
    if len(packet) < 48 or packet[0] & 7 != 4 or packet[1] == 0:
        raise OSError("not the answer of a time server")
    seconds, fraction = struct.unpack("!II", packet[40:48])
    # Era 1 begins in 2036: numbers with their first bit clear belong to it (RFC 4330 §3).
    era = 0 if seconds & 0x80000000 else 1 << 32
    return datetime.fromtimestamp(seconds + era - _NTP_EPOCH + fraction / 2**32, UTC)


class _OneAnswer(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._answered.done():
            self._answered.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc)


async def look_secrets(_: Means, examined: Examined) -> list[Finding]:
    """Who else may read keys and secrets."""
    findings = [judge_modes(examined.node, {path: mode_of(path) for path in examined.private_files})]
    if examined.configuration is not None:
        findings.append(judge_configuration(examined.configuration, mode_of(examined.configuration)))
    return findings


def mode_of(path: Path) -> int | None:
    """The file's permission bits, None where there is no such file or it cannot be looked at."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def judge_modes(node: str, modes: Mapping[Path, int | None]) -> Finding:
    """A secret is no business of everybody; a group may be in, as ACME clients have it with TLS keys."""
    wide = [path for path, mode in modes.items() if mode is not None and mode & stat.S_IRWXO]
    hidden = [path for path, mode in modes.items() if mode is None]
    if wide:
        names = " ".join(map(str, wide))
        remedy = f"chmod o= {names}; if others had access to the machine, replace what they hold"
        return Finding("secrets", node, Severity.ERROR, f"everybody may use {names}", remedy)
    if hidden:
        evidence = f"{', '.join(map(str, hidden))} cannot be looked at"
        return Finding("secrets", node, Severity.UNKNOWN, evidence, "run the doctor as the node's user")
    return Finding("secrets", node, Severity.OK, f"{len(modes)} private files, none open to everybody")


def judge_configuration(file: Path, mode: int | None) -> Finding:
    """A configuration with a password in it is a secret too."""
    if mode is not None and mode & stat.S_IROTH:
        remedy = f"chmod o-r {file}, or put the password into ~/.pgpass or an environment variable"
        return Finding("secrets", str(file), Severity.WARNING, "holds a password and everybody may read it", remedy)
    return Finding("secrets", str(file), Severity.OK, "holds a password and is private")


async def look_versions(_: Means, examined: Examined) -> list[Finding]:
    """The programs under the relay."""
    try:
        database = await examined.spool.version()
    except LeakError as error:
        evidence = f"the database does not answer: {error}"
        return [Finding("database", "spool", Severity.ERROR, evidence, "see spool.url, and that the server runs")]
    return [Finding("database", "spool", Severity.OK, database), judge_versions(platform.python_version(), _sqlite())]


def _sqlite() -> str:
    import apsw

    return apsw.sqlite_lib_version()


def judge_versions(python: str, sqlite: str) -> Finding:
    """SQLite before the minimum has a race that can lose mail."""
    shown = f"leak {__version__}, Python {python}, SQLite {sqlite}, {ssl.OPENSSL_VERSION}"
    if _numbers(sqlite) < MINIMUM_VERSION:
        least = ".".join(map(str, MINIMUM_VERSION))
        return Finding("versions", "programs", Severity.ERROR, shown, f"pip install -U apsw: SQLite {least} is needed")
    return Finding("versions", "programs", Severity.OK, shown)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
