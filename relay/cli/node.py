"""`leak run` and `leak reload`: the node itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import typer

from relay.cli.context import config_file, load
from relay.cli.output import fail, say


def run(context: typer.Context) -> None:
    """Run the node with the roles of its configuration. SIGTERM drains and stops, SIGHUP reloads."""
    from relay.cli.front import load_front
    from relay.supervisor import run as supervise

    raise typer.Exit(supervise(config_file(context), load_front))


def reload(context: typer.Context) -> None:
    """Validate the configuration and tell the running node to read it again, keys included."""
    settings = load(context)
    path = settings.sqlite_path
    if path is None:
        fail("the node's process is found beside a SQLite spool only; send it SIGHUP yourself")
    pid = read_pid(path.with_name("node.pid"))
    if pid is None:
        fail(f"no node runs on the spool in {path.parent}")
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        fail(f"no node runs on the spool in {path.parent}: process {pid} is gone")
    except PermissionError:
        fail(f"the node (process {pid}) belongs to another user; run this as that user or as root")
    say(f"told the node (process {pid}) to reload; its log says what came of it")


def read_pid(file: Path) -> int | None:
    """The process id in a node's file, None when no living node holds the file."""
    import fcntl

    try:
        with file.open(encoding="ascii") as held:
            text = held.read(32).strip()
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                # The node keeps its file locked while it lives; an id without a lock may be anybody's by now.
                return int(text) if text.isdecimal() and int(text) > 1 else None
            return None
    except (OSError, UnicodeDecodeError):
        return None
