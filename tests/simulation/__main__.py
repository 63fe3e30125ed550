"""`python -m tests.simulation`: seeds, providers and scenarios from the command line; see docs/simulation.md.

Exit status 0: every invariant held; 1: one did not; 2: the command cannot be understood.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.simulation import chart
from tests.simulation.draws import many_draws
from tests.simulation.measure import STEADY_MINUTES, MeasureOptions, learning_minutes, measure
from tests.simulation.options import draw
from tests.simulation.provider import ProviderFileError, random_providers, read_providers
from tests.simulation.scenarios import SCENARIOS, play
from tests.simulation.world import Result, run_options, run_seed

_TOLD: Final = 500
"""Seeds after which a line says how far it is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit status."""
    options = _parser().parse_args(arguments)
    if options.seeds is not None:
        return _many(options)
    if options.draw is not None:
        shown = many_draws(range(options.seed, options.seed + options.draw), wide=options.wide)
        _print(shown, options.json)
        return 0
    if options.scenario is not None:
        return _scenario(options)
    if options.faults:
        return _one(options)
    return _providers(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The engine in simulated time.")
    parser.add_argument("--seed", type=int, default=1, help="the seed that decides everything (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw a chart of the run")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE.txt", help="with --faults: write the whole history of the seed"
    )
    parser.add_argument("--processes", type=int, metavar="N", help="with --seeds: so many at once (default: all cores)")
    parser.add_argument("--wide", action="store_true", help="with --draw: 2 to 6,000 a minute, windows of 1 s to 1 h")
    parser.add_argument("--workers", type=int, metavar="N", help="workers of the node (default 1, or the scenario's)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--faults", action="store_true", help="run one seed with all kinds of faults")
    what.add_argument("--seeds", type=int, metavar="N", help="run N seeds with faults, from --seed on")
    what.add_argument("--draw", type=int, metavar="N", help="the pace alone against N providers drawn from --seed on")
    what.add_argument("--scenario", choices=sorted(SCENARIOS), help="run a scenario")
    what.add_argument("--providers", type=Path, metavar="FILE.toml", help="measure against these providers")
    parser.add_argument("--minutes", type=float, help="simulated minutes of a measurement (default: learning and 80)")
    parser.add_argument(
        "--learning", type=float, metavar="MINUTES", help="minutes that do not count (default: see docs/simulation.md)"
    )
    parser.add_argument("--messages", type=int, metavar="N", help="letters of a scenario")
    return parser


def _providers(options: argparse.Namespace) -> int:
    try:
        rules = read_providers(options.providers) if options.providers else None
    except ProviderFileError as error:
        print(error, file=sys.stderr)
        return 2
    rules = rules or random_providers(Random(f"providers/{options.seed}"), 20)
    learning = options.learning
    if learning is None:
        learning = learning_minutes(rules) if options.minutes is None else options.minutes / 3
    minutes = learning + STEADY_MINUTES if options.minutes is None else options.minutes
    if not 0 <= learning < minutes:
        print("--learning is at least 0 and less than --minutes", file=sys.stderr)
        return 2
    measured = measure(MeasureOptions(options.seed, rules, minutes, learning, options.workers or 1))
    if options.plot is not None:
        chart.write(options.plot, f"{len(rules)} providers, seed {options.seed}", measured.panels)
    _print(measured.shown, options.json)
    return 0 if measured.ok else 1


def _one(options: argparse.Namespace) -> int:
    drawn = draw(options.seed)
    result = run_options(drawn, None) if options.trace else run_options(drawn)
    if options.trace:
        options.trace.write_text("".join(f"{line}\n" for line in result.lines), encoding="utf-8")
    _print(result.shown(), options.json)
    return 0 if result.ok else 1


def _scenario(options: argparse.Namespace) -> int:
    story = play(options.scenario, options.seed, options.messages, options.workers)
    if options.plot is not None:
        chart.write(options.plot, f"{story.title}: {story.figures['messages']:,} letters", story.panels, story.spans)
    _print(story.figures, options.json)
    return 0 if story.ok else 1


def _many(options: argparse.Namespace) -> int:
    """Run seeds on some cores; each failing one is printed with all its options, and the sums at the end."""
    sums: Counter[str] = Counter()
    failed: list[int] = []
    for result in run_seeds(range(options.seed, options.seed + options.seeds), options.processes):
        sums.update({"seeds": 1, "accepted": result.accepted, "attempts": result.attempts, "lost": result.lost})
        sums.update({f"duplicates_{reason}": count for reason, count in result.duplicates.items()})
        sums.update({"late_results": result.late, "simulated_seconds": round(result.simulated_seconds)})
        sums.update(result.states)
        if not result.ok:
            failed.append(result.options.seed)
            _print(result.shown(), options.json)
        if sums["seeds"] % _TOLD == 0:
            print(f"{sums['seeds']} of {options.seeds} seeds, {len(failed)} failed", file=sys.stderr, flush=True)
    _print({**sums, "failed": failed}, options.json)
    return 1 if failed else 0


def run_seeds(seeds: Iterable[int], processes: int | None = None) -> Iterable[Result]:
    """The results of seeds, in order, worked out by so many processes: None is one a core."""
    with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
        yield from pool.map(run_seed, seeds, chunksize=4)


def _print(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(shown, ensure_ascii=False), flush=True)
        return
    for name, value in shown.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print(f"{name}:")
            for one in value:
                print("  " + "  ".join(f"{key}={each}" for key, each in one.items()))
        elif name == "last_lines":
            print("last_lines:", *value, sep="\n  ")
        elif name == "options":
            _print_options(value)
        else:
            print(f"{name}: {value}")
    sys.stdout.flush()


def _print_options(options: dict[str, Any]) -> None:
    print("options: " + "  ".join(f"{name}={value}" for name, value in options.items() if name != "faults"))
    for fault in options["faults"]:
        print("  fault " + "  ".join(f"{name}={value}" for name, value in fault.items()))


if __name__ == "__main__":
    sys.exit(main())
