"""Routes: from DNS answers to an ordered list of candidates (RFC 5321 §5.1, RFC 7505). Pure.

The resolver fetches; this module decides: order of preference with equals shuffled, implicit MX, null MX,
loops and unusable exchangers. What cannot be routed is already an outcome.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """An egress source: the local address to bind ("" = the system's choice) and the EHLO name."""

    name: str
    address: str
    ehlo: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One (exchanger, address) to try from one source. `exchanger` is an A-label name or the literal's text."""

    exchanger: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a domain's mail goes: the site (domains with the same exchangers share one name) and the candidates."""

    site: str
    candidates: tuple[Candidate, ...]
