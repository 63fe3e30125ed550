"""Records as text, in the forms the resolver's contract names; malformed ones are left out."""

from __future__ import annotations

from collections.abc import Iterable

import dns.name
import dns.rdata
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.ANY.TXT


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
