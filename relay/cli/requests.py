"""`leak requests`: what authorities ask, until when they are owed an answer, and the audit of a case for a court.

For the custodian of the sealed records. It opens none (`leak disclose` does); what is noted and closed here stands in
the audit too. The front is loaded by name.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.context import Json, by, config_file, load
from relay.cli.output import UsageError, fail, say, say_json, say_table
from relay.cli.queue_filter import now
from relay.cli.sealed import letter_id_of, with_database, with_records
from relay.units import format_duration
from relay.wording import until

if TYPE_CHECKING:
    from relay.settings import Settings

app = typer.Typer(help="What authorities ask about letters, with the time that is left.", no_args_is_help=True)

Case = Annotated[str, typer.Option("--case", help="The number of the case.")]
By = Annotated[str, by("Who does this.")]


@app.command("note")
def note(
    context: typer.Context,
    case: Case,
    authority: Annotated[str, typer.Option("--authority", help="Who asks: an office, no mail address.")],
    basis: Annotated[str, typer.Option("--basis", help="The legal basis that is named (`leak sealed bases`).")],
    actor: By,
    kind: Annotated[str, typer.Option("--kind", help="Of which kind it is (`leak requests kinds`).")] = "requisition",
    received: Annotated[str, typer.Option("--received", help="When it came (ISO 8601, UTC); default now.")] = "",
    due: Annotated[str, typer.Option("--due", help="By when it is owed an answer; default by its kind.")] = "",
    letter: Annotated[str, typer.Option("--letter", help="Its id, its recipient's link, or the relay's id.")] = "",
) -> None:
    """Note a request that came; while it is open, the sealed record of its letter outlives its month."""
    settings = load(context)
    module: Any = import_module("web.legal_requests")
    deadlines = module.load_deadlines(settings.folder)
    if kind not in deadlines:
        raise UsageError(f"--kind: {kind} is none of {', '.join(deadlines)}")
    came = _moment("--received", received) if received else now()
    if not due and not deadlines[kind].span:
        raise UsageError(f"--due is needed: a {kind} says itself by when")
    ends = _moment("--due", due) if due else came + deadlines[kind].span
    bases = import_module("web.disclosure").load_bases(settings.folder)

    async def work(store: Any, sealed: Any) -> Any:
        letter_id = await letter_id_of(settings, sealed, letter) if letter else ""
        asked = module.Asked(kind, case, authority, basis, letter_id, came, ends)
        if missing := module.unfit(asked, bases, now()):
            raise UsageError(missing)
        return await store.note(asked, actor), not letter or await sealed.find(letter_id) is not None

    kept, is_held = _with_stores(settings, work)
    say(f"noted as request {kept.n}: due {kept.asked.due:%Y-%m-%d %H:%M} UTC, {_left(kept)}")
    if not is_held:
        say("no record of this letter is here: it is past its time, or none was kept")
    if bases[basis].doubt:
        say(f"its basis is doubted: {bases[basis].doubt}")


@app.command("list")
def list_command(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_json: Json = False,
) -> None:
    """The open requests, what is due first on top; status 1 if one is overdue."""

    async def work(store: Any, _: Any) -> Any:
        return await (store.every() if everything else store.waiting())

    found = _with_stores(load(context), work)
    if as_json:
        say_json([_plain(one) for one in found])
    else:
        columns = ("n", "left", "due", "kind", "case", "authority", "basis", "letter")
        rows = [
            (
                one.n,
                _left(one),
                f"{said.due:%Y-%m-%d %H:%M}",
                said.kind,
                said.case,
                said.authority,
                said.basis,
                said.letter_id,
            )
            for one in found
            for said in (one.asked,)
        ]
        say_table(columns, rows, empty="nobody waits for an answer")
    late = [str(one.n) for one in found if one.closed is None and one.asked.due <= now()]
    if late:
        fail(f"overdue: {', '.join(late)}")


@app.command("close")
def close(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="The request's number, as `leak requests list` shows it.")],
    outcome: Annotated[str, typer.Option("--outcome", help="granted, refused, nothing-held or withdrawn.")],
    actor: By,
    reason: Annotated[str, typer.Option("--reason", help="What was given, or why not.")],
) -> None:
    """Note what became of a request: its clock stops, and its letter's record goes with its month again."""
    settings = load(context)
    module: Any = import_module("web.legal_requests")
    answers = {one.value: one for one in module.Answer}
    if outcome not in answers:
        raise UsageError(f"--outcome: {outcome} is none of {', '.join(answers)}")
    if not reason.strip():
        raise UsageError("what became of a request needs its reason")
    if import_module("web.audit").names_address(actor, reason):
        raise UsageError(import_module("web.disclosure").UNERASABLE)

    async def work(store: Any, _: Any) -> bool:
        return bool(await store.close(number, answers[outcome], actor, reason))

    if not _with_stores(settings, work):
        fail(f"no request {number} is open (`leak requests list`)")
    say(f"closed: {outcome}")


@app.command("kinds")
def kinds(context: typer.Context, as_json: Json = False) -> None:
    """The kinds of request, and how long each may wait."""
    known = import_module("web.legal_requests").load_deadlines(config_file(context).parent)
    rows = [(name, one.law, _span(one), one.title) for name, one in known.items()]
    if as_json:
        say_json([dict(zip(("kind", "law", "time", "title"), row, strict=True)) for row in rows])
        return
    say_table(("kind", "law", "time", "title"), rows, empty="")


@app.command("export")
def export(context: typer.Context, case: Annotated[str, typer.Argument(help="The number of the case.")]) -> None:
    """The audit's entries of one case as JSON lines, with the hashes of all, for a court to verify."""

    async def work(_: Any, audit: Any) -> Any:
        return await audit.chain(), await audit.broken_at()

    chain, broken = with_records(load(context), work)
    for line in import_module("web.audit_export").export_case(chain, case, now()):
        say(line)
    if broken is not None:
        fail(f"entry {broken} is not as it was written, or one before it is missing")


@app.command("verify")
def verify(file: Annotated[Path, typer.Argument(help="What `leak requests export` wrote.")]) -> None:
    """Check an export by itself, anywhere: it needs no configuration and no database."""
    module: Any = import_module("web.audit_export")
    try:
        with file.open(encoding="utf-8") as lines:
            found = module.verify_export(lines)
    except (module.BrokenExportError, UnicodeDecodeError) as error:
        fail(str(error))
    say(f"whole: {found.told} of {found.entries} entries are of case {found.case}\nthe last hash is {found.last}")


def _moment(option: str, text: str) -> datetime:
    """A moment as it was typed; without an offset it is UTC."""
    try:
        typed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: {text} is no moment such as 2026-11-22T14:30Z") from None
    return typed.replace(tzinfo=UTC) if typed.tzinfo is None else typed.astimezone(UTC)


def _left(request: Any) -> str:
    if request.closed is not None:
        return str(request.answer.value)
    late = now() - request.asked.due
    return f"overdue {format_duration(late)}" if late.total_seconds() >= 0 else until(request.asked.due, now())


def _span(deadline: Any) -> str:
    return format_duration(deadline.span) if deadline.span else "says itself"


def _plain(request: Any) -> dict[str, Any]:
    said = request.asked
    return {
        "n": request.n,
        "kind": said.kind,
        "case": said.case,
        "authority": said.authority,
        "basis": said.basis,
        "letter": said.letter_id,
        "received": said.received.isoformat(),
        "due": said.due.isoformat(),
        "seconds_left": None if request.closed else int((said.due - now()).total_seconds()),
        "closed": request.closed.isoformat() if request.closed else None,
        "outcome": request.answer.value if request.answer else None,
    }


def _with_stores(settings: Settings, work: Callable[[Any, Any], Coroutine[Any, Any, Any]]) -> Any:
    """What `work` gives for the stores of requests and of sealed records."""
    requests, stored = import_module("web.legal_requests"), import_module("web.sealed_store")
    return with_database(
        settings,
        lambda database, clock: work(requests.LegalRequestStore(database, clock), stored.SealedStore(database, clock)),
    )
