"""A real Postfix as a receiver on loopback, from a configuration folder of its own; needs root to start.

    async with postfix_receiver(certificate=..., key=...) as receiver:
        ...send to ("127.0.0.1", receiver.port)...
        await receiver.mails(1)

It takes mail for every address into one Maildir, as its user `postfix`. The system's own Postfix, if there is one, is
not touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

PATHS = "/usr/sbin:/usr/bin:/sbin"
UNFIT = (
    "postfix is not installed"
    if shutil.which("postfix", path=PATHS) is None
    else ("postfix needs root to start" if os.geteuid() else "")
)
_SERVICES = """\
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Receiver:
    """A running Postfix."""

    port: int
    folder: Path

    async def mails(self, count: int) -> list[bytes]:
        """The mails it keeps, with CRLF line ends, once there are `count`."""
        box = self.folder / "mail" / "box" / "new"
        async with asyncio.timeout(30):
            while not box.is_dir() or len(list(box.iterdir())) < count:
                await asyncio.sleep(0.05)
        return [file.read_bytes().replace(b"\n", b"\r\n") for file in sorted(box.iterdir())]


def _settings(folder: Path, options: Sequence[str]) -> str:
    owner = pwd.getpwnam("postfix")
    lines = [
        "compatibility_level = 3.6", f"queue_directory = {folder}/queue", f"data_directory = {folder}/data",
        "mail_owner = postfix", "setgid_group = postdrop", "myhostname = mx.postfix.test", "mydestination =",
        "inet_interfaces = 127.0.0.1", "inet_protocols = ipv4", "mynetworks =", "alias_maps =",
        "smtpd_relay_restrictions = reject_unauth_destination", "local_recipient_maps =",
        "virtual_mailbox_domains = static:all", "virtual_mailbox_maps = static:box/", "virtual_minimum_uid = 1",
        f"virtual_mailbox_base = {folder}/mail", f"virtual_uid_maps = static:{owner.pw_uid}",
        f"virtual_gid_maps = static:{owner.pw_gid}", "virtual_mailbox_limit = 0", "smtputf8_enable = yes",
        "maillog_file_prefixes = /tmp, /var", f"maillog_file = {folder}/log/mail.log", *options,
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _lay_out(folder: Path, port: int, options: Sequence[str]) -> None:
    owner = pwd.getpwnam("postfix")
    folder.chmod(0o755)
    for name in ("data", "mail"):
        (folder / name).mkdir()
        os.chown(folder / name, owner.pw_uid, owner.pw_gid)
    for name in ("queue", "conf", "log"):
        (folder / name).mkdir()
    (folder / "conf" / "main.cf").write_text(_settings(folder, options))
    (folder / "conf" / "master.cf").write_text(_SERVICES.format(port=f"127.0.0.1:{port}"))


@contextlib.asynccontextmanager
async def postfix_receiver(*options: str, certificate: bytes = b"", key: bytes = b"") -> AsyncIterator[Receiver]:
    """Start one with further `options` of main.cf; with a certificate and its key (PEM) it offers STARTTLS."""
    port = free_port()
    # Not pytest's own folder: others may not pass through that one, and Postfix runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="postfix-test-"))
    try:
        tls: list[str] = []
        if certificate:
            (folder / "chain.pem").write_bytes(key + certificate)
            (folder / "chain.pem").chmod(0o600)
            tls = ["smtpd_tls_security_level = may", f"smtpd_tls_chain_files = {folder}/chain.pem"]
        _lay_out(folder, port, [*options, *tls])
        await postfix(folder, "start")
        try:
            await answers(port)
            yield Receiver(port, folder)
        finally:
            await postfix(folder, "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def postfix(folder: Path, command: str) -> None:
    """Run `postfix start` or `stop` for the instance in `folder`."""
    quiet = asyncio.subprocess.DEVNULL
    program = shutil.which("postfix", path=PATHS)
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(folder / "conf"), command, stdout=quiet, stderr=quiet
    )
    async with asyncio.timeout(30):
        assert await process.wait() == 0, (folder / "log" / "mail.log").read_text()


async def answers(port: int) -> None:
    """Wait for the greeting on a loopback port."""
    async with asyncio.timeout(15):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                greeting = await reader.readline()
                writer.close()
                await writer.wait_closed()
                if greeting.startswith(b"220"):
                    return
            await asyncio.sleep(0.1)
