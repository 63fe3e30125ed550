"""`leak letters danger`, `cases` and `case`: letters that threaten somebody's life, as the desk keeps them."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer

from relay.cli.context import Json, load
from relay.cli.desk import Deed, at_desk, carry_out, voice_of
from relay.cli.output import fail, say, say_json
from relay.wording import clean

UNKNOWN_PAIR: Final = "nobody is kept from its recipient: which network wrote it is not known (`leak letters frozen`)"
"""Said where a decision would keep somebody away, and cannot."""

_DEEDS = {
    "told": Deed("note_told", "noted: the authorities were told"),
    "close": Deed("close_case", "closed: its words are deleted"),
}
_TEXTS = ("sender_name", "recipient", "subject", "message", "words", "reason")


def danger_command(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="A held letter's id, or a reported one's.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the notification, and in the log.")],
) -> None:
    """Freeze a letter as a threat to somebody's life: it never departs, and its sealed record stays."""
    voice = voice_of(reason)

    async def work(deciding: Any) -> tuple[Any, bool]:
        case = await deciding.dangers.find(letter) if await deciding.freeze_letter(letter, voice) else None
        return case, not await deciding.freezes.is_frozen(letter)

    case, is_free = at_desk(load(context), work)
    if case is None:
        fail("no letter of this id is held or reported (`leak letters list`, `leak letters reports`)")
    say(f"frozen as case {case.case}: tell the authorities now, then `leak letters case {letter} told`")
    if is_free:
        say(UNKNOWN_PAIR)
    for one in import_module("web.authorities").load_authorities(load(context).folder):
        say(f"  {' '.join(word for word in (one.name, one.number, one.link) if word)}")


def cases_command(context: typer.Context, as_json: Json = False) -> None:
    """Threats to life that are not closed, the latest first, with what is known; nobody's connection is."""
    cases = at_desk(load(context), lambda deciding: deciding.dangers.open_cases())
    if as_json:
        say_json(
            [
                {
                    "letter": one.letter_id,
                    "case": one.case,
                    "at": one.at.isoformat(),
                    "created": one.created.isoformat() if one.created else None,
                    "language": one.language,
                    "rules": list(one.rules),
                    "told": one.told.isoformat() if one.told else None,
                    **{name: getattr(one, name) for name in _TEXTS},
                }
                for one in cases
            ]
        )
        return
    if not cases:
        say("no letter is frozen as a threat to life")
    for one in cases:
        told = f"authorities told {one.told:%Y-%m-%d %H:%M} UTC" if one.told else "AUTHORITIES NOT TOLD YET"
        say(f"{one.letter_id}  {one.case}, since {one.at:%Y-%m-%d %H:%M} UTC, {told}")
        for name in _TEXTS:
            if text := getattr(one, name):
                say(f"  {name.replace('_', ' ')}:\n" + "\n".join(f"    {clean(line)}" for line in text.split("\n")))


def case_command(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The letter's id, as `leak letters cases` shows it.")],
    deed: Annotated[str, typer.Argument(help="told: the authorities were told. close: the case is over.")],
    reason: Annotated[str, typer.Option("--reason", help="Who was told what, or why it is over; kept in the log.")],
) -> None:
    """Note that the authorities were told of a threat to life, which ends its alarm; or close the case."""
    said = carry_out(context, _DEEDS, deed, letter, reason)
    if not said:
        fail("no such case is open, or it is noted already (`leak letters cases`)")
    say(said)
