"""A real Exim as a receiver on loopback, unpacked in a folder of its own; needs root to start.

Exim and Postfix cannot be installed side by side, so `.ci/run` unpacks Debian's package instead of installing it.
Exim looks its user up by name; `nss_wrapper` tells it of one without touching the system's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.ports import free_port
from tests.support.postfix_receiver import Receiver, answers
from tests.support.programs import PROGRAMS

EXIM = PROGRAMS / "usr" / "sbin" / "exim4"
_WRAPPER = next(iter(PROGRAMS.glob("usr/lib/*/libnss_wrapper.so")), None)
UNFIT = (
    f"exim is not unpacked in {PROGRAMS}; .ci/run does it"
    if not EXIM.is_file() or _WRAPPER is None
    else ("exim needs root to start" if os.geteuid() else "")
)
_NOBODY = 65534

_SETTINGS = """\
primary_hostname = mx.exim.test
exim_path = {exim}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/exim.pid
keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
deliver_drop_privilege = true
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = {folder}/chain.pem
tls_privatekey = {folder}/key.pem
acl_smtp_rcpt = everybody
acl_smtp_data = everybody
chunking_advertise_hosts = {chunking}
smtputf8_advertise_hosts = *
message_size_limit = 50M
host_lookup =
begin acl
everybody:
  accept
begin routers
everybody:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = {folder}/mail/box
  create_directory
  maildir_format
  user = Debian-exim
"""


def _lay_out(folder: Path, port: int, chain: bytes, key: bytes, *, chunking: bool) -> dict[str, str]:
    """Write its files; the environment it runs in."""
    folder.chmod(0o755)
    for name in ("spool", "log", "mail"):
        (folder / name).mkdir()
        os.chown(folder / name, _NOBODY, _NOBODY)
    for name, content in (("chain.pem", chain), ("key.pem", key)):
        (folder / name).write_bytes(content)
        os.chown(folder / name, _NOBODY, _NOBODY)
        (folder / name).chmod(0o600)
    (folder / "passwd").write_text(
        Path("/etc/passwd").read_text() + f"Debian-exim:x:{_NOBODY}:{_NOBODY}::/nonexistent:/usr/sbin/nologin\n"
    )
    (folder / "group").write_text(Path("/etc/group").read_text() + f"Debian-exim:x:{_NOBODY}:\n")
    settings = _SETTINGS.format(exim=EXIM, folder=folder, port=port, chunking="*" if chunking else "")
    (folder / "exim.conf").write_text(settings)
    return {
        "PATH": "/usr/bin:/bin",
        "LD_PRELOAD": str(_WRAPPER),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }


@contextlib.asynccontextmanager
async def exim_receiver(*, certificate: bytes, key: bytes, chunking: bool = True) -> AsyncIterator[Receiver]:
    """Start one that takes mail for every address into one Maildir and offers STARTTLS with this certificate (PEM)."""
    folder, port = Path(tempfile.mkdtemp(prefix="exim-test-")), free_port()
    try:
        environment = _lay_out(folder, port, certificate, key, chunking=chunking)
        process = await asyncio.create_subprocess_exec(
            str(EXIM), "-C", str(folder / "exim.conf"), "-bdf", env=environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await answers(port)
            yield Receiver(port, folder)
        finally:
            process.terminate()
            await process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
