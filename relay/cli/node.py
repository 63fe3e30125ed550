"""`leak run` and `leak reload`: the node itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import config_file, load
from relay.cli.output import CommandError, say

if TYPE_CHECKING:
    from relay.settings import Settings


def run(context: typer.Context) -> None:
    """Run the node with the roles of its configuration. SIGTERM drains and stops, SIGHUP reloads."""
    from relay.cli.front import load_front
    from relay.supervisor import run as supervise

    raise typer.Exit(supervise(config_file(context), load_front))


def reload(
    context: typer.Context,
    pid: Annotated[
        int | None, typer.Option(min=2, help="The node's process, where no SQLite spool tells it; as systemd knows it.")
    ] = None,
) -> None:
    """Validate the configuration and tell the running node to read it again, keys included.

    A mistake anywhere in what a reload applies is said, with exit status 2, and the node is told nothing.
    """
    from relay.errors import ConfigurationError
    from relay.reloading import read_anew

    try:
        settings = load(context)
        read_anew(settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"nothing was reloaded, the node goes on as it was\n{error}") from None
    say(tell_node(settings, must_run=True) if pid is None else _tell(pid))


def tell_node(settings: Settings, *, must_run: bool = False) -> str:
    """Send the node SIGHUP; what came of it. With `must_run` that no node could be told is a CommandError."""
    path = settings.sqlite_path
    pid = None if path is None else read_pid(path.with_name("node.pid"))
    try:
        if path is None:
            raise CommandError("the node's process is found beside a SQLite spool only; name it with --pid")
        if pid is None:
            raise CommandError(f"no node runs on the spool in {path.parent}")
    except CommandError as error:
        if must_run:
            raise
        return str(error)
    return _tell(pid)


def _tell(pid: int) -> str:
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise CommandError(f"no node runs: process {pid} is gone") from None
    except PermissionError:
        text = f"the node (process {pid}) belongs to another user; run `leak reload` as that user or as root"
        raise CommandError(text) from None
    return f"told the node (process {pid}) to reload; its log says what came of it"


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
