"""A real Dovecot on loopback over one Maildir, from a configuration of its own; needs root to start.

    async with dovecot(certificate=..., key=...) as mailboxes:
        mailboxes.put(b"Subject: ...", "Junk")
        ...read it by IMAP at ("127.0.0.1", mailboxes.port) as user "seed", password "sesame"...

The system's own Dovecot, if there is one, is not touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

_PROGRAM = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin")
UNFIT = (
    "dovecot with IMAP is not installed"
    if _PROGRAM is None or not Path("/usr/lib/dovecot/imap").exists()
    else ("dovecot needs root to start" if os.geteuid() else "")
)
USER, PASSWORD = "seed", "sesame"
_NOBODY = 65534

_SETTINGS = """\
protocols = imap
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/chain.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = yes
auth_failure_delay = 0
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
mail_location = maildir:{folder}/mail
mail_uid = 65534
mail_gid = 65534
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={folder}
}}
namespace inbox {{
  inbox = yes
  separator = .
  mailbox Bulk {{
    special_use = \\Junk
    auto = create
  }}
  mailbox Lists {{
    auto = create
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {starttls_port}
  }}
  inet_listener imaps {{
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@dataclass(frozen=True)
class Mailboxes:
    """A running Dovecot: IMAP over TLS at `port`, with STARTTLS at `starttls_port`. Junk is called Bulk."""

    port: int
    starttls_port: int
    folder: Path

    def put(self, content: bytes, folder: str = "") -> None:
        """Deliver a mail, as a mail server does: written whole beside, then moved."""
        box = self.folder / "mail" / (f".{folder}" if folder else "")
        for name in ("tmp", "new", "cur"):
            (box / name).mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=box / "tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content.replace(b"\r\n", b"\n"))
        for path in (box, box / "tmp", box / "new", box / "cur", Path(draft)):
            os.chown(path, _NOBODY, _NOBODY)
        Path(draft).rename(box / "new" / Path(draft).name)

    def count(self, folder: str = "") -> int:
        """How many mails a folder holds."""
        box = self.folder / "mail" / (f".{folder}" if folder else "")
        return sum(len(list((box / name).iterdir())) for name in ("new", "cur") if (box / name).is_dir())


@contextlib.asynccontextmanager
async def dovecot(*, certificate: bytes, key: bytes) -> AsyncIterator[Mailboxes]:
    """Start one with this certificate and key (PEM)."""
    assert _PROGRAM is not None
    folder = Path(tempfile.mkdtemp(prefix="dovecot-test-"))
    mailboxes = Mailboxes(free_port(), free_port(), folder)
    try:
        folder.chmod(0o755)
        (folder / "mail").mkdir()
        os.chown(folder / "mail", _NOBODY, _NOBODY)
        (folder / "chain.pem").write_bytes(certificate)
        (folder / "key.pem").write_bytes(key)
        (folder / "key.pem").chmod(0o600)
        settings = _SETTINGS.format(
            folder=folder, port=mailboxes.port, starttls_port=mailboxes.starttls_port, password=PASSWORD
        )
        (folder / "dovecot.conf").write_text(settings)
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            _PROGRAM, "-F", "-c", str(folder / "dovecot.conf"), stdout=quiet, stderr=quiet
        )
        try:
            await _answers(mailboxes.starttls_port, folder / "log", process)
            yield mailboxes
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(port: int, log: Path, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while True:
            assert process.returncode is None, log.read_text() if log.exists() else "dovecot ended"
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                greeting = await reader.readline()
                writer.close()
                await writer.wait_closed()
                if greeting.startswith(b"* OK"):
                    return
            await asyncio.sleep(0.1)
