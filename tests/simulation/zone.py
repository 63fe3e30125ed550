"""The DNS of the simulated world: one MX and one address a domain, and the ways it can fail for a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

from relay.resolver.contract import DnsAnswer, DnsFailure


@dataclass(slots=True)
class DnsTrouble:
    """Chances that a question gets no useful answer; seconds an answer takes at most."""

    servfail: float = 0.0
    timeout: float = 0.0
    seconds: float = 0.05


@dataclass(eq=False)
class Zone:
    """Implements `relay.resolver.contract.Resolver`."""

    random: Random
    records: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    trouble: DnsTrouble = field(default_factory=DnsTrouble)
    questions: int = 0

    def host(self, domain: str, address: str) -> None:
        """Let `domain` have one exchanger at `address`."""
        self.records[domain, "MX"] = (f"10 mx.{domain}",)
        self.records[f"mx.{domain}", "A"] = (address,)

    def null(self, domain: str) -> None:
        """Let `domain` say that it takes no mail (RFC 7505)."""
        self.records[domain, "MX"] = ("0 .",)

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        """As the contract says; a name without any record does not exist."""
        self.questions += 1
        chance = self.random.random()
        if chance < self.trouble.timeout:
            await asyncio.sleep(5.0)
            return DnsAnswer((), DnsFailure.TIMEOUT)
        await asyncio.sleep(0.001 + self.trouble.seconds * self.random.random())
        if chance < self.trouble.timeout + self.trouble.servfail:
            return DnsAnswer((), DnsFailure.SERVFAIL)
        if (records := self.records.get((name, kind))) is not None:
            return DnsAnswer(records)
        known = any((name, other) in self.records for other in ("MX", "A"))
        return DnsAnswer((), DnsFailure.NODATA if known else DnsFailure.NXDOMAIN)
