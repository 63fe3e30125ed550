"""`leak doctor`: what keeps this host's mail from arriving, with what was seen and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import CommandError, UsageError, say, say_json, warn

if TYPE_CHECKING:
    from relay.doctor.examining import Check
    from relay.doctor.finding import Finding, Severity
    from relay.doctor.subject import Spool
    from relay.settings import Settings

ERRORS: Final = 1
WARNINGS: Final = 4


def doctor(
    context: typer.Context,
    as_json: Json = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="<check>", help="Only this check, as in ptr or spf; may be repeated.")
    ] = None,
    seeds: Annotated[
        bool,
        typer.Option("--seeds", help="Inbox or junk: send a letter to each [[doctor.seeds]], and see where it is."),
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="With --seeds: what was seen before; send nothing.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="With --seeds: draw the history into this SVG file.")
    ] = None,
) -> None:
    """Look for what keeps mail from arriving, and say what to do.

    Exit status 1 with errors, 4 with warnings or things that could not be found out, 0 otherwise.
    """
    if seeds:
        if only:
            raise UsageError("--seeds looks at mailboxes, --only at checks: use one of them")
        _try_seeds(load(context), as_json=as_json, send=not history, plot=plot)
        return
    if history or plot is not None:
        raise UsageError("--history and --plot belong to --seeds")
    from relay.doctor.examining import CHECKS
    from relay.doctor.finding import worst

    settings = load(context)
    checks = [check for check in CHECKS if not only or check.name in only]
    if strange := sorted(set(only or ()) - {check.name for check in CHECKS}):
        names = ", ".join(check.name for check in CHECKS)
        raise UsageError(f"{', '.join(strange)}: no such check; there are {names}")
    seconds = settings.doctor.timeout.total_seconds()
    warn(f"looking at {len(checks)} things, {seconds:.0f} s at most")
    findings = run_async(_examine(settings, checks, _progress if as_json else _tell))
    if as_json:
        say_json({"worst": worst(findings), "findings": [finding.as_json() for finding in findings]})
    else:
        say(_summary(findings))
    _end(worst(findings))


def _try_seeds(settings: Settings, *, as_json: bool, send: bool, plot: Path | None) -> None:
    from relay.cli.seeds import plain, say_history, seed_findings
    from relay.clock import SystemClock
    from relay.doctor.finding import worst
    from relay.doctor.seed_chart import chart

    told = (lambda finding: warn(f"looked into {finding.subject}")) if as_json else _tell_one
    findings, letters, history = run_async(seed_findings(settings, send=send, told=told))
    if plot is not None:
        plot.write_text(chart(history, SystemClock().now()), encoding="utf-8")
    if as_json:
        told_letters = {"letters": [plain(one) for one in letters], "history": [plain(one) for one in history]}
        say_json({"worst": worst(findings), "findings": [one.as_json() for one in findings], **told_letters})
    else:
        say_history(history)
    _end(worst(findings))


def _end(severity: Severity) -> None:
    """The exit status."""
    from relay.doctor.finding import Severity

    match severity:
        case Severity.ERROR:
            raise typer.Exit(ERRORS)
        case Severity.WARNING | Severity.UNKNOWN:
            raise typer.Exit(WARNINGS)
        case Severity.OK | Severity.NOTE:
            pass


async def _examine(
    settings: Settings, checks: Sequence[Check], told: Callable[[Check, Sequence[Finding]], None]
) -> list[Finding]:
    from relay.checkup import examined, means
    from relay.clock import SystemClock
    from relay.doctor.examining import examine
    from relay.errors import LeakError

    async def look(spool: Spool) -> list[Finding]:
        async with means(settings, SystemClock()) as how:
            what = await examined(settings, how.resolver, spool)
            return await examine(how, what, settings.doctor.timeout.total_seconds(), told, checks)

    from relay.checkup import spool_of

    try:
        async with stores(settings, must_exist=True) as opened:
            return await look(spool_of(settings, opened.database))
    except (CommandError, LeakError) as error:
        return await look(_closed_spool(settings, str(error)))


def _closed_spool(settings: Settings, why: str) -> Spool:
    """What can be said of a spool that does not open."""
    from relay.doctor.subject import Spool
    from relay.errors import SpoolUnavailableError

    async def version() -> str:
        raise SpoolUnavailableError(why)

    path = settings.sqlite_path
    return Spool(path.parent if path else None, settings.spool.minimum_free, None, version)


def _progress(check: Check, findings: Sequence[Finding]) -> None:
    warn(f"looked at {check.title}")


def _tell(check: Check, findings: Sequence[Finding]) -> None:
    """The findings of a check as it ends."""
    for finding in findings:
        _tell_one(finding)


def _tell_one(finding: Finding) -> None:
    about = "" if finding.subject in finding.evidence else f"{finding.subject}: "
    say(f"{finding.severity:<8} {finding.id:<12} {about}{finding.evidence}")
    if finding.remedy:
        say(f"{'':<8} {'':<12} -> {finding.remedy}")


def _summary(findings: Sequence[Finding]) -> str:
    from relay.doctor.finding import Severity

    counts = Counter(finding.severity for finding in findings)
    return ", ".join(f"{counts[severity]} {severity}" for severity in reversed(Severity) if counts[severity])
