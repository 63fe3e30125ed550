"""`leak secrets`: the keys of the node that can be replaced while it works."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.context import load
from relay.cli.output import UsageError, say

app = typer.Typer(no_args_is_help=True, help="Secret keys of the node: rotate.")


@app.command("rotate")
def rotate_command(
    context: typer.Context,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Make the next key and only verify with it; then copy it to all nodes.")
    ] = False,
    key: Annotated[str, typer.Option("--key", help="return-token or link.")] = "return-token",
) -> None:
    """Let a new key sign return tokens, or links in letters; what the old one signed stays good."""
    from relay.clock import SystemClock
    from relay.ids import SystemEntropy
    from relay.node_secrets import RINGS, ensure_secrets, rotate_token_key

    if key not in RINGS:
        raise UsageError(f"--key: {key} is none of {', '.join(RINGS)}")
    settings = load(context)
    folder = settings.path(settings.node.secrets)
    ensure_secrets(folder, SystemEntropy())
    rotate_token_key(folder, SystemEntropy(), SystemClock().now().date(), only_prepare=prepare, ring=key)
    if prepare:
        say(f"the next key is in {folder / key}: copy the file to every node, restart them, then rotate")
    else:
        say(f"a new key signs, from {folder / key}, after the node's next start")
