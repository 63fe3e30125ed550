"""A real OpenSMTPD as a receiver on loopback, in a root of its own; needs root to start.

It conflicts with Postfix and Exim as a package, and its paths and users are built in: `.ci/run` unpacks Debian's
package, and each start lays out a small root (the program, the libraries it names, two users) and enters it by chroot.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.ports import free_port
from tests.support.postfix_receiver import Receiver, answers
from tests.support.programs import PROGRAMS

_DAEMON = PROGRAMS / "usr" / "sbin" / "smtpd"
_DELIVERER = PROGRAMS / "usr" / "libexec" / "opensmtpd" / "mail.maildir"
UNFIT = (
    f"opensmtpd is not unpacked in {PROGRAMS}; .ci/run does it"
    if not _DAEMON.is_file()
    else ("opensmtpd needs root to start" if os.geteuid() else "")
)
_QUEUE, _BOX = 65531, 65533
_PASSWD = f"""\
root:x:0:0::/:/bin/sh
opensmtpd:x:65532:65532::/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:{_QUEUE}:{_QUEUE}::/var/lib/opensmtpd/empty:/usr/sbin/nologin
box:x:{_BOX}:{_BOX}::/mail:/bin/sh
"""
_GROUP = f"root:x:0:\nopensmtpd:x:65532:\nopensmtpq:x:{_QUEUE}:\nbox:x:{_BOX}:\n"
_SETTINGS = """\
pki mx.opensmtpd.test cert "/etc/chain.pem"
pki mx.opensmtpd.test key "/etc/key.pem"
smtp max-message-size 50M
table everybody {{ "@" = box }}
listen on 127.0.0.1 port {port} tls pki mx.opensmtpd.test hostname mx.opensmtpd.test
action "box" maildir "/mail/box" virtual <everybody>
match from any for any action "box"
"""


def _lay_out(root: Path, settings: str, chain: bytes, key: bytes) -> None:
    """The smallest root it starts in."""
    root.chmod(0o755)
    shell = Path("/bin/sh")
    for program, place in ((_DAEMON, "usr/sbin"), (_DELIVERER, "usr/libexec/opensmtpd"), (shell, "bin")):
        (root / place).mkdir(parents=True)
        shutil.copy(program, root / place)
    names = subprocess.run(
        ["ldd", _DAEMON, _DELIVERER, shell], check=True, capture_output=True, text=True, timeout=30
    ).stdout
    for library in set(re.findall(r"(/\S+/ld-linux\S+|(?<==> )/\S+)", names)):
        (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library[1:])
    for folder in ("etc", "dev", "tmp", "var/run", "var/lib/opensmtpd/empty", "var/spool", "mail/box"):
        (root / folder).mkdir(parents=True)
    (root / "var/spool/smtpd").mkdir(mode=0o711)
    for folder in ("mail", "mail/box"):
        os.chown(root / folder, _BOX, _BOX)
    for name, content in (("passwd", _PASSWD), ("group", _GROUP), ("smtpd.conf", settings), ("mailname", "x.test\n")):
        (root / "etc" / name).write_text(content)
    for name, pem in (("chain.pem", chain), ("key.pem", key)):
        (root / "etc" / name).write_bytes(pem)
        (root / "etc" / name).chmod(0o600)
    (root / "dev/null").touch(mode=0o666)


@contextlib.asynccontextmanager
async def opensmtpd_receiver(*, certificate: bytes, key: bytes) -> AsyncIterator[Receiver]:
    """Start one that takes mail for every address into one Maildir and offers STARTTLS with this certificate (PEM)."""
    root, port = Path(tempfile.mkdtemp(prefix="opensmtpd-test-")), free_port()
    try:
        _lay_out(root, _SETTINGS.format(port=port), certificate, key)
        with (root / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                "chroot", str(root), "/usr/sbin/smtpd", "-dv", stdout=log, stderr=log
            )
        try:
            await answers(port)
            yield Receiver(port, root)
        finally:
            process.terminate()
            await process.wait()
    finally:
        shutil.rmtree(root, ignore_errors=True)
