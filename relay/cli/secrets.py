"""`leak secrets`: the keys of the node that can be replaced while it works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relay.cli.context import load
from relay.cli.output import CommandError, UsageError, say

app = typer.Typer(no_args_is_help=True, help="Secret keys of the node: rotate.")


@app.command("new-backup-key")
def new_backup_key(
    folder: Annotated[Path, typer.Argument(help="Where backup.key and backup.pub go: not on the server.")],
) -> None:
    """Make the pair of keys for `leak backup --all`: the server gets backup.pub and cannot open what it made."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    from relay.private_file import make_private_folder, write_private_file

    private = X25519PrivateKey.generate()
    make_private_folder(folder)
    try:
        write_private_file(
            folder / "backup.key", private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    except FileExistsError:
        raise CommandError(f"{folder / 'backup.key'} exists and is kept") from None
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "backup.pub").write_bytes(public)
    say(f"copy {folder / 'backup.pub'} to the server; keep {folder / 'backup.key'} apart from it, twice")


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
