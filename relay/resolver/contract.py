"""The contract of the resolver: answers and failures are values; nothing raises but cancellation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class DnsFailure(StrEnum):
    """Why there is no answer."""

    NXDOMAIN = "nxdomain"
    """The name does not exist: permanent."""
    NODATA = "nodata"
    """The name exists without records of this type."""
    SERVFAIL = "servfail"
    """SERVFAIL, REFUSED, bogus or nonsense: temporary."""
    TIMEOUT = "timeout"
    """No server answered in time: temporary."""


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """Records as text, or a failure with none. `authentic` is the AD bit of a resolver we were told to trust.

    MX records read "PREFERENCE NAME" with the name in lower case without its last dot ("0 ." is null MX);
    TXT records are joined strings; A, AAAA, PTR and CNAME are the plain value, TLSA "U S M HEX".
    """

    records: tuple[str, ...]
    failure: DnsFailure | None = None
    authentic: bool = False
    canonical: str = ""
    """The name at which the records stand, where CNAMEs led away from the one asked for; empty without CNAMEs."""

    @property
    def failed(self) -> bool:
        """Whether nothing is known for now: look again later."""
        return self.failure in {DnsFailure.SERVFAIL, DnsFailure.TIMEOUT}


class Resolver(Protocol):
    """Asks the DNS."""

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        """The records of `kind` ("MX", "A", "AAAA", "TXT", "PTR", "TLSA", "CNAME") at `name`, an A-label name."""
        ...
