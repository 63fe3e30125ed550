"""`leak migrate`, `leak backup` and `leak restore`: the spool's database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, Yes, load, run_async, stores
from relay.cli.output import confirm, fail, say, say_json

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
    file: Annotated[Path, typer.Argument(help="Where the backup goes; must not exist.")],
    as_json: Json = False,
) -> None:
    """Copy the spool's database while the node works: whole, of one moment, verified.

    It holds messages, addresses, users' hashed secrets and letters: keep it as safe as the spool. DKIM keys and
    the node's secrets are files of their own and are not in it.
    """
    from relay.database.backup import backup as copy
    from relay.units import format_size

    size = copy(sqlite_file(load(context)), file, show_progress)
    if as_json:
        say_json({"file": str(file), "octets": size})
    else:
        say(f"{file}: {format_size(size)}, checked")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A backup made by `leak backup`.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the spool's place; the node must be stopped. What was there is kept beside it.

    Messages accepted after the backup are missing from it, and what was delivered after it is delivered again.
    """
    from relay.database.backup import restore as put
    from relay.supervisor import NodeLock

    settings = load(context)
    target = sqlite_file(settings)
    confirm(f"The spool {target} would be replaced by {file}. Go on?", yes=yes)
    with NodeLock(settings):
        aside = put(file, target, show_progress)
    if as_json:
        say_json({"spool": str(target), "kept": str(aside) if aside else None})
    else:
        say(f"restored to {target}" + (f"; what was there is {aside}" if aside else ""))


def sqlite_file(settings: Settings) -> Path:
    """The spool's file; fails for a spool that is none."""
    path = settings.sqlite_path
    if path is None:
        fail("the spool is not SQLite; back PostgreSQL up with its own tools")
    return path


def show_progress(done: int, total: int) -> None:
    """Percent on a terminal; nothing in a pipe."""
    if sys.stderr.isatty() and total:
        end = "\n" if done >= total else ""
        print(f"\r{100 * done // total:3} % of {total} pages", end=end, file=sys.stderr, flush=True)
