"""`leak migrate`, `leak backup` and `leak restore`: the spool's database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, Yes, config_file, load, run_async, stores
from relay.cli.output import UsageError, confirm, fail, say, say_json, warn

if TYPE_CHECKING:
    from relay.settings import Settings


def migrate(context: typer.Context, as_json: Json = False) -> None:
    """Bring the database's schema up to this program's. `leak run` does it too, in an empty or an older database."""

    async def work(settings: Settings) -> list[str]:
        async with stores(settings) as opened:
            return await opened.database.read(_applied)

    applied = run_async(work(load(context)))
    if as_json:
        say_json({"migrations": applied})
    else:
        say(f"the schema is up to date: {', '.join(applied)}")


def _applied(connection: object) -> list[str]:
    from typing import cast

    from relay.database.contract import Connection

    rows = cast("Connection", connection).execute(
        "SELECT component, name FROM schema_migration ORDER BY component, number"
    )
    return [f"{component}/{name}" for component, name in rows]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where the backup goes; must not exist, or be a folder.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Database, configuration, keys and secrets, encrypted in one file.")
    ] = False,
    recipient: Annotated[
        Path | None, typer.Option("--recipient-file", help="With --all: the public key it is encrypted to.")
    ] = None,
    passphrase: Annotated[
        Path | None, typer.Option("--passphrase-file", help="With --all: the passphrase it is encrypted with.")
    ] = None,
    keep: Annotated[int, typer.Option(min=0, help="With --all into a folder: delete all but so many of them.")] = 0,
    as_json: Json = False,
) -> None:
    """Copy the spool's database while the node works: whole, of one moment, verified. With --all, the whole node.

    The plain copy holds messages, addresses, users' hashed secrets and letters: keep it as safe as the spool. DKIM keys
    and the node's secrets are files of their own and are in it with --all only.
    """
    from relay.cli.archive import back_up_everything
    from relay.database.backup import backup as copy
    from relay.units import format_size

    if everything:
        back_up_everything(config_file(context), file, recipient, passphrase, keep=keep, as_json=as_json)
        return
    if recipient is not None or passphrase is not None or keep:
        raise UsageError("--recipient-file, --passphrase-file and --keep belong to --all")
    size = copy(sqlite_file(load(context)), file, show_progress)
    if as_json:
        say_json({"file": str(file), "octets": size})
    else:
        say(f"{file}: {format_size(size)}, checked")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A backup made by `leak backup`.")],
    folder: Annotated[
        Path | None, typer.Option(help="Of a backup made with --all: the folder of the new configuration.")
    ] = None,
    host_name: Annotated[str, typer.Option("--hostname", help="With --folder: the new host's name.")] = "",
    spool: Annotated[str, typer.Option(help="With --folder: URL of the new spool, empty yet.")] = "",
    key: Annotated[Path | None, typer.Option(help="The private half of the key it is encrypted to.")] = None,
    passphrase: Annotated[
        Path | None, typer.Option("--passphrase-file", help="The passphrase it is encrypted with.")
    ] = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Open and examine a backup made with --all; put nothing anywhere.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the spool's place; the node must be stopped. What was there is kept beside it.

    With --folder, make a node from a backup of everything: nothing is overwritten. Messages accepted after the backup
    are missing from it, and what was delivered after it is delivered again; what people refused since is carried over.
    """
    from relay.cli.archive import check_everything, restore_everything
    from relay.database.backup import restore as put
    from relay.node_lock import NodeLock

    if only_check:
        check_everything(file, key, passphrase, as_json=as_json)
        return
    if folder is not None:
        restore_everything(file, (key, passphrase), (folder, host_name, spool), as_json=as_json)
        return
    if host_name or spool or key is not None or passphrase is not None:
        raise UsageError("--hostname, --spool, --key and --passphrase-file belong to --folder or --check")
    settings = load(context)
    target = sqlite_file(settings)
    confirm(f"The spool {target} would be replaced by {file}. Go on?", yes=yes)
    with NodeLock(settings):
        aside = put(file, target, show_progress)
        refusals = _carried(settings, aside) if aside else 0
    if as_json:
        say_json({"spool": str(target), "kept": str(aside) if aside else None, "refusals": refusals})
        return
    say(f"restored to {target}" + (f"; what was there is {aside}" if aside else ""))
    if refusals:
        say(f"carried over what people refused since: {refusals}")
    if aside:
        say(f"{aside.name} holds what was erased since: delete it, and what lies beside it, when it is not needed")


def _carried(settings: Settings, aside: Path) -> int | None:
    """How many refusals made since the backup were carried over; None, with a warning, if they could not be read."""
    from relay.cli.suppression import carry_over
    from relay.errors import LeakError

    try:
        return run_async(carry_over(settings, aside))
    except LeakError as error:
        warn(f"warning: {error}")
        warn(f"warning: what people refused since the backup is lost, unless `leak suppression carry {aside}` works")
        return None


def sqlite_file(settings: Settings) -> Path:
    """The spool's file; fails for a spool that is none."""
    path = settings.sqlite_path
    if path is None:
        fail("the spool is not SQLite: `leak backup --all`, or PostgreSQL's own tools (docs/postgresql.md)")
    return path


def show_progress(done: int, total: int) -> None:
    """Percent on a terminal; nothing in a pipe."""
    if sys.stderr.isatty() and total:
        end = "\n" if done >= total else ""
        print(f"\r{100 * done // total:3} % of {total} pages", end=end, file=sys.stderr, flush=True)
