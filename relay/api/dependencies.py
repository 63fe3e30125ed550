"""What the HTTP door is built from: the services behind it and the numbers that bound it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relay.account.identity import Accounts, Identity
from relay.client.contract import RelayClient
from relay.clock import Clock
from relay.engine.submission import Intake
from relay.engine.unsubscribe import OptOuts
from relay.figures.book import FigureBook
from relay.ids import Entropy
from relay.notify.book import WebhookBook
from relay.notify.poster import Poster
from relay.policy.mta_sts import StsPolicy
from relay.shaping.path_notes import PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.spool.contract import Spool
from relay.suppression.book import SuppressionBook

Health = tuple[Callable[[], str], ...]
"""Each tells why no mail should come now, "" when all is well."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Sizes in octets, times in seconds."""

    node_name: str
    max_body: int = 40_000_000
    max_recipients: int = 1000
    bodies_in_flight: int = 40_000_000
    """Octets of request bodies held at one moment; past it a request gets 503."""
    body_deadline: float = 300.0
    silence: float = 30.0
    """The longest pause of a client inside its body."""
    multiprocess_metrics: str | None = None
    """The folder in which the workers share their metrics, None for one process."""
    guards_metrics: bool = False
    """Whether metrics need a key from this machine too: visitors of an onion service come from there."""


@dataclass(frozen=True, slots=True)
class WebhookDoor:
    """What the operations on webhooks work with."""

    book: WebhookBook
    poster: Poster
    most: int
    """Webhooks a tenant may have."""


@dataclass(frozen=True, slots=True)
class ApiDependencies:
    """Built once by the node."""

    intake: Intake
    spool: Spool
    accounts: Accounts
    clock: Clock
    entropy: Entropy
    options: ApiOptions
    health: Health = ()
    suppressions: SuppressionBook | None = None
    webhooks: WebhookDoor | None = None
    """None: nobody is told over webhooks here."""
    figures: FigureBook | None = None
    opt_outs: OptOuts | None = None
    policies: Mapping[str, StsPolicy] = field(default_factory=dict)
    """MTA-STS policies by inbound domain."""
    warm_ups: WarmUpBook | None = None
    notes: PathNotes | None = None
    """What workers found of paths."""
    fronts: Callable[[Identity], RelayClient] | None = None
    """The relay as a front on another machine may ask it; None: none may."""
