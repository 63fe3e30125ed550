"""`leak read FILE…`: what a report, complaint or bounce means, told from the file alone.

Needs no configuration and no node; only the rules, those beside the configuration if there are any. What it says is
what the inbound door would understand of the same message.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from relay.cli.context import Json, config_file
from relay.cli.output import CommandError, UsageError, say, warn

if TYPE_CHECKING:
    from relay.report.classifier import Classifier
    from relay.report.result import Reading, Recipient

_ENVELOPE_LINE = re.compile(rb"(?:\A|\n\r?\n)From [^\r\n]{1,500}\r?\n(?=[!-9;-~]{1,100}:|>?From )")
_SINGLE: Final = frozenset({".eml", ".txt", ".msg", ".mime"})
STANDARD_INPUT: Final = "-"


def read(
    context: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Messages, mbox files or folders; - is standard input.")
    ],
    as_json: Json = False,
) -> None:
    """Say what reports, complaints and bounces mean: kind, recipients, status, reason and the rule that decided."""
    from relay.report.classifier import Classifier
    from relay.report.reading import read_report
    from relay.report.rules import FILE, load_rules

    classifier: Classifier = Classifier(load_rules(config_file(context).parent / FILE))
    broken = 0
    for name in files:
        for shown, content in _contents(name):
            if content is None:
                broken += 1
                continue
            messages = split_mbox(shown, content)
            for number, raw in enumerate(messages, 1):
                reading = read_report(raw, classifier)
                place = f"{shown} ({number})" if len(messages) > 1 else shown
                if as_json:
                    print(json.dumps(as_plain(reading, shown, number if len(messages) > 1 else None)))
                else:
                    _tell(reading, place)
    if broken:
        raise CommandError(f"{broken} of the files could not be read")


def _contents(name: str) -> Iterator[tuple[str, bytes | None]]:
    """The files `name` stands for, in order, with their octets; None for one that cannot be read."""
    if name == STANDARD_INPUT:
        yield name, sys.stdin.buffer.read()
        return
    path = Path(name)
    if not path.exists():
        raise UsageError(f"{name}: there is no such file or folder")
    for file in _walk(path) if path.is_dir() else (path,):
        try:
            yield str(file), file.read_bytes()
        except OSError as error:
            warn(f"leak: {file}: {error.strerror or error}")
            yield str(file), None


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder by name; hidden ones are passed over, links to folders not followed."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)
        elif entry.is_file():
            yield entry


def split_mbox(name: str, content: bytes) -> list[bytes]:
    """The messages in a file: several if it begins as an mbox does and is not named as a single message."""
    if not content.startswith(b"From ") or Path(name).suffix.lower() in _SINGLE:
        return [content]
    starts = [match.start() if match.start() == 0 else match.end() for match in _ENVELOPE_LINE.finditer(content)]
    if len(starts) < 2:
        return [content]
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def as_plain(reading: Reading, file: str, number: int | None = None) -> dict[str, Any]:
    """The reading as one line of JSON tells it; `number` counts the messages of an mbox."""
    place: dict[str, Any] = {"file": file} if number is None else {"file": file, "message": number}
    return {
        **place,
        "kind": reading.kind.value,
        "recipients": [
            {
                "address": one.address,
                "action": one.action.value,
                "status": one.status,
                "reason": one.reason,
                "permanent": one.permanent,
                "rule": one.rule,
            }
            for one in reading.recipients
        ],
    }


def _tell(reading: Reading, place: str) -> None:
    say(f"{place}: {reading.kind.value}{f' ({reading.detail})' if reading.detail else ''}")
    for one in reading.recipients:
        say(f"  {_line(one)}")
        if one.diagnostic:
            say(f"    {one.diagnostic[:300]}")


def _line(one: Recipient) -> str:
    facts = [one.action.value, one.status, one.reason, "permanent" if one.permanent else "may pass"]
    told = ", ".join(fact for fact in facts if fact)
    return f"{one.address}: {told}" + (f" [rule {one.rule}]" if one.rule else "")
