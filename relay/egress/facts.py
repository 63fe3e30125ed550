"""What is written down of a host's TLS: the demand, what was had, and what fell short (RFC 8460 §4.3). Pure."""

from __future__ import annotations

import ssl

from relay.policy.outcome import TlsFacts
from relay.policy.tls import Fault, HostDemand


def facts_in_clear(demand: HostDemand, fault: Fault | None) -> TlsFacts:
    """A session without TLS, or none at all, and why."""
    return _facts(demand, "", "", fault, verified=False)


def facts_of(demand: HostDemand, session: ssl.SSLObject, fault: Fault | None) -> TlsFacts:
    """An encrypted session; `fault` is why its certificate did not verify."""
    cipher = session.cipher()
    return _facts(demand, session.version() or "", cipher[0] if cipher else "", fault, verified=fault is None)


def _facts(demand: HostDemand, protocol: str, cipher: str, fault: Fault | None, *, verified: bool) -> TlsFacts:
    # What the plan knew to be wrong with the policy itself comes first: it explains what was not demanded.
    faults = [one for one in (demand.known, fault) if one is not None]
    return TlsFacts(
        protocol,
        cipher,
        verified=verified,
        demand=demand.shown,
        error="; ".join(one.words for one in faults),
        policy=demand.policy.value,
        domain=demand.domain,
        testing=demand.testing,
        failure=faults[0].result.value if faults else "",
    )
