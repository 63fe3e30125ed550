"""The inbound server: where the world reports back (step 11 of a message's path)."""

from __future__ import annotations

from functools import partial

from relay.inbound.context import InboundContext
from relay.inbound.session import InboundSession
from relay.submission.server import DoorServer


class InboundServer(DoorServer):
    """One inbound door of one worker."""

    def __init__(self, context: InboundContext) -> None:
        super().__init__("inbound", context, partial(InboundSession, context))
