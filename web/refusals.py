"""Whether a recipient wants no letters: asked of each letter soon after it is kept, at its departure, and for the
recipient's own page.

One click (RFC 8058) refuses the stream of the mail it stands in. Whoever refuses mails that only ask has refused
letters too, also where an operator has gone back to mailing them directly.
"""

from __future__ import annotations

from relay.client.contract import RelayClient
from web.letters import DOORBELLS, STREAM


async def refuses_mail(relay: RelayClient, address: str) -> bool:
    """Whether no letter may go to this address; it takes as long for yes as for no. Raises SpoolUnavailableError."""
    letters = await relay.suppressed(address, STREAM)
    doorbells = await relay.suppressed(address, DOORBELLS)
    return letters or doorbells
