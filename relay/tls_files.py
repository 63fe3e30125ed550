"""TLS contexts from certificate files, for the doors."""

from __future__ import annotations

import ssl

from relay.errors import ConfigurationError
from relay.settings import Settings, TlsFiles


def server_context(settings: Settings, files: TlsFiles, setting: str) -> ssl.SSLContext:
    """A context for a listening port: TLS 1.2 or newer (RFC 8997), no session tickets (E10).

    Tickets stay off because a known client stalls on them. Raises ConfigurationError naming the files.
    """
    certificate, key = settings.path(files.certificate), settings.path(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0  # of TLS 1.3, as the option is of 1.2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{setting}: {certificate} and {key} cannot be used: {error}") from None
    return context
