"""The place where the moderators' desk decides, for the commands that decide the same.

The front is loaded by name, since the relay's packages know nothing of it.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from relay.cli.context import load, run_async, stores
from relay.cli.output import UsageError

if TYPE_CHECKING:
    from relay.settings import Settings


def voice_of(reason: str) -> Any:
    """Who decides, and why: the name of who is logged in. UsageError without a reason."""
    if not reason.strip():
        raise UsageError("--reason: say why; it is kept with the decision")
    return import_module("web.deciding").Voice(getpass.getuser(), reason)


class Deed(NamedTuple):
    """What may be done to a letter: by which method of the front's `Deciding`, and what is said when it was."""

    method: str
    said: str


def carry_out(context: typer.Context, deeds: Mapping[str, Deed], deed: str, letter: str, reason: str) -> str:
    """Do one of the deeds; what to say then, "" if nothing of this letter waits for it. UsageError for what is none."""
    if deed not in deeds:
        raise UsageError(f"{deed} is none of {', '.join(deeds)}")
    voice = voice_of(reason)
    done = at_desk(load(context), lambda deciding: getattr(deciding, deeds[deed].method)(letter, voice))
    return deeds[deed].said if done else ""


def at_desk(settings: Settings, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """What `work` gives for the place where the desk decides too, the front's tables up to date."""
    from relay.clock import SystemClock
    from relay.ids import SystemEntropy
    from relay.node_secrets import ensure_secrets

    async def ask() -> Any:
        async with stores(settings, must_exist=True) as opened:
            await import_module("web.letter_table").DatabaseLetterStore(opened.database).prepare()
            entropy = SystemEntropy()
            keys = await asyncio.to_thread(ensure_secrets, settings.path(settings.node.secrets), entropy)
            mailboxes = import_module("web.mailbox").MailboxHasher((keys.block_hash, *keys.old_block_hashes))
            deciding = import_module("web.deciding").Deciding
            return await work(deciding(opened.database, SystemClock(), entropy, settings.web.jitter, mailboxes))

    return run_async(ask())
