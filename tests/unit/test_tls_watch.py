"""Renewed certificates: what a look at the files takes over, by whichever way a client puts them in place."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.settings import TlsFiles, settings_from
from relay.tls_watch import MOST_SESSIONS, TlsWatch, WatchedDoor
from tests.support.certificates import Made, make

FIRST, SECOND = make("first.example"), make("second.example")


@dataclass
class Bench:
    """Certbot's folders: `live` has links to what is in `archive`."""

    folder: Path
    used: list[ssl.SSLContext] = field(default_factory=list)
    sessions: int = 0

    def archive(self, number: int, certificate: Made, key: Made) -> None:
        (self.folder / f"fullchain{number}.pem").write_bytes(certificate.pem)
        (self.folder / f"privkey{number}.pem").write_bytes(key.key_pem)

    def link(self, number: int) -> None:
        for name in ("fullchain", "privkey"):
            (self.folder / "new").symlink_to(f"{name}{number}.pem")
            (self.folder / "new").replace(self.folder / f"{name}.pem")

    def watch(self) -> TlsWatch:
        files = TlsFiles(certificate=Path("fullchain.pem"), key=Path("privkey.pem"))
        settings = settings_from({"node": {"name": "mail.leak.example"}}, self.folder)
        return TlsWatch(settings, [WatchedDoor("submission.tls", files, self.used.append, lambda: self.sessions)], None)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_links_that_lead_elsewhere_are_followed_once(bench: Bench) -> None:
    bench.archive(1, FIRST, FIRST)
    bench.archive(2, SECOND, SECOND)
    bench.link(1)
    watch = bench.watch()
    await watch.look()
    assert not bench.used
    bench.link(2)
    await watch.look()
    await watch.look()
    assert len(bench.used) == 1
    assert _served(bench.used[0]) == SECOND.der


async def test_a_file_written_over_with_the_same_size_and_time_of_change_is_noticed_by_its_inode(bench: Bench) -> None:
    bench.archive(1, FIRST, FIRST)
    bench.link(1)
    watch = bench.watch()
    for name, text in (("fullchain1.pem", FIRST.pem), ("privkey1.pem", FIRST.key_pem)):
        file = bench.folder / name
        stamp = file.stat()
        (bench.folder / "new").write_bytes(text)
        (bench.folder / "new").replace(file)
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    await watch.look()
    assert len(bench.used) == 1


@pytest.mark.parametrize("harm", ["another's key", "no certificate", "no file"])
async def test_what_cannot_be_used_leaves_the_old_one(bench: Bench, harm: str) -> None:
    bench.archive(1, FIRST, FIRST)
    bench.link(1)
    watch = bench.watch()
    match harm:
        case "another's key":
            (bench.folder / "privkey1.pem").write_bytes(SECOND.key_pem)
        case "no certificate":
            (bench.folder / "fullchain1.pem").write_bytes(b"<html>")
        case _:
            (bench.folder / "fullchain1.pem").unlink()
    for _ in range(3):
        await watch.look()
    assert not bench.used
    bench.archive(1, SECOND, SECOND)
    await watch.look()
    assert _served(bench.used[0]) == SECOND.der


async def test_a_context_that_keeps_many_sessions_is_replaced(bench: Bench) -> None:
    """OpenSSL keeps those of TLS 1.2 for hours; a worker's memory must not depend on how many came."""
    bench.archive(1, FIRST, FIRST)
    bench.link(1)
    watch = bench.watch()
    bench.sessions = MOST_SESSIONS
    await watch.look()
    assert not bench.used
    bench.sessions += 1
    await watch.look()
    assert len(bench.used) == 1
    assert _served(bench.used[0]) == FIRST.der
    assert bench.used[0].session_stats()["number"] == 0


def _served(context: ssl.SSLContext) -> bytes:
    """What a client sees, through memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asks.check_hostname, asks.verify_mode = False, ssl.CERT_NONE
    client = asks.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    octets = client.getpeercert(binary_form=True)
    assert octets is not None
    return octets
