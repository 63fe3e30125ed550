"""`leak top`: the node at a glance, again and again: what leaves a second, the queue, what rests and why, alarms."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from relay.cli.context import Json, load, run_async
from relay.cli.output import UsageError, say, say_json

if TYPE_CHECKING:
    import curses
    import ssl

    from relay.cli.top_source import Source
    from relay.cli.top_view import View

KEY_LOOK: Final = 0.1
"""Seconds between two looks at the keyboard."""


def top(
    context: typer.Context,
    url: Annotated[str, typer.Option("--url", help="A node elsewhere, by its HTTP API; default: this machine's.")] = "",
    key_file: Annotated[Path | None, typer.Option("--key-file", help="File with the API key for --url, 0600.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="Trust this authority too, for --url.")] = None,
    every: Annotated[float, typer.Option("--every", min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print one screen and end; figures a second take two looks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Live view of the node: what leaves a second, the queue by domain, what rests, the pace learnt, alarms.

    q ends it. With --url the queue is that of the key's tenant, and alarms are told by kind.
    """
    from relay.cli.top_view import screen

    source = _source(context, url, key_file, ca_file)
    if as_json or once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        view = run_async(_one_view(source, min(every, 1.0)))
        if as_json:
            say_json(_plain(view))
        else:
            say("\n".join(screen(view, int(os.environ.get("COLUMNS") or shutil.get_terminal_size((120, 24)).columns))))
        return
    with suppress(KeyboardInterrupt):
        run_async(_live(source, every))


def _source(context: typer.Context, url: str, key_file: Path | None, ca_file: Path | None) -> Source:
    from relay.cli.top_source import LocalSource, RemoteSource

    if not url:
        if key_file or ca_file:
            raise UsageError("--key-file and --ca-file belong to --url")
        return LocalSource(load(context))
    if not url.startswith(("https://", "http://127.0.0.1", "http://[::1]", "http://localhost")):
        raise UsageError("--url: write https://…; http:// only to this machine, for the key could be read on the way")
    key = ""
    if key_file is not None:
        from relay.private_file import read_private_file

        key = read_private_file(key_file).decode("ascii", "replace").strip()
    return RemoteSource(url, key, _trust(ca_file))


def _trust(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    from relay.resolver.policy_host import https_context

    return https_context(ca_file)


async def _one_view(source: Source, seconds: float) -> View:
    try:
        view = await source.look()
        if view.sample is None:
            return view
        await asyncio.sleep(seconds)
        return await source.look()
    finally:
        await source.close()


async def _live(source: Source, every: float) -> None:
    """Draw until somebody presses q; whatever happens, the terminal is given back as it was."""
    import curses
    import locale

    locale.setlocale(locale.LC_ALL, "")
    window = curses.initscr()
    try:
        curses.noecho()
        curses.cbreak()
        window.nodelay(True)
        window.keypad(True)
        with suppress(curses.error):
            curses.curs_set(0)
        view: View | None = None
        while True:
            looking = asyncio.ensure_future(source.look())
            while not looking.done():
                await asyncio.wait({looking}, timeout=KEY_LOOK)
                if _pressed(window, view):
                    looking.cancel()
                    return
            view = looking.result()
            _draw(window, view)
            for _ in range(max(1, round(every / KEY_LOOK))):
                await asyncio.sleep(KEY_LOOK)
                if _pressed(window, view):
                    return
    finally:
        curses.nocbreak()
        window.keypad(False)
        curses.echo()
        curses.endwin()
        await source.close()


def _pressed(window: curses.window, view: View | None) -> bool:
    """Whether q was pressed; a new size of the terminal is drawn at once."""
    import curses

    key = window.getch()
    if key == curses.KEY_RESIZE and view is not None:
        _draw(window, view)
    return key in {ord("q"), ord("Q")}


def _draw(window: curses.window, view: View) -> None:
    import curses

    from relay.cli.top_view import screen

    height, width = window.getmaxyx()
    window.erase()
    for row, line in enumerate(screen(view, width - 1, height)):
        with suppress(curses.error):  # a terminal that just became smaller
            window.addstr(row, 0, line)
    window.refresh()


def _plain(view: View) -> dict[str, Any]:
    """The view as JSON shows it."""
    shown = asdict(view)
    del shown["sample"]
    sample = view.sample
    figures = (
        None if sample is None else {"sessions": sample.sessions, "in_hand": sample.in_hand, "totals": sample.counts}
    )
    return {**shown, "figures": figures}
