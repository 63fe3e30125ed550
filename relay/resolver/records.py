"""Records as text, in the forms the resolver's contract names; what they mean is judged elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dns.immutable
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.ANY.TXT


@dns.immutable.immutable
class _AnyTlsa(dns.rdtypes.ANY.TLSA.TLSA):
    """A TLSA record as it came, of whatever length."""

    _cert_length_by_mtype = {}  # noqa: RUF012 - as dnspython has it

    @classmethod
    def from_wire_parser(cls, rdclass: Any, rdtype: Any, parser: Any, origin: Any = None) -> _AnyTlsa:
        usage, selector, mtype, *cert = parser.get_remaining().ljust(3, b"\xff")
        return cls(rdclass, rdtype, usage, selector, mtype, bytes(cert))


# dnspython throws a whole answer away for one malformed record, and a host would be unreachable for it where
# RFC 7671 §9 wants the record passed over. There is no public way to replace a type's class.
dns.rdata._rdata_classes[dns.rdataclass.IN, dns.rdatatype.TLSA] = _AnyTlsa  # noqa: SLF001


def record_texts(records: Iterable[dns.rdata.Rdata]) -> tuple[str, ...]:
    """Each record as `relay.resolver.contract.DnsAnswer` wants it, in the order of the answer."""
    return tuple(record_text(record) for record in records)


def record_text(record: dns.rdata.Rdata) -> str:
    """One record as text: MX "PREFERENCE NAME", TXT joined, TLSA "U S M HEX", names without their last dot."""
    match record:
        case dns.rdtypes.ANY.MX.MX():
            return f"{record.preference} {name_text(record.exchange)}"
        case dns.rdtypes.ANY.TXT.TXT():
            return b"".join(record.strings).decode("utf-8", "replace")
        case dns.rdtypes.ANY.TLSA.TLSA():
            return f"{record.usage} {record.selector} {record.mtype} {record.cert.hex()}"
        case dns.rdtypes.ANY.CNAME.CNAME() | dns.rdtypes.ANY.PTR.PTR():
            return name_text(record.target)
        case _:
            return record.to_text()


def name_text(name: dns.name.Name) -> str:
    """A name in lower case without its last dot; "." for the root."""
    return "." if name == dns.name.root else name.to_text(omit_final_dot=True).lower()
