"""The command `leak` as tests run it: in this process, or as a program of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.cli import main

PROGRAM = "import sys; from relay.cli import main; sys.exit(main())"
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def leak(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Ran:
    """Run a command in this process."""
    capsys.readouterr()
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return Ran(status, out, err)


async def leak_program(*words: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command as a program, with `environment` beside the usual variables."""
    return await program(sys.executable, "-c", PROGRAM, *words, given=stdin, environment=environment)


async def program(*command: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> Ran:
    """Run any program in the repository's folder; `given` is its standard input.

    A file and no pipe: a program that ends before it has read all would break the pipe, and the test with it.
    """
    with tempfile.TemporaryFile() as file:
        file.write(given)
        file.seek(0)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
        )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ran(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
