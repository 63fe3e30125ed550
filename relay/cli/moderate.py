"""`leak moderate`: what moderation says of letters, one a line, as the front would rule.

Needs no configuration and no node; only the rule packs, those beside the configuration if there are any. The front
is loaded by name, since the relay's packages know nothing of it.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from relay.cli.context import Json, config_file


def moderate(
    context: typer.Context,
    as_json: Json = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Print how often rulings are right, on letters held out; read no letters.")
    ] = False,
    corpus: Annotated[
        Path | None, typer.Option(help="With --figures: measure on the letters of this folder instead.")
    ] = None,
) -> None:
    """Rule on letters, one a line on standard input: pass, nudge, hold, refuse or care, and by which rules."""
    if figures or corpus is not None:
        _print_figures(context, as_json, corpus)
        return
    moderator: Any = import_module("web.moderation.moderator").load_moderator(config_file(context).parent)
    for raw in sys.stdin.buffer:
        ruling = moderator.rule(raw.decode("utf-8", "replace").rstrip("\r\n"))
        rules = [rule.value for rule in ruling.rules]
        if as_json:
            spans = [{"start": one.start, "end": one.end, "rule": one.rule.value} for one in ruling.spans]
            print(json.dumps({"ruling": ruling.step.value, "rules": rules, "spans": spans}), flush=True)
        else:
            print(" ".join((ruling.step.value, *rules)), flush=True)


def _print_figures(context: typer.Context, as_json: bool, corpus: Path | None) -> None:
    measuring: Any = import_module("web.moderation.figures")
    if corpus is None:
        told = measuring.published_figures()
    else:
        moderator = import_module("web.moderation.moderator").load_moderator(config_file(context).parent)
        lines = import_module("web.moderation.corpus").read_corpus(corpus)
        told = {"measured": measuring.measure(moderator, lines)}
    print(json.dumps(told, indent=1) if as_json else measuring.told_as_text(told))
