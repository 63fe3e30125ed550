"""`leak lab`: relay, front and an outside world on loopback, in one process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import typer

from relay.data_files import data_file

DEFAULT: Final = Path("config/lab.toml")
PLACE: Final = Path("leak-lab/config/lab.toml")


def lab(context: typer.Context) -> None:
    """Run the relay, the Leak front and the lab (DNS, mail hosts, inbox) on loopback until Ctrl-C.

    The configuration is --config, then $LEAK_CONFIG, then config/lab.toml; without any, leak-lab/ is made here.
    """
    from relay.cli.front import load_front
    from relay.lab_node import run_lab

    file = lab_config(context)
    be_custodian(file)
    raise typer.Exit(run_lab(file, load_front, print_now))


def be_custodian(file: Path) -> None:
    """Make the keys of the sealed records: outside a lab their private halves are never on the same machine."""
    from relay.cli.sealed import make_keys
    from relay.settings import load_settings

    settings = load_settings(file)
    public = settings.path(settings.web.sealed_keys)
    if public.name == "public":
        public.parent.mkdir(parents=True, exist_ok=True)
        make_keys(public.parent)


def lab_config(context: typer.Context) -> Path:
    """The lab's configuration file, copied from the one that was installed with us if there is none here."""
    given = context.find_root().params.get("config") or os.environ.get("LEAK_CONFIG")
    if given:
        return Path(given)
    if DEFAULT.exists():
        return DEFAULT
    if not PLACE.exists():
        shipped = data_file("lab.toml")
        PLACE.parent.mkdir(parents=True, exist_ok=True)
        PLACE.write_bytes(shipped.read_bytes())
    return PLACE


def print_now(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)
