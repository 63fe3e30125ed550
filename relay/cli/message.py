"""`leak message ID`: the life of one message."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import UsageError, fail, say, say_json

if TYPE_CHECKING:
    from relay.ids import SpoolId
    from relay.settings import Settings
    from relay.spool.explaining import Obstacles
    from relay.spool.inquiry import MessageView


def message(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="A message's id, or a delivery's.")],
    brief: Annotated[bool, typer.Option("--brief", help="Leave the transcripts out.")] = False,
    as_json: Json = False,
) -> None:
    """Show the life of one message: steps, attempts, transcripts, and what happens next and why."""
    from relay.admin.life import describe
    from relay.clock import SystemClock
    from relay.ids import SpoolId, is_spool_id

    bare = message_id.strip().lower().partition(".")[0]
    if not is_spool_id(bare):
        raise UsageError(
            f"{message_id!r} is not a message's id; it has 26 letters and digits, as the reply to DATA told"
        )
    view, brake, obstacles = run_async(_read(load(context), SpoolId(bare)))
    if view is None:
        fail(f"no message {bare}: it was never accepted here, or its time to be kept is over")
    if as_json:
        say_json(as_plain(view, obstacles))
        return
    for line in describe(view, SystemClock().now(), obstacles, brake, transcripts=not brief):
        say(line)


async def _read(settings: Settings, message_id: SpoolId) -> tuple[MessageView | None, str, Obstacles]:
    """The message, why its stream is braked ("" if it is not), and what else stands in its way."""
    from relay.admin.standing import read_obstacles, why_braked
    from relay.spool.explaining import NO_OBSTACLES, ceilings_of

    async with stores(settings, must_exist=True) as opened:
        view = await opened.spool.message(message_id)
        if view is None:
            return None, "", NO_OBSTACLES
        obstacles = await read_obstacles(opened, ceilings_of(view))
        return view, why_braked(view, await opened.figures.brakes()), obstacles


def as_plain(view: MessageView, obstacles: Obstacles | None = None) -> dict[str, Any]:
    """The view as JSON shows it: states and kinds by their lower-case names, and why a delivery waits."""
    from relay.clock import SystemClock
    from relay.policy.state import State
    from relay.spool.explaining import NO_OBSTACLES, waiting

    now = SystemClock().now()
    plain = asdict(view)
    for shown, delivery in zip(plain["deliveries"], view.deliveries, strict=True):
        shown["state"], shown["initial"] = delivery.state.label, delivery.initial.label
        if delivery.state is State.WAITING:
            shown["waits"] = asdict(waiting(view, delivery, now, obstacles or NO_OBSTACLES))
    for shown, event in zip(plain["events"], view.events, strict=True):
        shown["kind"] = event.kind.label
    for shown, attempt in zip(plain["attempts"], view.attempts, strict=True):
        shown["transcript"] = [exchange._asdict() for exchange in attempt.transcript]
    return plain
