"""The command line's root: which commands there are, and how their failures end.

Each command imports what it needs when it runs, so that `leak --help` does not load the relay.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from relay.cli import (
    check,
    custody,
    database,
    dkim,
    dns,
    doctor,
    inbound,
    init,
    lab,
    letters,
    message,
    moderate,
    node,
    queue,
    read,
    report,
    requests,
    sealed,
    secrets,
    suppression,
    tls,
    top,
    user,
    webhook,
)
from relay.cli.ending import DONE, FAILED, told_status

app = typer.Typer(
    name="leak",
    help="A self-hosted mail relay and the Leak letter service.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from relay import __version__

        print(f"leak {__version__}")
        raise typer.Exit


@app.callback()
def root(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Configuration file, before or after the command; default $LEAK_CONFIG, then config/relay.toml.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """A self-hosted mail relay and the Leak letter service."""
    del config, version  # the one is read by relay.cli.context.config_file, the other ended the program


def send(words: Annotated[list[str] | None, typer.Argument(metavar="[OPTIONS] [RECIPIENT]...")] = None) -> None:
    """Send the message on standard input, as sendmail does; see `leak send --help`."""
    from relay.cli.send import main

    raise typer.Exit(main(words or []))


app.command()(node.run)
app.command()(node.reload)
app.add_typer(lab.app, name="lab")
app.command()(init.init)
app.command()(check.check)
app.command()(dns.dns)
app.command()(doctor.doctor)
app.add_typer(dkim.app, name="dkim")
app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})(send)
app.add_typer(queue.app, name="queue")
app.command()(top.top)
app.command()(message.message)
app.command()(read.read)
app.command()(moderate.moderate)
app.command()(database.migrate)
app.command()(database.backup)
app.command()(database.restore)
app.add_typer(letters.app, name="letters")
app.add_typer(inbound.app, name="inbound")
app.add_typer(secrets.app, name="secrets")
for name, command in (
    ("export", custody.export),
    ("verify", custody.verify),
    ("open", custody.open_record),
    ("import", custody.bring_back),
):
    sealed.app.command(name)(command)
app.add_typer(sealed.app, name="sealed")
app.command()(sealed.disclose)
app.add_typer(requests.app, name="requests")
app.add_typer(user.app, name="user")
app.add_typer(suppression.app, name="suppression")
app.add_typer(webhook.app, name="webhook")
app.command()(report.report)
app.command()(tls.tls)

_root = cache(partial(get_command, app))


def run(words: Sequence[str]) -> int:
    """Run one command line; the exit status. Complaints go to standard error, without a traceback."""
    return told_status(partial(_called, words))


def _called(words: Sequence[str]) -> int:
    try:
        _root().main(hoist_config(words), prog_name="leak")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    return DONE


def hoist_config(words: Sequence[str]) -> list[str]:
    """The words with `--config FILE` moved before the command, since it may stand on either side."""
    front: list[str] = []
    rest: list[str] = []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if word == "--":
            rest += [word, *remaining]
            break
        if word == "--config" and remaining:
            front = [word, remaining.pop(0)]
        elif word.startswith("--config="):
            front = [word]
        else:
            rest.append(word)
    return front + rest
