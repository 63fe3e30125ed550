"""What cannot be routed, as outcomes: each says who decided, and none speaks for one host alone. Pure.

Stands beside `relay.policy.route`, which decides when each of them holds.
"""

from __future__ import annotations

from relay.policy.outcome import DecidedBy, Host, Outcome, Phase, Result, Scope, TlsFacts
from relay.policy.tls import Fault, HostDemand, TlsResult
from relay.smtp.reply import Reply, reply


def no_such_domain() -> Outcome:
    """NXDOMAIN at the domain itself: nobody can ever be reached there (B04)."""
    return _failure(Result.PERMANENT, DecidedBy.DNS, reply(550, "5.1.2", "the domain does not exist"))


def null_mx() -> Outcome:
    """The domain publishes that it takes no mail (RFC 7505 §4.1, B10)."""
    return _failure(Result.PERMANENT, DecidedBy.DNS, reply(556, "5.1.10", "the domain accepts no mail (null MX)"))


def dns_unavailable() -> Outcome:
    """SERVFAIL, a bogus answer or none at all: nothing is known, so nothing is decided (B04)."""
    return _failure(Result.TEMPORARY, DecidedBy.DNS, reply(451, "4.4.3", "the DNS gave no answer for the domain"))


def no_host() -> Outcome:
    """The DNS says for certain that no exchanger has an address: an error (RFC 5321 §5.1, B03).

    Permanent, as with Postfix and Exim: the writer learns today that the domain takes no mail, not in five days.
    """
    return _failure(Result.PERMANENT, DecidedBy.DNS, reply(550, "5.4.4", "no mail host of the domain has an address"))


def no_reachable_address() -> Outcome:
    """Every address was dropped: private ones, or a family this machine cannot send over (B19).

    Temporary: the records may be right where others stand (a split view, a captive resolver) or the fault ours,
    and a later look costs nothing. Expiry ends it.
    """
    words = "no mail host of the domain has an address that may be used"
    return _failure(Result.TEMPORARY, DecidedBy.RELAY, reply(451, "4.4.4", words))


def loop() -> Outcome:
    """We are the domain's best exchanger ourselves, and nobody better is left (RFC 5321 §5.1, B06)."""
    return _failure(Result.PERMANENT, DecidedBy.RELAY, reply(554, "5.4.6", "mail for the domain loops back to us"))


def refused_by_policy(exchanger: str, demand: HostDemand, fault: Fault) -> Outcome:
    """No host may be used under the domain's own policy, `exchanger` first of all: defer (H02, I06)."""
    words = reply(451, "4.7.10", f"no host satisfies the domain's TLS policy: {exchanger}: {fault.words}")
    facts = TlsFacts(
        "",
        "",
        verified=False,
        demand=demand.shown,
        error=fault.words,
        policy=demand.policy.value,
        domain=demand.domain,
        failure=fault.result.value,
    )
    decided_by = DecidedBy.DNS if fault.result is TlsResult.DNSSEC_INVALID else DecidedBy.RELAY
    return Outcome(Result.TEMPORARY, Scope.SITE, Phase.ROUTE, decided_by, words, Host(exchanger, ""), facts)


def _failure(result: Result, decided_by: DecidedBy, words: Reply) -> Outcome:
    """Scope SITE: what the DNS says of a domain holds for every recipient there, and for no one host."""
    return Outcome(result, Scope.SITE, Phase.ROUTE, decided_by, words)


def literal_refused() -> Outcome:
    """The operator does not let mail go to address literals (B09)."""
    return _failure(Result.PERMANENT, DecidedBy.RELAY, reply(550, "5.1.2", "address literals are not allowed here"))


def literal_not_public() -> Outcome:
    """An address literal that no host on the Internet can have (B09, B19)."""
    return _failure(Result.PERMANENT, DecidedBy.RELAY, reply(550, "5.1.2", "the address is not a public one"))
