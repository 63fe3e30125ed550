"""The TLS context of a listening SMTP door (E08, E10, S35)."""

from __future__ import annotations

import ssl
from pathlib import Path


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for listeners: TLS 1.2 or newer, no renegotiation, no session tickets (RFC 8997, RFC 9325).

    Tickets stay off because a known client stalls on them. Raises OSError or ssl.SSLError when the files
    cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    return context
