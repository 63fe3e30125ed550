"""What a web front is made of, and what it gives back: the relay and the front meet here alone.

Stands between the settings and the doors; the command line brings the function that turns the one into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from relay.client.contract import ModerationBell, RelayClient
from relay.client.faces import Faces
from relay.clock import Clock
from relay.database.contract import Database
from relay.errors import ConfigurationError
from relay.ids import Entropy
from relay.node_secrets import NodeSecrets
from relay.settings import Settings


@dataclass(frozen=True, slots=True)
class FrontParts:
    """What a web front is made of; `Front` functions turn it into aiohttp applications."""

    settings: Settings
    relay: RelayClient
    database: Database
    secrets: NodeSecrets
    clock: Clock
    entropy: Entropy
    sender_domain: str
    moderators: Mapping[str, str]
    """The token of each moderator."""
    bell: ModerationBell | None
    """Calls a moderator; None in a process that leaves it to another."""
    rounds: timedelta = timedelta(seconds=5)
    """How often letters that are due are looked for: in this machine's time, whatever `clock` tells."""


Front = Callable[[FrontParts], Faces]


def front_domains(settings: Settings) -> tuple[str, ...]:
    """The domains a front may send from, its letters' first. Raises ConfigurationError when the settings name none."""
    others = (settings.web.doorbell_domain, settings.web.weekly_domain)
    return (sender_domain(settings), *(domain for domain in others if domain is not None))


def sender_domain(settings: Settings) -> str:
    """The domain of the letters' From. Raises ConfigurationError when the settings name none."""
    if settings.web.sender_domain is not None:
        return settings.web.sender_domain
    if settings.signing.domain:
        return settings.signing.domain[0].domain
    raise ConfigurationError("web.sender_domain: missing; the front needs a domain for its letters' From")
