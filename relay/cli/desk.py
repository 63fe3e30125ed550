"""The place where the moderators' desk decides, for the commands that decide the same.

The front is loaded by name, since the relay's packages know nothing of it.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any

from relay.cli.context import run_async, stores
from relay.cli.output import UsageError

if TYPE_CHECKING:
    from relay.settings import Settings


def voice_of(reason: str) -> Any:
    """Who decides, and why: the name of who is logged in. UsageError without a reason."""
    if not reason.strip():
        raise UsageError("--reason: say why; it is kept with the decision")
    return import_module("web.deciding").Voice(getpass.getuser(), reason)


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
