"""The TLS demand: what a host must offer before it may have our mail, and what its failures mean. Pure.

Stands between the plan, which knows a domain's policy, and the dialer, which sees what the host does.
Opportunistic TLS (RFC 7435) is the default: encrypt where it is offered, and let no broken certificate or
handshake strand a letter that would have gone in clear otherwise. A policy's failure defers, it never falls
back (E06). What is demanded of one host is a `HostDemand`; it travels in the plan's candidate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from relay.policy.dane import Tlsa


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


class PolicyType(StrEnum):
    """Which policy of the domain spoke, in the words of TLS reports (RFC 8460 §4.2)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


class TlsResult(StrEnum):
    """What went wrong, in the words of TLS reports (RFC 8460 §4.3)."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    HOST_MISMATCH = "certificate-host-mismatch"
    EXPIRED = "certificate-expired"
    NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    STS_FETCH_ERROR = "sts-policy-fetch-error"
    STS_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something short of what a policy wants: words for people, and their kind for reports."""

    words: str
    result: TlsResult


@dataclass(frozen=True, slots=True)
class HostDemand:
    """What one host must offer, whose policy says so, and what its certificate is compared with.

    `floor` is what the operator demands whatever the domain publishes. `domain` is the policy's (RFC 8460 §4.4):
    the recipient's for MTA-STS, the TLSA base domain for DANE. `testing`: the policy is watched, not enforced
    (RFC 8461 §5). `known` is what the plan already saw to be wrong and may be overlooked.
    """

    level: TlsDemand = TlsDemand.MAY
    floor: TlsDemand = TlsDemand.MAY
    policy: PolicyType = PolicyType.NONE
    domain: str = ""
    testing: bool = False
    tlsa: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()
    """Names a DANE-TA certificate may bear, the one sent as SNI first (RFC 7672 §3.2.2, §8.1)."""
    known: Fault | None = None

    @property
    def shown(self) -> str:
        """The word in the attempt's record."""
        return TlsDemand.STS.value if self.testing and not self.level.requires else self.level.value

    def relaxed(self) -> HostDemand:
        """What is left for a message that asks to go without its domain's policies (RFC 8689 §4.2.2, K02)."""
        return self if self.policy is PolicyType.NONE else HostDemand(level=self.floor, floor=self.floor)


OPPORTUNISTIC: Final = HostDemand()

_OPERATOR_ORDER: Final = (TlsDemand.NONE, TlsDemand.MAY, TlsDemand.ENCRYPT, TlsDemand.VERIFY)


def operator_demand(word: TlsDemand) -> HostDemand:
    """A demand of the operator's alone."""
    return HostDemand(level=word, floor=word)


def over_floor(demand: HostDemand, floor: TlsDemand) -> HostDemand:
    """The demand with the operator's floor under it: the stricter one is enforced, the policy stays known."""
    if floor not in {TlsDemand.ENCRYPT, TlsDemand.VERIFY}:
        return demand
    level = demand.level
    if level in _OPERATOR_ORDER and _OPERATOR_ORDER.index(level) < _OPERATOR_ORDER.index(floor):
        level = floor
    return replace(demand, level=level, floor=floor)


def overridden(static: TlsDemand | None) -> bool:
    """Whether the operator's word replaces what the domain publishes: `none` and `may` do, stricter ones are floors."""
    return static in {TlsDemand.NONE, TlsDemand.MAY}


def shortfall(demand: TlsDemand, *, encrypted: bool, verified: bool) -> str:
    """What a session lacks to satisfy `demand`, as words for a reply; empty when mail may go."""
    if demand.requires and not encrypted:
        return "encryption is required and was not had"
    if demand.verifies and not verified:
        return "a verified certificate is required and was not had"
    return ""
