"""The command `leak`: thin commands over the packages; each imports what it needs when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 wrong usage or configuration.

    `leak --version`, `leak send` and `leak run --config FILE`, which every worker is, start without loading the rest;
    called as `sendmail`, it is `leak send`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None and sys.argv[0].rpartition("/")[2] == "sendmail":
        words.insert(0, "send")
    if words == ["--version"]:
        from relay import __version__

        print(f"leak {__version__}")
        return 0
    if arguments is None:
        from relay.core_dumps import leave_no_core

        leave_no_core()
    rest = _after_config(words)
    if rest[:1] == ["send"]:
        from relay.cli.send import main as send

        return send(rest[1:])
    node = _node_of(words)
    if node is not None:
        return _run_node(node)
    from relay.cli.app import run

    return run(words)


def _after_config(words: list[str]) -> list[str]:
    """The words without a leading `--config FILE`, which sending has no use for."""
    if words[:1] == ["--config"]:
        return words[2:]
    return words[1:] if words and words[0].startswith("--config=") else words


def _node_of(words: Sequence[str]) -> str | None:
    """The file that `words` say to run a node with and nothing else; None for any other words."""
    match words:
        case ["run", "--config", file] | ["--config", file, "run"]:
            return file
        case ["run", word] | [word, "run"] if word.startswith("--config="):
            return word.partition("=")[2]
        case _:
            return None


def _run_node(file: str) -> int:
    from relay.garbage import keeping_all

    with keeping_all():
        from pathlib import Path

        from relay.cli.ending import told_status
        from relay.cli.front import load_front
        from relay.supervisor import run

    try:
        return told_status(lambda: run(Path(file), load_front))
    except KeyboardInterrupt:
        return 130  # as from a shell, and as every other command; once it runs, the node itself ends at SIGINT
