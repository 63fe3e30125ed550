"""`leak inbound`: what came in from outside; what waits for a person, what followed from the rest, and the loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.inbound_reports import reports_command
from relay.cli.output import UsageError, fail, print_rows, say, say_json
from relay.wording import ago

if TYPE_CHECKING:
    from relay.opening import Stores
    from relay.policy.hearing import Purpose
    from relay.settings import Settings
    from relay.spool.feedback_loops import FeedbackLoop
    from relay.spool.inbound_values import InboundFilter, InboundView

app = typer.Typer(no_args_is_help=True, help="Mail that came back: list, show, done, reports, loops, enrol.")
app.command("reports")(reports_command)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `leak inbound list` shows it.")]


@app.command("list")
def list_command(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also what needs nobody any more.")] = False,
    purpose: Annotated[
        str, typer.Option(help="return, unsubscribe, feedback, reports, postmaster, abuse or sender.")
    ] = "",
    kind: Annotated[str, typer.Option(help="bounce, complaint, auto-reply, report, challenge or other.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 100,
    as_json: Json = False,
) -> None:
    """List what waits for a person, with its age; with --all, everything that came."""
    from relay.clock import SystemClock
    from relay.policy.hearing import Purpose
    from relay.report.result import Kind
    from relay.spool.inbound_values import InboundFilter

    _check("--purpose", purpose, [one.value for one in Purpose])
    _check("--kind", kind, [one.value for one in Kind])
    where = InboundFilter(waiting=not everything, purpose=purpose, kind=kind, limit=limit)
    found = run_async(_list(load(context), where))
    now = SystemClock().now()
    if as_json:
        say_json([as_plain(one) for one in found])
        return
    print_rows(
        [{**as_plain(one), "age": ago(one.at, now), **_told(one.detail)} for one in found],
        ("id", "age", "purpose", "kind", "followed", "from", "subject", "delivery"),
        as_json=False,
        empty="nothing came in" if everything else "nothing waits for a person (--all shows what needed nobody)",
    )


@app.command("show")
def show_command(
    context: typer.Context,
    number: Number,
    raw: Annotated[bool, typer.Option("--raw", help="The mail itself, as it came.")] = False,
    as_json: Json = False,
) -> None:
    """Show one: what it is, what followed and why; the mail itself with --raw."""
    view, content = run_async(_show(load(context), number))
    if view is None:
        fail(f"no inbound mail {number}: it never came, or its time to be kept is over")
    if raw:
        if content is None:
            fail(f"the content of {number} is forgotten")
        say(content.decode("utf-8", "replace").replace("\r\n", "\n"))
        return
    if as_json:
        say_json(as_plain(view))
        return
    for name, value in {**as_plain(view), **view.detail}.items():
        if name != "detail" and value not in ("", None):
            say(f"{name:<12} {value}")


@app.command("done")
def done_command(
    context: typer.Context, numbers: Annotated[list[int], typer.Argument(metavar="NUMBER...", help="Which.")]
) -> None:
    """Say that a person has looked; the alarm ends when nothing is left for its address."""
    settled, unknown = run_async(_done(load(context), numbers))
    say(f"done: {settled}")
    if unknown:
        fail(f"nobody needs to look at {', '.join(map(str, unknown))}")


@app.command("loops")
def loops_command(context: typer.Context, as_json: Json = False) -> None:
    """The ledger of feedback loops: enrolled when, first and last report, how many."""
    rows: list[Mapping[str, object]] = [asdict(one) for one in run_async(_loops(load(context)))]
    columns = ("name", "enrolled_at", "first_at", "last_at", "reports")
    print_rows(rows, columns, as_json=as_json, empty="no feedback loop is enrolled, and no complaint came")


@app.command("enrol")
def enrol_command(
    context: typer.Context, name: Annotated[str, typer.Argument(help='As in "Yahoo" or "Microsoft".')]
) -> None:
    """Write down that a provider's feedback loop was asked for today."""
    if not name.isprintable() or not 1 <= len(name) <= 60:
        raise UsageError("the name of a feedback loop has 1 to 60 printable characters")
    run_async(_enrol(load(context), name))
    say(f"{name}: written down")


def as_plain(view: InboundView) -> dict[str, Any]:
    """An item as JSON shows it."""
    return {**asdict(view), "purpose": view.purpose.value}


def _told(detail: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(detail.get(name, ""))[:40] for name in ("from", "subject")}


def _check(option: str, value: str, allowed: list[str]) -> None:
    if value and value not in allowed:
        raise UsageError(f"{option} {value!r}: write one of {', '.join(allowed)}")


async def _list(settings: Settings, where: InboundFilter) -> list[InboundView]:
    async with stores(settings, must_exist=True) as opened:
        return await opened.inbound.listing(where)


async def _show(settings: Settings, number: int) -> tuple[InboundView | None, bytes | None]:
    async with stores(settings, must_exist=True) as opened:
        item = await opened.inbound.item(number)
        return await opened.inbound.view(number), None if item is None else item.content


async def _done(settings: Settings, numbers: list[int]) -> tuple[int, list[int]]:
    async with stores(settings, must_exist=True) as opened:
        unknown = [number for number in numbers if not await _done_one(opened, number)]
        return len(numbers) - len(unknown), unknown


async def _done_one(opened: Stores, number: int) -> bool:
    view = await opened.inbound.view(number)
    if view is None or not await opened.inbound.done(number):
        return False
    await _end_alarm(opened, view.purpose)
    return True


async def _end_alarm(opened: Stores, purpose: Purpose) -> None:
    """End the alarms of a purpose, and that of unread mail, when none of it waits any more."""
    from relay.policy.alarms import AlarmKind
    from relay.spool.inbound_values import UNREAD, InboundFilter

    count, _ = await opened.inbound.waiting(purpose)
    over = set() if count else {f"{purpose.value}-mail"}
    if not await opened.inbound.listing(InboundFilter(kind=UNREAD, limit=1)):
        over.add(AlarmKind.INBOUND_UNREAD.value)
    for alarm in await opened.spool.alarms():
        if alarm.kind in over:
            await opened.spool.clear_alarm(alarm.kind, alarm.subject)


async def _loops(settings: Settings) -> list[FeedbackLoop]:
    async with stores(settings, must_exist=True) as opened:
        return await opened.loops.listing()


async def _enrol(settings: Settings, name: str) -> None:
    async with stores(settings, must_exist=True) as opened:
        await opened.loops.enrol(name)
