"""How a receiver judges a mail: SPF, each DKIM signature, DMARC, and the Authentication-Results field.

Stands behind the inbox. The DNS it asks is the lab's; `Examiner` does the work after a mail was stored, DKIM in
a thread, at most one mail at a time and with a bounded queue: what does not fit is examined when it is looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import authres
import authres.dmarc

from relay.authentication import verdict as authentication
from relay.authentication.dmarc import DmarcVerdict
from relay.authentication.signatures import SignatureVerdict
from relay.authentication.spf import Evidence, SpfVerdict
from relay.authentication.verdict import Judged
from relay.lab.reading import header_fields, mailboxes
from relay.mail.address import AddressError, parse_domain
from relay.resolver.contract import Resolver

_UNSAFE = re.compile(r"[^A-Za-z0-9@._+=-]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receiver concludes about one mail."""

    spf: SpfVerdict
    dkim: tuple[SignatureVerdict, ...]
    dmarc: DmarcVerdict
    authentication_results: str


async def judge(resolver: Resolver, evidence: Evidence) -> Verdict:
    """The verdict; never raises for what the mail holds."""
    judged = await authentication.judge(resolver, evidence, _author_domains(evidence.content))
    return Verdict(judged.spf, judged.dkim, judged.dmarc, _results_field(evidence, judged))


def _author_domains(content: bytes) -> list[str]:
    """The domain of each author (RFC 5322 §3.6.2); more than one From field counts with all its addresses."""
    domains = []
    for box in mailboxes(header_fields(content), "from"):
        try:
            domains.append(parse_domain(box.address.rpartition("@")[2]))
        except AddressError:
            continue
    return domains


def _results_field(evidence: Evidence, judged: Judged) -> str:
    """The Authentication-Results field (RFC 8601), every value reduced to what cannot break it."""
    path = (
        {"smtp_mailfrom": _safe(evidence.reverse_path)}
        if evidence.reverse_path
        else {"smtp_helo": _safe(evidence.helo)}
    )
    results: list[authres.AuthenticationResult] = [authres.SPFAuthenticationResult(result=judged.spf.result, **path)]
    results += [
        authres.DKIMAuthenticationResult(result=s.result, header_d=_safe(s.domain), header_s=_safe(s.selector))
        for s in judged.dkim
    ] or [authres.DKIMAuthenticationResult(result="none")]
    results.append(
        authres.dmarc.DMARCAuthenticationResult(result=judged.dmarc.result, header_from=_safe(judged.dmarc.from_domain))
    )
    return str(authres.AuthenticationResultsHeader(authserv_id=evidence.host, results=results))


def _safe(value: str) -> str:
    return _UNSAFE.sub("?", value)[:255]
