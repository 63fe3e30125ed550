"""`leak moderate`: what moderation says of letters, one a line, as the front would rule.

Needs no configuration and no node; only the rule packs, those beside the configuration if there are any. The front
is loaded by name, since the relay's packages know nothing of it.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

import typer

from relay.cli.context import Json, config_file


def moderate(context: typer.Context, as_json: Json = False) -> None:
    """Rule on letters, one a line on standard input: pass, nudge, hold, refuse or care, and by which rules."""
    moderator: Any = import_module("web.moderation.moderator").load_moderator(config_file(context).parent)
    for raw in sys.stdin.buffer:
        ruling = moderator.rule(raw.decode("utf-8", "replace").rstrip("\r\n"))
        rules = [rule.value for rule in ruling.rules]
        if as_json:
            spans = [{"start": one.start, "end": one.end, "rule": one.rule.value} for one in ruling.spans]
            print(json.dumps({"ruling": ruling.step.value, "rules": rules, "spans": spans}), flush=True)
        else:
            print(" ".join((ruling.step.value, *rules)), flush=True)
