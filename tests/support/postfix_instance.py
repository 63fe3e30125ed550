"""A real Postfix from configuration files that are shipped, in a private folder; needs root to start.

The files themselves are used. Behind them stand only the lines that every private instance needs (folders, ports,
trust anchors of the test); in main.cf they stand in for shipped lines of the same name. The
system's own Postfix is not touched.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.postfix_receiver import Receiver, answers, postfix


@dataclass(frozen=True)
class ShippedPostfix:
    """What a private instance is made of: the shipped folder, the listener in its master.cf, and what the test adds."""

    shipped: Path
    listener: str
    """How the shipped master.cf writes its inet service, such as "127.0.0.1:25"."""
    main: tuple[str, ...]
    """Lines behind main.cf; {folder} is the private folder."""
    files: Mapping[str, bytes]
    """Further files of the private folder, by name; mode 0600."""


@contextlib.asynccontextmanager
async def postfix_instance(parts: ShippedPostfix) -> AsyncIterator[Receiver]:
    """Start it; it listens on loopback, on a port of its own."""
    folder = Path(tempfile.mkdtemp(prefix="postfix-test-"))
    try:
        port = free_port()
        _lay_out(folder, port, parts)
        await postfix(folder, "start")
        try:
            await answers(port)
            yield Receiver(port, folder)
        finally:
            await postfix(folder, "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(folder: Path, port: int, parts: ShippedPostfix) -> None:
    owner = pwd.getpwnam("postfix")
    folder.chmod(0o755)
    for name in ("data", "mail"):
        (folder / name).mkdir()
        os.chown(folder / name, owner.pw_uid, owner.pw_gid)
    for name in ("queue", "conf", "log"):
        (folder / name).mkdir()
    for name, content in parts.files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    private = [
        f"queue_directory = {folder}/queue",
        f"data_directory = {folder}/data",
        "mail_owner = postfix",
        "setgid_group = postdrop",
        "inet_protocols = ipv4",
        "inet_interfaces = 127.0.0.1",
        "maillog_file_prefixes = /tmp, /var",
        f"maillog_file = {folder}/log/mail.log",
        *(line.replace("{folder}", str(folder)) for line in parts.main),
    ]
    # Each name once: every daemon warns of a second one, and a postlogd that warns while it starts can wait for itself.
    ours = {line.partition("=")[0].strip() for line in private}
    main = (parts.shipped / "main.cf").read_text().splitlines()
    kept = [line for line in main if line.partition("=")[0].strip() not in ours]
    (folder / "conf" / "main.cf").write_text("\n".join([*kept, *private]) + "\n")
    services = (parts.shipped / "master.cf").read_text()
    assert services.count(f"\n{parts.listener} ") == 1
    (folder / "conf" / "master.cf").write_text(services.replace(f"\n{parts.listener} ", f"\n127.0.0.1:{port} "))
