"""The lab's DNS data: records and faults, which code may change while the servers run.

Everything the relay and the lab's own receivers learn from the DNS comes from here; `dns.py` puts it on the
wire, `ZoneResolver` answers in-process. A look-up is a pure function of the zone, so both tell the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from relay.resolver.contract import DnsAnswer, DnsFailure

KINDS = frozenset({"A", "AAAA", "MX", "TXT", "PTR", "TLSA", "CNAME", "CAA", "NS", "SRV"})
_MAX_CHASE = 8


class Trouble(Enum):
    """What a name server does instead of answering."""

    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    """No answer at all, on UDP and TCP."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How the answers for a name go wrong; `delay` in seconds, `authentic` overrides the zone's AD flag."""

    trouble: Trouble | None = None
    truncated: bool = False
    """TC without records over UDP; TCP answers (RFC 2181 §9)."""
    delay: float = 0.0
    authentic: bool | None = None


NO_FAULT = Fault()


@dataclass(frozen=True, slots=True)
class LookUp:
    """What the zone holds for one question: the CNAME chain walked, then the records of the last name."""

    chain: tuple[tuple[str, str], ...]
    name: str
    records: tuple[str, ...]
    exists: bool
    """Whether the last name exists, with whatever records: NODATA and not NXDOMAIN (RFC 2308 §2)."""
    fault: Fault
    authentic: bool


def plain_name(name: str) -> str:
    """A name as the zone keeps it: lower case, without its last dot."""
    return name.lower().rstrip(".")


class Zone:
    """Records by name and kind, in presentation form; TXT values are the joined strings, unquoted.

    Names outside of what was published do not exist: in the lab nobody reaches a real domain.
    """

    def __init__(self, *, authentic: bool = False) -> None:
        self.authentic = authentic
        self._records: dict[str, dict[str, tuple[str, ...]]] = {}
        self._faults: dict[tuple[str, str], Fault] = {}
        self._nodes: Counter[str] = Counter()

    def publish(self, name: str, kind: str, *values: str) -> None:
        """Set the records of `kind` at `name`, replacing what was there; ValueError names a bad value."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not a kind of record the lab serves: {', '.join(sorted(KINDS))}")
        key = plain_name(name)
        dns.name.from_text(key)
        for value in values:
            if kind != "TXT":
                read_rdata(kind, value)
        if key not in self._records:
            self._nodes.update(_with_parents(key))
        self._records.setdefault(key, {})[kind] = values

    def withdraw(self, name: str, kind: str | None = None) -> None:
        """Remove the records of one kind, or the whole name; what is not there is no error."""
        key = plain_name(name)
        records = self._records.get(key)
        if records is None:
            return
        if kind is not None:
            records.pop(kind, None)
        if kind is None or not records:
            del self._records[key]
            self._nodes.subtract(_with_parents(key))

    def break_name(self, name: str, fault: Fault, kind: str = "") -> None:
        """Let every answer for `name` (or only for `kind`) go wrong as `fault` says."""
        self._faults[plain_name(name), kind] = fault

    def mend(self, name: str, kind: str = "") -> None:
        """Take a fault back."""
        self._faults.pop((plain_name(name), kind), None)

    def fault_of(self, name: str, kind: str) -> Fault:
        """The fault that holds for a question."""
        key = plain_name(name)
        return self._faults.get((key, kind)) or self._faults.get((key, "")) or NO_FAULT

    def names(self) -> list[str]:
        """Every published name, sorted."""
        return sorted(self._records)

    def records(self, name: str) -> dict[str, tuple[str, ...]]:
        """What is published at one name, by kind."""
        return dict(self._records.get(plain_name(name), {}))

    def look_up(self, name: str, kind: str) -> LookUp:
        """The answer to one question, CNAMEs followed up to eight deep."""
        here = plain_name(name)
        chain: list[tuple[str, str]] = []
        fault = self.fault_of(here, kind)
        while True:
            held = self._records.get(here, {})
            if kind in held or "CNAME" not in held or len(chain) == _MAX_CHASE:
                break
            target = plain_name(held["CNAME"][0])
            chain.append((here, target))
            here = target
            if fault == NO_FAULT:
                fault = self.fault_of(here, kind)
        authentic = self.authentic if fault.authentic is None else fault.authentic
        return LookUp(tuple(chain), here, held.get(kind, ()), self._nodes[here] > 0, fault, authentic)


def _with_parents(name: str) -> Iterable[str]:
    """The name and every name above it: an empty non-terminal exists (RFC 8020)."""
    labels = name.split(".")
    return [".".join(labels[i:]) for i in range(len(labels))]


def read_rdata(kind: str, value: str) -> dns.rdata.Rdata:
    """One record's data; ValueError if `value` is none of that kind. TXT is cut into strings of 255 octets."""
    if kind == "TXT":
        octets = value.encode("utf-8", "surrogateescape")
        pieces = [octets[i : i + 255] for i in range(0, len(octets), 255)] or [b""]
        wire = b"".join(bytes([len(piece)]) + piece for piece in pieces)
        return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TXT, wire, 0, len(wire))
    try:
        return dns.rdata.from_text("IN", kind, value, origin=dns.name.root, relativize=False)
    except dns.exception.DNSException as error:
        raise ValueError(f"{value!r} is no {kind} record: {error}") from None


class ZoneResolver:
    """The contract of the resolver over a zone, without packets: how the lab's receivers ask the DNS."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        """Answers at once; a scripted time-out fails at once too."""
        found = self._zone.look_up(name, kind)
        match found.fault.trouble:
            case Trouble.TIMEOUT:
                return DnsAnswer((), DnsFailure.TIMEOUT)
            case Trouble.SERVFAIL | Trouble.REFUSED:
                return DnsAnswer((), DnsFailure.SERVFAIL)
            case Trouble.NXDOMAIN:
                return DnsAnswer((), DnsFailure.NXDOMAIN, found.authentic)
            case None:
                pass
        if found.records:
            return DnsAnswer(tuple(_as_text(kind, value) for value in found.records), None, found.authentic)
        failure = DnsFailure.NODATA if found.exists else DnsFailure.NXDOMAIN
        return DnsAnswer((), failure, found.authentic)


def _as_text(kind: str, value: str) -> str:
    match kind:
        case "MX":
            preference, _, exchange = value.partition(" ")
            return f"{int(preference)} {plain_name(exchange) or '.'}"
        case "CNAME" | "PTR":
            return plain_name(value)
        case _:
            return value
