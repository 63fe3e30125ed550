"""How a receiver judges a mail: SPF, each DKIM signature, DMARC, and the Authentication-Results field.

Stands behind the inbox. The DNS it asks is the lab's; `Examiner` does the work after a mail was stored, DKIM in
a thread, at most one mail at a time and with a bounded queue: what does not fit is examined when it is looked at.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

import authres
import authres.dmarc
import spftrace

from relay.lab import dkim_check, dmarc_check
from relay.lab.dkim_check import SignatureVerdict
from relay.lab.dmarc_check import DmarcVerdict
from relay.lab.reading import header_fields, mailboxes
from relay.mail.address import AddressError, parse_domain
from relay.resolver.contract import DnsAnswer, DnsFailure, Resolver

SPF_SECONDS: Final = 10.0
_UNSAFE = re.compile(r"[^A-Za-z0-9@._+=-]")


@dataclass(frozen=True, slots=True)
class SpfVerdict:
    """`result` is one of RFC 7208 §2.6; `domain` what it was asked about, `lookups` the DNS terms used of ten."""

    result: str
    why: str
    domain: str
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receiver concludes about one mail."""

    spf: SpfVerdict
    dkim: tuple[SignatureVerdict, ...]
    dmarc: DmarcVerdict
    authentication_results: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is judged: who connected, under which name, with which reverse-path ("" = null), and the content."""

    host: str
    client: str
    helo: str
    reverse_path: str
    content: bytes


async def judge(resolver: Resolver, evidence: Evidence) -> Verdict:
    """The verdict; never raises for what the mail holds."""
    spf = await _spf(resolver, evidence)
    found = dkim_check.signatures(evidence.content)
    keys = {name: await resolver.ask(name, "TXT") for name in sorted(dkim_check.needed_keys(found))}
    signatures = tuple(await asyncio.to_thread(dkim_check.check, evidence.content, found, keys))
    authors = _author_domains(evidence.content)
    dmarc = await dmarc_check.evaluate(
        resolver,
        authors,
        spf.domain if spf.result == "pass" else None,
        [s.domain for s in signatures if s.result == "pass"],
    )
    return Verdict(spf, signatures, dmarc, _results_field(evidence, spf, signatures, dmarc))


async def _spf(resolver: Resolver, evidence: Evidence) -> SpfVerdict:
    domain = (evidence.reverse_path.rpartition("@")[2] or evidence.helo).lower().rstrip(".")
    sender = evidence.reverse_path or f"postmaster@{evidence.helo}"
    limits = spftrace.Limits(time_limit=SPF_SECONDS)
    result = await spftrace.Evaluator(_SpfResolver(resolver), limits, receiver=evidence.host).evaluate(
        evidence.client, sender, evidence.helo
    )
    return SpfVerdict(result.verdict, _spf_reason(result, domain, evidence.client), domain, result.dns_terms_used)


def _spf_reason(result: spftrace.Result, domain: str, client: str) -> str:
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


def _author_domains(content: bytes) -> list[str]:
    """The domain of each author (RFC 5322 §3.6.2); more than one From field counts with all its addresses."""
    domains = []
    for box in mailboxes(header_fields(content), "from"):
        try:
            domains.append(parse_domain(box.address.rpartition("@")[2]))
        except AddressError:
            continue
    return domains


def _results_field(
    evidence: Evidence, spf: SpfVerdict, signatures: tuple[SignatureVerdict, ...], dmarc: DmarcVerdict
) -> str:
    """The Authentication-Results field (RFC 8601), every value reduced to what cannot break it."""
    path = (
        {"smtp_mailfrom": _safe(evidence.reverse_path)}
        if evidence.reverse_path
        else {"smtp_helo": _safe(evidence.helo)}
    )
    results: list[authres.AuthenticationResult] = [authres.SPFAuthenticationResult(result=spf.result, **path)]
    results += [
        authres.DKIMAuthenticationResult(result=s.result, header_d=_safe(s.domain), header_s=_safe(s.selector))
        for s in signatures
    ] or [authres.DKIMAuthenticationResult(result="none")]
    results.append(authres.dmarc.DMARCAuthenticationResult(result=dmarc.result, header_from=_safe(dmarc.from_domain)))
    return str(authres.AuthenticationResultsHeader(authserv_id=evidence.host, results=results))


def _safe(value: str) -> str:
    return _UNSAFE.sub("?", value)[:255]
