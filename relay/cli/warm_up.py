"""`leak queue warm-up`: where each warm-up of a young source stands, and what its last day was."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import print_rows

if TYPE_CHECKING:
    from relay.settings import Settings
    from relay.shaping.contract import WarmUpView

_COLUMNS = ("domain", "source", "ip", "provider", "step", "ceiling", "used", "waits until", "last day")


def warm_up(context: typer.Context, as_json: Json = False) -> None:
    """Show each warm-up: its step, today's ceiling, what of it is used, and what the last day was and why."""
    views = run_async(_read(load(context)))
    rows = [plain(view) if as_json else _row(view) for view in views]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no source warms up, or none has sent yet")


async def _read(settings: Settings) -> list[WarmUpView]:
    async with stores(settings, must_exist=True) as opened:
        return await opened.warm_ups.views()


def _row(view: WarmUpView) -> dict[str, object]:
    key = view.key
    return {
        "domain": key.domain or "(unsigned)",
        "source": key.source,
        "ip": f"v{key.version}",
        "provider": key.provider,
        "step": view.step if view.ceiling else "warm",
        "ceiling": view.ceiling or "none",
        "used": view.used,
        "waits until": f"{view.waits_until:%m-%d %H:%M}" if view.waits_until else "",
        "last day": f"{view.mark}: {view.why}" if view.mark else "",
    }


def plain(view: WarmUpView) -> dict[str, Any]:
    """A warm-up as JSON shows it."""
    shown = {**asdict(view), **view.key._asdict()}
    del shown["key"], shown["row"]
    return shown
