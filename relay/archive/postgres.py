"""PostgreSQL's part of an archive: its own pg_dump and pg_restore, which know every version of it.

Passwords go by the environment: everybody on a machine may read a program's arguments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from relay.archive.cipher import ArchiveError

_LONGEST_WORDS: Final = 2000


def dump(url: str, file: Path) -> None:
    """The whole database, of one moment, in PostgreSQL's custom format. Raises ArchiveError."""
    _run(
        "pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", "--lock-wait-timeout=60s", f"--file={file}"
    )


def load(url: str, file: Path) -> None:
    """Put a dump into an empty database: all of it or nothing. Raises ArchiveError."""
    _run("pg_restore", url, "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(file))


def check(file: Path) -> None:
    """Whether this is a dump that can be read. Raises ArchiveError."""
    _spawn([_program("pg_restore"), "--list", str(file)], dict(os.environ))


def _run(program: str, url: str, *words: str) -> None:
    plain, password = without_password(url)
    environment = {**os.environ, "PGTARGETSESSIONATTRS": "read-write", "PGCONNECT_TIMEOUT": "30"}
    if password:
        environment["PGPASSWORD"] = password
    option = "--dbname"
    _spawn([_program(program), f"{option}={plain}", "--no-password", *words], environment)


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise ArchiveError(
            f"{name} is needed and was not found: install PostgreSQL's client programs, of the server's version"
        )
    return program


def _spawn(command: list[str], environment: dict[str, str]) -> None:
    # No limit of time: a large database takes as long as it takes, and the person sees it work.
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()[:_LONGEST_WORDS]
        raise ArchiveError(f"{Path(command[0]).name}: {words}")


def without_password(url: str) -> tuple[str, str]:
    """A URL without its password, and the password."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=f"{name}{at}{hosts}")), unquote(password) if colon else ""
