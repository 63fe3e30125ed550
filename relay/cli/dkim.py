"""`leak dkim`: signing keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, load
from relay.cli.dkim_rotation import retire_command, rotate_command
from relay.cli.output import UsageError, fail, print_rows, say, say_json, warn

if TYPE_CHECKING:
    from relay.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Signing keys: list them, make one, rotate and retire them.")
app.command("rotate")(rotate_command)
app.command("retire")(retire_command)


@app.command("list")
def list_command(context: typer.Context, as_json: Json = False) -> None:
    """List the key files and the keys the configuration names, with what is wrong."""
    from relay.signing.keys import describe_key, key_path, list_keys

    settings = load(context)
    folder = settings.path(settings.signing.keys)
    used = _uses(settings)
    found = {(key.domain, key.selector): key for key in list_keys(folder)}
    for domain, selector in sorted(used.keys() - found.keys()):
        found[domain, selector] = describe_key(key_path(folder, domain, selector))
    rows = [
        {
            "domain": key.domain,
            "selector": key.selector,
            "type": key.type,
            "bits": key.bits or None,
            "used": used.get((key.domain, key.selector)) == "signs",
            "use": used.get((key.domain, key.selector), "not used"),
            "record": key.record,
            "problem": key.problem,
            "file": str(key.path),
        }
        for _, key in sorted(found.items())
    ]
    if as_json:
        say_json(rows)
        return
    columns = ("domain", "selector", "type", "bits", "use", "problem")
    print_rows(rows, columns, as_json=False, empty=f"no keys in {folder}; make one with `leak dkim new`")


@app.command("new")
def new_command(
    context: typer.Context,
    domain: Annotated[str, typer.Argument(help="The From domain the key signs for.")],
    selector: Annotated[str, typer.Argument(help="Its name in the DNS, as in s2026a.")],
    kind: Annotated[str, typer.Option("--type", help="rsa (2048 bits) or ed25519.")] = "rsa",
    as_json: Json = False,
) -> None:
    """Make one key, and its folder if need be, and print the record to publish. Never overwrites."""
    from relay.signing.keys import KeyFileError, KeyType, load_key, make_key, public_record, record_name, zone_text
    from relay.signing.rotation import match_owner

    if kind not in set(KeyType):
        raise UsageError(f"{kind!r} is no type of key; write rsa or ed25519")
    settings = load(context)
    folder = settings.path(settings.signing.keys)
    try:
        path = make_key(folder, domain, selector, KeyType(kind))
        match_owner(path)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except KeyFileError as error:
        fail(str(error))
    name, record = record_name(path.parent.name, selector), public_record(load_key(path))
    if as_json:
        say_json({"file": str(path), "name": name, "type": "TXT", "value": record})
        return
    say(f"made {path}")
    say("publish this record, then name the selector in [[signing.domain]] and run `leak reload`:")
    say(f"{name}. 3600 IN TXT {zone_text(record)}")


def _uses(settings: Settings) -> dict[tuple[str, str], str]:
    """What each key that a configured domain knows of is for: it signs, is coming, or is old."""
    from relay.signing.keys import KeyFileError
    from relay.signing.rotation import Rotation, read_rotation

    uses: dict[tuple[str, str], str] = {}
    for entry in settings.signing.domain:
        try:
            rotation = read_rotation(settings.path(settings.signing.keys), entry.domain, entry.selectors)
        except KeyFileError as error:
            warn(str(error))
            rotation = Rotation(entry.selectors, entry.selectors)
        uses |= {(entry.domain, selector): "old" for old in rotation.old for selector in old.selectors}
        uses |= {(entry.domain, selector): "coming" for selector in rotation.coming}
        uses |= {(entry.domain, selector): "signs" for selector in rotation.signing}
    return uses


def make_missing(folder: Path, domain: str, selector: str) -> tuple[Path, bool]:
    """The key of a selector, made if it is not there (Ed25519 when the selector begins with e), and whether it was."""
    from relay.signing.keys import KeyType, key_path, make_key

    path = key_path(folder, domain, selector)
    if path.exists():
        return path, False
    return make_key(folder, domain, selector, KeyType.ED25519 if selector.startswith("e") else KeyType.RSA), True
