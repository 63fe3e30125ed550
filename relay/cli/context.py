"""What commands share: the configuration they were told to use, and the stores it names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from relay.cli.output import CommandError

if TYPE_CHECKING:
    from relay.opening import Stores
    from relay.settings import Settings

T = TypeVar("T")

DEFAULT_CONFIG: Final = Path("config/relay.toml")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def by(what: str) -> Any:
    """The option `--by`: who does `what` of that which the audit keeps. A name of blanks is none."""

    def named(value: str) -> str:
        if not value.strip():
            raise typer.BadParameter("name the person: the audit keeps who did it")
        return " ".join(value.split())

    return typer.Option("--by", help=what, callback=named)


def config_file(context: typer.Context) -> Path:
    """The configuration file: `--config`, then $LEAK_CONFIG, then config/relay.toml."""
    given = context.find_root().params.get("config")
    if given is not None:
        return Path(given)
    return Path(os.environ.get("LEAK_CONFIG") or DEFAULT_CONFIG)


def load(context: typer.Context) -> Settings:
    """The settings; ConfigurationError with every complaint."""
    from relay.settings import load_settings

    return load_settings(config_file(context))


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part."""
    return asyncio.run(work)


@asynccontextmanager
async def stores(settings: Settings, *, must_exist: bool = False) -> AsyncIterator[Stores]:
    """The spool and the accounts beside the running node, and no other mark left than what the command does.

    CommandError with `must_exist` when there is no spool yet. Raises what `open_stores` raises.
    """
    from relay.clock import SystemClock
    from relay.ids import SystemEntropy
    from relay.opening import open_stores

    path = settings.sqlite_path
    if must_exist and path is not None and not path.exists():
        raise CommandError(f"there is no spool at {path} yet; the node makes it at its first start (`leak run`)")
    opened = await open_stores(settings, SystemClock(), SystemEntropy())
    try:
        yield opened
    finally:
        await opened.close()
