"""`leak letters wall` and `post`: letters that their writers offered, and whether the wall shows one without names."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from relay.cli.context import Json, load
from relay.cli.desk import at_desk, voice_of
from relay.cli.output import UsageError, fail, say, say_json
from relay.wording import clean

_DEEDS = ("publish", "decline", "take-down")


def wall_command(context: typer.Context, as_json: Json = False) -> None:
    """What is offered, with the copy without names that `post` would publish, and the latest posts of the wall."""
    offered, shown = at_desk(load(context), _queue)
    proposal = import_module("web.redaction").without_names
    if as_json:
        said = [_plain(one, "letter_id", "language", "signature", "words") for one in offered]
        posts = [_plain(one, "letter_id", "id", "language", "shown") for one in shown]
        say_json(
            {
                "offered": [one | {"proposed": proposal(one["words"])} for one in said],
                "shown": [
                    one | {"published": f"{post.published:%Y-%m-%d}"} for one, post in zip(posts, shown, strict=True)
                ],
            }
        )
        return
    if not offered:
        say("no letter waits for the wall")
    for one in offered:
        say(f"{one.letter_id}  offered, {one.signature}, in {one.language}")
        say(_indented(one.words))
        say(f"  without names:\n{_indented(proposal(one.words))}")
    for post in shown:
        say(f"{post.letter_id}  on the wall since {post.published:%Y-%m-%d}, /{post.language}/wall/{post.id}")
        say(_indented(post.shown))


def post_command(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The letter's id, as `leak letters wall` shows it.")],
    deed: Annotated[str, typer.Argument(help="publish, decline or take-down.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.")],
    shown: Annotated[
        Path | None,
        typer.Option("--shown", help="What the wall shows, - for standard input; default the copy without names."),
    ] = None,
) -> None:
    """Show an offered letter on the wall, or never; or take down what it shows. Read the copy before you publish it."""
    if deed not in _DEEDS:
        raise UsageError(f"{deed} is none of {', '.join(_DEEDS)}")
    if shown is not None and deed != "publish":
        raise UsageError("--shown goes with publish alone")
    voice, mended = voice_of(reason), None if shown is None else _read(shown)

    async def work(deciding: Any) -> bool:
        if deed == "decline":
            return bool(await deciding.decline(letter, voice))
        if deed == "take-down":
            return bool(await deciding.take_down(letter, voice))
        offered = await deciding.wall.find_offered(letter)
        if offered is None:
            return False
        text = import_module("web.redaction").without_names(offered.words) if mended is None else mended
        return bool(await deciding.publish(letter, text, voice))

    try:
        done = at_desk(load(context), work)
    except import_module("web.deciding").UndecidedError:
        raise UsageError("--shown: there is nothing to show") from None
    if not done:
        fail("this letter is not offered, or not on the wall (`leak letters wall`)")
    say({"publish": "published", "decline": "declined", "take-down": "taken down"}[deed])


async def _queue(deciding: Any) -> tuple[list[Any], list[Any]]:
    """What is offered, and the first page of posts in each language, the latest first."""
    languages = import_module("web.catalogue").Language
    posts = [post for one in languages for post in (await deciding.wall.page(one.value, 1)).posts]
    return await deciding.wall.offered(), sorted(posts, key=lambda post: post.published, reverse=True)


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--shown: {file} cannot be read as text: {error}") from None


def _plain(one: Any, *names: str) -> dict[str, Any]:
    return {"letter" if name == "letter_id" else name: getattr(one, name) for name in names}


def _indented(words: str) -> str:
    return "\n".join(f"    {clean(line)}" for line in words.split("\n"))
