"""Time-outs of an outbound session, one a phase, in seconds (RFC 5321 §4.5.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each step may take. The defaults are the minimums of the RFC, and usual values where it has none."""

    connect: float = 30.0
    connect_ipv6: float = 8.0
    """An IPv6 black hole costs seconds, not the attempt (B07): eight see four SYNs."""
    banner: float = 300.0
    ehlo: float = 300.0
    starttls: float = 120.0
    handshake: float = 60.0
    auth: float = 120.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    """One block of content finding room in the socket."""
    dot: float = 600.0
    quit: float = 5.0
    """Short: nothing waits for it but the socket (A20)."""

    def scaled(self, factor: float) -> Self:
        """All of them multiplied by `factor`; below 1 only for tests."""
        return type(self)(*(getattr(self, field.name) * factor for field in fields(self)))
