"""The TLS demand: what a host must offer before it may have our mail, and what its failures mean. Pure.

Stands between the plan, which knows a domain's policy, and the dialer, which sees what the host does.
Opportunistic TLS (RFC 7435) is the default: encrypt where it is offered, and let no broken certificate or
handshake strand a letter that would have gone in clear otherwise. A policy's failure defers, it never falls
back (E06).
"""

from __future__ import annotations

from enum import StrEnum


class TlsDemand(StrEnum):
    """How much TLS a session must have (E06), from none to pinned by the domain itself."""

    NONE = "none"
    """Never STARTTLS, even where it is offered."""
    MAY = "may"
    """Opportunistic: TLS where offered, unverified is better than clear, clear is better than no mail."""
    ENCRYPT = "encrypt"
    """TLS or no mail; the certificate is not judged."""
    VERIFY = "verify"
    """TLS with a certificate that verifies for the exchanger's name, or no mail."""
    DANE = "dane"
    """TLS with a certificate that a secure TLSA record names (RFC 7672)."""
    STS = "sts"
    """TLS with a certificate that verifies, on an exchanger the domain's policy lists (RFC 8461)."""

    @property
    def wants(self) -> bool:
        """Whether STARTTLS is used where it is offered."""
        return self is not TlsDemand.NONE

    @property
    def requires(self) -> bool:
        """Whether mail may not go in clear."""
        return self not in {TlsDemand.NONE, TlsDemand.MAY}

    @property
    def verifies(self) -> bool:
        """Whether an encrypted session whose certificate did not verify may not carry mail."""
        return self in {TlsDemand.VERIFY, TlsDemand.DANE, TlsDemand.STS}


def shortfall(demand: TlsDemand, *, encrypted: bool, verified: bool) -> str:
    """What a session lacks to satisfy `demand`, as words for a reply; empty when mail may go."""
    if demand.requires and not encrypted:
        return "encryption is required and was not had"
    if demand.verifies and not verified:
        return "a verified certificate is required and was not had"
    return ""
