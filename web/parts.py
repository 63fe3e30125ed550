"""What the pages work with, and the few things that all of them ask of a request."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from relay.client.contract import RelayClient
from relay.clock import Clock
from relay.database.contract import Database
from relay.ids import Entropy
from web.ceilings import Ceilings
from web.client_address import ClientAddress, ClientAddressReader
from web.confirming import Confirming
from web.copies import Copies
from web.courier import Courier
from web.judgement import Judge
from web.limits import LetterLimits, PreviewLimits
from web.mail import MailWriter
from web.network import Network, NetworkLists
from web.options import FrontOptions
from web.preview import PreviewTokens
from web.render import Renderer
from web.row import Row
from web.sealing import SealingKeys
from web.stores import Stores
from web.wall import WallStore
from web.way_in import WayIn
from web.withholding import Withholding


@dataclass(frozen=True, slots=True)
class Parts:
    """Built once, shared by all pages."""

    # What is outside.
    options: FrontOptions
    relay: RelayClient
    database: Database
    clock: Clock
    entropy: Entropy

    # What is known of letters.
    stores: Stores
    row: Row
    withholding: Withholding

    # What a draft becomes.
    judge: Judge
    tokens: PreviewTokens
    writer: MailWriter
    renderer: Renderer
    sealing: SealingKeys

    # The way of a letter.
    way_in: WayIn
    ceilings: Ceilings
    confirming: Confirming
    courier: Courier

    # Who asks, and how much; None: there is no limit.
    addresses: ClientAddressReader
    networks: NetworkLists
    limits: LetterLimits | None
    previews: PreviewLimits | None
    copies: Copies | None

    @property
    def wall(self) -> WallStore:
        """The wall's store: most pages show something of it."""
        return self.stores.wall

    def client(self, request: web.Request) -> ClientAddress:
        """Who asks; it is never stored and never logged."""
        return self.addresses.read(_peer(request), request.headers)

    def network(self, request: web.Request) -> Network:
        """The kind of network a request comes from."""
        return self.networks.of(self.client(request).address)


def _peer(request: web.Request) -> tuple[str, int] | None:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) and len(peer) >= 2 else None
