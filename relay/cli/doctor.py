"""`leak doctor`: what keeps this host's mail from arriving, with what was seen and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import CommandError, UsageError, say, say_json, warn

if TYPE_CHECKING:
    from relay.doctor.examining import Check
    from relay.doctor.finding import Finding
    from relay.doctor.subject import Spool
    from relay.settings import Settings

ERRORS: Final = 1
WARNINGS: Final = 4


def doctor(
    context: typer.Context,
    as_json: Json = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this check, as in ptr or spf; may be repeated.")] = None,
) -> None:
    """Look for what keeps mail from arriving, and say what to do.

    Exit status 1 with errors, 4 with warnings or things that could not be found out, 0 otherwise.
    """
    from relay.doctor.examining import CHECKS
    from relay.doctor.finding import Severity, worst

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
    match worst(findings):
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
        about = "" if finding.subject in finding.evidence else f"{finding.subject}: "
        say(f"{finding.severity:<8} {finding.id:<12} {about}{finding.evidence}")
        if finding.remedy:
            say(f"{'':<8} {'':<12} -> {finding.remedy}")


def _summary(findings: Sequence[Finding]) -> str:
    from relay.doctor.finding import Severity

    counts = Counter(finding.severity for finding in findings)
    return ", ".join(f"{counts[severity]} {severity}" for severity in reversed(Severity) if counts[severity])
