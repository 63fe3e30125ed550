"""SPF as a receiver evaluates it (RFC 7208 §4), with spftrace over our own resolver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import spftrace

from relay.resolver.contract import DnsAnswer, DnsFailure, Resolver

SPF_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SpfVerdict:
    """`result` is one of RFC 7208 §2.6; `domain` what it was asked about, `lookups` the DNS terms used of ten."""

    result: str
    why: str
    domain: str
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is judged: who connected, under which name, with which reverse-path ("" = null), and the content."""

    host: str
    client: str
    helo: str
    reverse_path: str
    content: bytes


async def check_spf(resolver: Resolver, evidence: Evidence) -> SpfVerdict:
    """Whether the client may send for the reverse-path's domain, or for its own name where the path is null."""
    domain = (evidence.reverse_path.rpartition("@")[2] or evidence.helo).lower().rstrip(".")
    sender = evidence.reverse_path or f"postmaster@{evidence.helo}"
    limits = spftrace.Limits(time_limit=SPF_SECONDS)
    result = await spftrace.Evaluator(_SpfResolver(resolver), limits, receiver=evidence.host).evaluate(
        evidence.client, sender, evidence.helo
    )
    return SpfVerdict(result.verdict, _reason(result, domain, evidence.client), domain, result.dns_terms_used)


def _reason(result: spftrace.Result, domain: str, client: str) -> str:
    match result.verdict:
        case "pass":
            return f"{client} may send for {domain}"
        case "fail":
            return f"{domain} says that {client} may not send for it"
        case "softfail" | "neutral":
            return f"{domain} does not vouch for {client}"
        case "none":
            return f"{domain} publishes no SPF record"
        case "temperror":
            return "the DNS gave no answer"
        case _:
            events = result.trace.to_list()
            last = next((str(e["message"]) for e in reversed(events) if e.get("message")), "the record is not valid")
            return last[:300]


class _SpfResolver(spftrace.BaseResolver):
    """Our resolver in the form that spftrace asks."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        answer: DnsAnswer = await self._resolver.ask(name, rtype)
        match answer.failure:
            case DnsFailure.NXDOMAIN:
                return "NXDOMAIN", []
            case DnsFailure.SERVFAIL:
                return "SERVFAIL", []
            case DnsFailure.TIMEOUT:
                return "TIMEOUT", []
            case DnsFailure.NODATA | None:
                pass
        if rtype == "MX":
            return "NOERROR", [record.partition(" ")[2] for record in answer.records]
        return "NOERROR", list(answer.records)
