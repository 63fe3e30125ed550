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
from web.doorbell import DoorbellStore
from web.errands import Errands
from web.judgement import Judge
from web.letters import LetterStore
from web.limits import LetterLimits, PreviewLimits
from web.mail import MailWriter
from web.mailbox import MailboxHasher
from web.network import Network, NetworkLists
from web.options import FrontOptions
from web.preview import PreviewTokens
from web.render import Renderer
from web.replies import ReplyStore
from web.reports import ReportStore
from web.row import Row
from web.ruling_counts import RulingCounts
from web.sealing import SealingKeys
from web.tallies import TallyReader
from web.wall import WallStore
from web.way_in import WayIn
from web.withholding import Withholding


@dataclass(frozen=True, slots=True)
class Parts:
    """Built once, shared by all pages."""

    options: FrontOptions
    relay: RelayClient
    row: Row
    errands: Errands
    database: Database
    store: LetterStore
    tallies: TallyReader
    courier: Courier
    clock: Clock
    entropy: Entropy
    judge: Judge
    tokens: PreviewTokens
    writer: MailWriter
    renderer: Renderer
    addresses: ClientAddressReader
    way_in: WayIn
    ceilings: Ceilings
    confirming: Confirming
    limits: LetterLimits | None
    previews: PreviewLimits | None
    copies: Copies | None
    sealing: SealingKeys
    doorbell: DoorbellStore
    wall: WallStore
    replies: ReplyStore
    reports: ReportStore
    mailboxes: MailboxHasher
    networks: NetworkLists
    rulings: RulingCounts
    withholding: Withholding

    def client(self, request: web.Request) -> ClientAddress:
        """Who asks; it is never stored and never logged."""
        return self.addresses.read(_peer(request), request.headers)

    def network(self, request: web.Request) -> Network:
        """The kind of network a request comes from."""
        return self.networks.of(self.client(request).address)


def _peer(request: web.Request) -> tuple[str, int] | None:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) and len(peer) >= 2 else None
