"""`leak letters replies` and `reply`: replies by mail that a rule stopped, and whether a letter's writer sees one."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.context import Json, load
from relay.cli.desk import Deed, at_desk, carry_out
from relay.cli.output import fail, say, say_json
from relay.cli.queue_filter import now
from relay.wording import clean, until

_DEEDS = {"show": Deed("show_reply", "shown"), "delete": Deed("refuse_reply", "deleted")}


def replies_command(context: typer.Context, as_json: Json = False) -> None:
    """Replies that a rule stopped, the one whose time ends first on top; what nobody decides about is deleted."""
    held = at_desk(load(context), lambda deciding: deciding.replies.held())
    if as_json:
        say_json(
            [
                {
                    "letter": one.letter_id,
                    "language": one.language,
                    "rules": list(one.rules),
                    "until": one.until.isoformat(),
                    "contested": one.is_appealed,
                    "words": one.words,
                }
                for one in held
            ]
        )
        return
    if not held:
        say("no reply waits for a person")
    for one in held:
        why = "refused, and contested" if one.is_appealed else "held"
        say(f"{one.letter_id}  ends {until(one.until, now())}, {why} for {', '.join(one.rules) or 'no rule'}")
        say("\n".join(f"    {clean(line)}" for line in one.words.split("\n")))


def reply_command(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The letter that was answered, as `leak letters replies` shows it.")],
    deed: Annotated[str, typer.Argument(help="show or delete.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.")],
) -> None:
    """Decide about a held reply: show it to its letter's writer, or delete it; whoever answered reads why."""
    said = carry_out(context, _DEEDS, deed, letter, reason)
    if not said:
        fail("no reply to this letter waits for a decision (`leak letters replies`)")
    say(said)
