"""What the operator's pages are built from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from relay.admin.remembered import Remembered
from relay.clock import Clock
from relay.database.contract import Database
from relay.figures.book import FigureBook
from relay.policy.shaping import Shaping
from relay.shaping.path_notes import PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.spool.contract import Spool
from relay.spool.lately import lately
from relay.spool.portable import PortableSpool
from relay.spool.shape import queue_shape


@dataclass(frozen=True, slots=True)
class AdminParts:
    """Built once by the node. `database` is one for long questions: see `relay.database.contract.Database.aside`."""

    node: str
    database: Database
    spool: Spool
    """What an operator asks to be done is done here."""
    clock: Clock
    operators: Mapping[str, str]
    """The token of each name."""
    provider_of: Callable[[str, str], str]
    """Whose a host, else a domain, is; "" = nobody's we know."""
    shaping: Callable[[Sequence[str], Sequence[str]], Shaping]
    """What applies to a site with these exchangers and domains, by the rules in force."""
    reported: Callable[[], Awaitable[frozenset[str]]]
    """The domains that receivers' reports can be about; raises SpoolUnavailableError."""
    desk: bool
    """Whether the moderators' desk stands beside these pages."""
    relay: str = ""
    """Where the relay is whose letters this front writes; "" where this node is the relay."""


class Records:
    """The node's stores, opened for long questions, and the costly answers that several pages share."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.spool = PortableSpool(database, clock)
        self.figures = FigureBook(database, clock)
        self.warm_ups = WarmUpBook(database, clock)
        self.notes = PathNotes(database, clock)
        self.shape = Remembered(lambda: queue_shape(database, clock.now()), clock)
        self.recent = Remembered(lambda: lately(database), clock)
