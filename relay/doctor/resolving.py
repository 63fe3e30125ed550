"""Does the DNS answer as mail needs it? A resolver of one's own, that validates: DANE and blocklists depend on it."""

from __future__ import annotations

import ipaddress
from typing import Final

from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, Means, ResolverFacts
from relay.resolver.contract import DnsAnswer

_PUBLIC: Final = frozenset(
    {
        "1.0.0.1",
        "1.1.1.1",
        "8.8.4.4",
        "8.8.8.8",
        "9.9.9.9",
        "149.112.112.112",
        "208.67.220.220",
        "208.67.222.222",
        "2001:4860:4860::8844",
        "2001:4860:4860::8888",
        "2606:4700:4700::1001",
        "2606:4700:4700::1111",
        "2620:fe::fe",
    }
)
_UNBOUND: Final = 'install unbound on this machine, then resolver.nameservers = ["127.0.0.1:53"] and trust_ad = true'


async def look(means: Means, examined: Examined) -> list[Finding]:
    """One question for a signed name tells whether the DNS answers, and whether it validates."""
    facts = examined.resolver
    if not facts.signed_name:
        return [judge_servers(facts, None)]
    return [judge_servers(facts, await means.resolver.ask(facts.signed_name, "A"))]


def judge_servers(facts: ResolverFacts, answer: DnsAnswer | None) -> Finding:
    """`answer` is about the signed name, its AD bit as the server set it; None = not asked."""
    subject = ", ".join(facts.servers)
    hosts = [server.rpartition(":")[0].strip("[]") for server in facts.servers]
    if answer is not None and answer.failure is not None:
        evidence = f"{facts.signed_name}: {answer.failure}"
        if answer.failed:
            return Finding("resolver", subject, Severity.ERROR, evidence, f"no mail leaves without the DNS; {_UNBOUND}")
        return Finding("resolver", subject, Severity.UNKNOWN, evidence, "name a signed domain in doctor.signed_name")
    validates = answer is not None and answer.authentic
    if facts.trust_ad and answer is not None and not validates:
        evidence = f"trust_ad is on, and the answer about {facts.signed_name} has no AD bit: DANE is never used"
        return Finding("resolver", subject, Severity.WARNING, evidence, f"{_UNBOUND}; or trust_ad = false")
    public = [host for host in hosts if host in _PUBLIC]
    if public:
        evidence = f"{', '.join(public)} is everybody's: blocklists do not answer it, and DANE must not trust it"
        return Finding("resolver", subject, Severity.WARNING, evidence, _UNBOUND)
    distant = [host for host in hosts if not _is_local(host)]
    if facts.trust_ad and distant:
        evidence = f"the AD bit of {', '.join(distant)} is believed over the network, where it can be forged"
        return Finding("resolver", subject, Severity.WARNING, evidence, _UNBOUND)
    if not facts.trust_ad:
        sets = "sets the AD bit, which is not believed" if validates else "does not validate"
        evidence = f"{subject} {sets}: DANE is not used"
        return Finding("resolver", subject, Severity.NOTE, evidence, _UNBOUND)
    return Finding("resolver", subject, Severity.OK, f"{subject} answers and validates")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
