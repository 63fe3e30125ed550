"""`leak lab`: relay, front and an outside world on loopback, in one process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from relay.cli.context import Json
from relay.cli.output import UsageError, say, say_json, warn
from relay.data_files import data_file

DEFAULT: Final = Path("config/lab.toml")
PLACE: Final = Path("leak-lab/config/lab.toml")


app = typer.Typer(invoke_without_command=True)

_LAUNCH: Final = "launch-2014"
SCENARIOS: Final = {
    _LAUNCH: "60,000 letters in 11 days, doubling daily, with those who abuse it; every letter accounted for"
}


@app.callback()
def lab(context: typer.Context) -> None:
    """Run the relay, the Leak front and the lab (DNS, mail hosts, inbox) on loopback until Ctrl-C.

    The configuration is --config, then $LEAK_CONFIG, then config/lab.toml; without any, leak-lab/ is made here.
    """
    if context.invoked_subcommand is not None:
        return
    from relay.cli.front import load_front
    from relay.lab_node import run_lab

    file = lab_config(context)
    be_custodian(file)
    raise typer.Exit(run_lab(file, load_front, print_now))


@app.command("list")
def scenarios(as_json: Json = False) -> None:
    """The scenarios that `leak lab scenario` plays."""
    if as_json:
        say_json([{"name": name, "about": about} for name, about in SCENARIOS.items()])
        return
    for name, about in SCENARIOS.items():
        say(f"{name}  {about}")


@app.command()
def scenario(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `leak lab list`.")],
    letters: Annotated[int, typer.Option(min=11, max=1_000_000, help="How many letters.")] = 60_000,
    minutes: Annotated[float, typer.Option(min=0.1, help="It fails if it takes longer.")] = 15,
    seed: Annotated[int, typer.Option(help="Another seed writes other letters.")] = 2014,
    as_json: Json = False,
) -> None:
    """Play a scenario against a node and a lab of its own on loopback; exit status 0 if all is as it should be."""
    if name not in SCENARIOS:
        raise UsageError(f"there is no scenario {name}; `leak lab list` names them")
    import asyncio
    import tempfile
    from importlib import import_module

    from relay import garbage
    from relay.cli.sealed import make_keys
    from relay.lab.launch.report import bars, document, table
    from relay.lab_launch import launch
    from relay.launch_node import LaunchPlan
    from relay.settings import settings_from
    from relay.worker import loop_factory

    with tempfile.TemporaryDirectory(prefix="leak-launch-") as folder:
        (Path(folder) / "sealed").mkdir()
        make_keys(Path(folder) / "sealed")
        plan = LaunchPlan(Path(folder), letters, minutes, seed)
        garbage.settle()
        with asyncio.Runner(loop_factory=loop_factory(settings_from({}, Path(folder)))) as runner:
            found = runner.run(launch(plan, import_module("web.accounting").accounts, warn))
    if as_json:
        say_json({**document(found.ledger, found.days, found.seconds, found.times), "faults": found.faults})
    else:
        say(f"\n{bars(found.days)}\n\n{table(found.ledger, found.seconds, found.times)}\n")
        say("\n".join(f"FAILED: {fault}" for fault in found.faults) or "passed: every letter is accounted for")
    if found.faults:
        raise typer.Exit(1)


def serve() -> int:
    """The process of a scenario's node: configuration and clock are its arguments."""
    import sys

    from relay.cli.front import load_front
    from relay.launch_node import serve as serve_replay

    return serve_replay(Path(sys.argv[1]), Path(sys.argv[2]), load_front)


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
