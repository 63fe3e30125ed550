"""What a front is given by whoever starts it: the relay, a database, the rules, time and chance."""

from __future__ import annotations

from dataclasses import dataclass

from relay.client.contract import ModerationBell, RelayClient
from relay.clock import Clock
from relay.database.contract import Database
from relay.ids import Entropy
from relay.key_memory import KeyMemory
from web.letters import LetterStore
from web.moderation.moderator import Moderator


@dataclass(frozen=True, slots=True)
class Outside:
    """One for all pages of a process."""

    relay: RelayClient
    database: Database
    letters: LetterStore
    moderator: Moderator
    clock: Clock
    entropy: Entropy
    memory: KeyMemory
    """Shared by the workers of a machine: the keys of limits."""
    bell: ModerationBell | None = None
    """Calls a moderator when letters wait too long."""
