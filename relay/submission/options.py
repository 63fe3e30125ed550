"""What a node tells its submission door, and the bounds that are not settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

MAX_COMMAND: Final = 2048
"""Octets of a command line with CRLF; RFC 5321 §4.5.3.1.4 asks for 512 plus what extensions add (S26)."""
MAX_AUTH_LINE: Final = 12_288
"""Octets of an AUTH line with CRLF (RFC 4954 §4)."""
MAX_ERRORS: Final = 20
"""Refused commands after which a session is closed (C13)."""
MAX_AUTH_FAILURES: Final = 5
"""Wrong passwords after which a session is closed."""
MAX_HANDSHAKES: Final = 200
"""TLS handshakes under way in one worker (S35)."""
MAX_HANDSHAKES_PER_ADDRESS: Final = 50
"""TLS handshakes under way with one client address."""
MAX_CONTENT_IN_MEMORY: Final = 112 * 1024 * 1024
"""Octets of content held by all sessions of a worker, 256 KiB of a large one; more is refused with 452."""
CONTENT_SHARES: Final = 4
"""One credential holds at most this part of that memory."""
LINE_END: Final = 2
"""Octets of the line end before the content, which is held with it."""
MAX_PRESSURE: Final = 20.0
"""How many times as fast a client has to send when that memory is used up."""
MAX_REPLIES: Final = 256
"""Replies to pipelined commands that go into one write."""
CLOSE_SECONDS: Final = 5.0
"""Time for the last reply of a closing connection."""
BUFFER: Final = 64 * 1024
"""Octets of input a session holds at most before it stops reading, twice (asyncio pauses at double)."""
HANDSHAKE_SECONDS: Final = 10.0
"""Time for a TLS handshake (S35)."""
MINIMUM_RATE: Final = 500
"""Octets of content a second below which a client's patience account runs dry (S25)."""


@dataclass(frozen=True, slots=True)
class SubmissionOptions:
    """The door's share of the settings; sizes in octets, `idle_timeout` in seconds.

    `tls` None: STARTTLS is not offered and AUTH is taken from trusted networks only.
    """

    hostname: str
    require_auth: bool
    trusted_networks: tuple[IPv4Network | IPv6Network, ...]
    max_message_size: int
    max_recipients: int
    max_connections: int
    max_connections_per_address: int
    idle_timeout: float
    tls: ssl.SSLContext | None
