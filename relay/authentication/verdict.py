"""How a receiver judges a mail: SPF, each DKIM signature and DMARC together.

The lab's hosts and the inbound door share it; whoever asks brings the resolver and says whom From names, since
reading a header leniently, for show, and strictly, to act on it, are two things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from relay.authentication import dmarc, signatures
from relay.authentication.dmarc import DmarcVerdict
from relay.authentication.signatures import SignatureVerdict
from relay.authentication.spf import Evidence, SpfVerdict, check_spf
from relay.resolver.contract import Resolver


@dataclass(frozen=True, slots=True)
class Judged:
    """What SPF, each signature and DMARC say of one mail."""

    spf: SpfVerdict
    dkim: tuple[SignatureVerdict, ...]
    dmarc: DmarcVerdict


async def judge(resolver: Resolver, evidence: Evidence, author_domains: Sequence[str]) -> Judged:
    """The verdict on a mail whose From names `author_domains`; never raises for what the mail holds."""
    spf = await check_spf(resolver, evidence)
    found = signatures.signatures(evidence.content)
    keys = {name: await resolver.ask(name, "TXT") for name in sorted(signatures.needed_keys(found))}
    dkim = tuple(await asyncio.to_thread(signatures.check, evidence.content, found, keys))
    passed = [one.domain for one in dkim if one.result == "pass"]
    spf_domain = spf.domain if spf.result == "pass" else None
    return Judged(spf, dkim, await dmarc.evaluate(resolver, author_domains, spf_domain, passed))
