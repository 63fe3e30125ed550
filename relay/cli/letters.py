"""`leak letters`: letters that wait for a person; shown, let go or refused, for whoever has no moderators' pages.

The front is loaded by name, since the relay's packages know nothing of it. What is decided here is logged like every
decision, with the reason, which a refused letter's writer reads.
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from relay.cli.context import Json, load
from relay.cli.desk import at_desk, voice_of
from relay.cli.letter_cases import UNKNOWN_PAIR, case_command, cases_command, danger_command
from relay.cli.letter_replies import replies_command, reply_command
from relay.cli.letter_wall import post_command, wall_command
from relay.cli.output import UsageError, fail, say, say_json, say_table
from relay.cli.queue_filter import now
from relay.wording import clean, until

app = typer.Typer(help="Letters of the front that wait for a person.", no_args_is_help=True)

_REPORTED: Final = (
    "its recipient has reported a letter, so it leaves once that is decided (`leak letters reports`, then "
    "`leak letters settle`)"
)
_GONE: Final = "no letter of this id waits for a decision (`leak letters list`)"

Letter = Annotated[str, typer.Argument(help="The letter's id, as `leak letters list` shows it.")]


@app.command("list")
def list_command(context: typer.Context, as_json: Json = False) -> None:
    """What waits, the letter whose time ends first on top; a letter nobody decides about goes back after 48 hours."""
    held = at_desk(load(context), lambda deciding: deciding.holds.held())
    if as_json:
        say_json([_plain(letter) for letter in held])
        return
    rows = [
        (one.id, until(one.until, now()), one.why.value, ", ".join(one.rules), _start_of(one.message)) for one in held
    ]
    say_table(("id", "ends", "why", "rules", "begins"), rows, empty="no letter waits for a person")


@app.command("show")
def show(context: typer.Context, letter: Letter, as_json: Json = False) -> None:
    """One letter with its words."""
    found = at_desk(load(context), lambda deciding: deciding.holds.find(letter))
    if found is None:
        fail(_GONE)
    if as_json:
        say_json(_plain(found))
        return
    say(f"{found.id}  held for {found.why.value}: {', '.join(found.rules) or 'no rule'}")
    say(f"written around {found.created:%Y-%m-%d %H:%M} UTC in {found.language}, goes back at {found.until:%d %H:%M}")
    say(f"signed  {clean(found.sender_name)}\nto      {clean(found.recipient)}\n")
    say("\n".join(clean(line) for line in found.message.split("\n")))


@app.command("release")
def release(
    context: typer.Context,
    letter: Letter,
    reason: Annotated[str, typer.Option("--reason", help="Why it may go; kept in the log.")],
) -> None:
    """Let a letter go; while a report of its recipient waits for a decision it still waits for that."""
    settings, voice = load(context), voice_of(reason)

    async def work(deciding: Any) -> tuple[bool, bool]:
        held = await deciding.holds.find(letter)
        released = bool(await deciding.release(letter, voice))
        return released, released and bool(await deciding.waits_for_report(held.recipient))

    released, waits = at_desk(settings, work)
    if not released:
        fail(_GONE)
    say(f"released: {_REPORTED}" if waits else "released: it leaves within " + _minutes(settings.web.jitter))


@app.command("refuse")
def refuse(
    context: typer.Context,
    letter: Letter,
    rules: Annotated[
        list[str], typer.Option("--rule", metavar="<rule>", help="The rule it breaks; may be given again.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; its writer reads this, and it is kept in the log.")],
    freeze: Annotated[bool, typer.Option("--freeze", help="Keep its writer's network from this recipient.")] = False,
) -> None:
    """Refuse a letter: its words are deleted, and its writer reads rule and reason."""
    known = [rule.value for rule in import_module("web.moderation.ruling").Rule]
    for rule in rules:
        if rule not in known:
            raise UsageError(f"--rule: {rule} is none of {', '.join(known)}")
    settings, voice = load(context), voice_of(reason)

    async def work(deciding: Any) -> tuple[bool, bool]:
        refused = bool(await deciding.refuse(letter, rules, voice, freeze=freeze))
        return refused, freeze and not await deciding.freezes.is_frozen(letter)

    refused, is_free = at_desk(settings, work)
    if not refused:
        fail(_GONE)
    say(f"refused; {UNKNOWN_PAIR}" if is_free else "refused")


@app.command("reports")
def reports(context: typer.Context, as_json: Json = False) -> None:
    """What recipients reported; until a report is settled, no letter reaches its recipient."""
    waiting = at_desk(load(context), lambda deciding: deciding.reports.open_reports())
    rows = [
        {"at": one.at.isoformat(), "letter": one.report.letter_id, "rule": one.report.rule, "words": one.report.words}
        for one in waiting
    ]
    if as_json:
        say_json(rows)
        return
    say_table(
        ("at", "letter", "rule", "words"),
        [(row["at"], row["letter"], row["rule"], _start_of(row["words"])) for row in rows],
        empty="no report waits for a decision",
    )


@app.command("settle")
def settle(
    context: typer.Context,
    letter: Letter,
    outcome: Annotated[str, typer.Argument(help="upheld or dismissed.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.")],
) -> None:
    """Decide about a report: upheld keeps its writer's network from this recipient, dismissed lets mail go again."""
    outcomes = {one.value: one for one in import_module("web.reports").Outcome}
    if outcome not in outcomes:
        raise UsageError(f"{outcome} is none of {', '.join(outcomes)}")
    voice = voice_of(reason)

    async def work(deciding: Any) -> tuple[bool, bool]:
        settled = bool(await deciding.settle(letter, outcomes[outcome], voice))
        return settled, outcome == "upheld" and not await deciding.freezes.is_frozen(letter)

    settled, is_free = at_desk(load(context), work)
    if not settled:
        fail("no report about this letter waits (`leak letters reports`)")
    say(f"settled: {outcome}; {UNKNOWN_PAIR}" if is_free else f"settled: {outcome}")


@app.command("notices")
def notices(context: typer.Context, as_json: Json = False) -> None:
    """What was notified as unlawful by the form at /notice: about abused children first, then the oldest."""
    waiting = at_desk(load(context), lambda deciding: deciding.notices.waiting())
    rows = [
        {
            "case": one.id,
            "at": one.at.isoformat(),
            "about_children": one.notice.about_children,
            "item": one.notice.item,
            "grounds": one.notice.grounds,
            "name": one.notice.name,
            "mail": one.notice.mail,
        }
        for one in waiting
    ]
    if as_json:
        say_json(rows)
        return
    say_table(
        ("case", "at", "by", "item", "grounds"),
        [(row["case"], row["at"][:16], row["mail"], _start_of(row["item"]), _start_of(row["grounds"])) for row in rows],
        empty="no notice waits for a decision",
    )


@app.command("answer")
def answer(
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="The case's number, as `leak letters notices` shows it.")],
    outcome: Annotated[str, typer.Argument(help="upheld or dismissed.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; the notice's author reads this, and it is logged.")],
) -> None:
    """Decide about a notice; what follows for the letter or the page is done with the other commands."""
    outcomes = {one.value: one for one in import_module("web.reports").Outcome}
    if outcome not in outcomes:
        raise UsageError(f"{outcome} is none of {', '.join(outcomes)}")
    if not at_desk(load(context), lambda deciding: deciding.answer(case, outcomes[outcome], voice_of(reason))):
        fail("no notice of this number waits (`leak letters notices`)")
    say(f"answered: {outcome}")


app.command("replies")(replies_command)
app.command("reply")(reply_command)
app.command("wall")(wall_command)
app.command("post")(post_command)
app.command("danger")(danger_command)
app.command("cases")(cases_command)
app.command("case")(case_command)


@app.command("frozen")
def frozen(context: typer.Context, as_json: Json = False) -> None:
    """Whose network is kept from which recipient, each by one letter between them; `thaw` ends it."""
    pairs = at_desk(load(context), lambda deciding: deciding.freezes.frozen())
    rows = [{"letter": one.letter_id, "since": one.at.isoformat(), "letters": one.letters} for one in pairs]
    if as_json:
        say_json(rows)
        return
    say_table(
        ("letter", "since", "letters"),
        [(row["letter"], row["since"], str(row["letters"])) for row in rows],
        empty="nobody is kept from anybody",
    )


@app.command("thaw")
def thaw(
    context: typer.Context,
    letter: Letter,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.")],
) -> None:
    """Let the network that a letter came from reach its recipient again."""
    if not at_desk(load(context), lambda deciding: deciding.thaw(letter, voice_of(reason))):
        fail("nobody is kept from the recipient of this letter (`leak letters frozen`)")
    say("thawed")


@app.command("log")
def log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """What was decided, by whom and why, the latest first."""
    logged = at_desk(load(context), lambda deciding: deciding.holds.decisions(limit))
    rows = [
        {
            "at": one.at.isoformat(),
            "subject": one.decision.subject,
            "action": one.decision.action,
            "by": one.decision.actor,
            "rules": list(one.decision.rules),
            "reason": one.decision.reason,
        }
        for one in logged
    ]
    if as_json:
        say_json(rows)
        return
    say_table(
        ("at", "letter", "decision", "by", "rules", "reason"),
        [(row["at"], row["subject"], row["action"], row["by"], " ".join(row["rules"]), row["reason"]) for row in rows],
        empty="nothing has been decided yet",
    )


def _plain(letter: Any) -> dict[str, Any]:
    return {
        "id": letter.id,
        "created": letter.created.isoformat(),
        "language": letter.language,
        "why": letter.why.value,
        "rules": list(letter.rules),
        "until": letter.until.isoformat(),
        "sender_name": letter.sender_name,
        "recipient": letter.recipient,
        "subject": letter.subject,
        "message": letter.message,
    }


def _start_of(message: str) -> str:
    line = clean(" ".join(message.split()))
    return line if len(line) <= 50 else line[:49] + "…"


def _minutes(span: timedelta) -> str:
    return f"{max(1, round(span.total_seconds() / 60))} min"
