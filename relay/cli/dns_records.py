"""The DNS records a configuration needs. Pure: settings in, values out.

SPF stands at every name a receiver may ask: the From domain, the return domain, the EHLO names (RFC 7208 §2.3,
§2.4). DMARC starts with p=none (RFC 9989). Bounces and reports are asked for only where this node listens for
them, or they would be refused for days. A and PTR belong to whoever gives the host its address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from relay.policy.mta_sts import policy_id
from relay.receiving import sts_policies
from relay.settings import Settings, SigningDomain
from relay.settings_effect import inbound_listens
from relay.signing.keys import KeyFileError, describe_key, key_path, record_name, zone_text
from relay.signing.rotation import read_rotation

ZONE_TTL = 3600


class Purpose(StrEnum):
    """What a record is for; it decides how a live one is compared."""

    DKIM = "DKIM"
    SPF = "SPF"
    DMARC = "DMARC"
    BOUNCES = "bounces"
    MTA_STS = "MTA-STS"
    TLS_REPORTS = "TLS reports"
    HOST = "host"
    REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class Record:
    """A record to publish. `value` is empty where only the operator knows it; `problem` says why."""

    purpose: Purpose
    name: str
    type: str
    value: str
    problem: str = ""

    def zone_line(self) -> str:
        """The record in zone-file form; a comment where the value is not known."""
        if not self.value:
            return f"; {self.name}. {self.type}: {self.problem}"
        value = zone_text(self.value) if self.type == "TXT" else self.value
        if self.type in ("MX", "CNAME"):
            value += "."
        if self.type == "PTR":
            return f"; {self.name}. {ZONE_TTL} IN PTR {value}.   (ask whoever gives you the address)"
        return f"{self.name}. {ZONE_TTL} IN {self.type} {value}"

    def as_json(self) -> dict[str, object]:
        """The record as the command's JSON shows it."""
        return asdict(self)


def wanted_records(settings: Settings, answering: Collection[str] = ()) -> list[Record]:
    """Every record, each once, in the order in which it is best published.

    `answering` are the domains whose MTA-STS policy was fetched over HTTPS: theirs alone may be announced.
    """
    records: dict[tuple[str, str, str], Record] = {}
    for record in (*_records(settings), *_sts(settings, answering)):
        records.setdefault((record.purpose, record.name, record.type + record.value), record)
    return list(records.values())


def _records(settings: Settings) -> Iterator[Record]:
    names = _ehlo_names(settings)
    addresses = _addresses(settings)
    for ehlo in names:
        yield from _host(ehlo, [address for address, name in addresses if name == ehlo])
    for address, ehlo in addresses:
        yield Record(Purpose.REVERSE, ipaddress.ip_address(address).reverse_pointer, "PTR", ehlo)
    spf = _spf(names, [address for address, _ in addresses])
    for ehlo in names:
        yield Record(Purpose.SPF, ehlo, "TXT", spf)
    for entry in settings.signing.domain:
        yield from _signing_domain(settings, entry, spf)
    if settings.inbound.domain:
        yield from _return_domain(settings, settings.inbound.domain, spf)


def _ehlo_names(settings: Settings) -> list[str]:
    names = [source.ehlo or settings.node.name for source in settings.egress.source] or [settings.node.name]
    return list(dict.fromkeys(names))


def _addresses(settings: Settings) -> list[tuple[str, str]]:
    """(address, EHLO name) of the sources whose address the world sees; behind NAT only what the settings tell."""
    found = [
        (source.address, source.ehlo or settings.node.name)
        for source in settings.egress.source
        if source.address and not _is_internal(source.address)
    ]
    return found or [(address, _ehlo_names(settings)[0]) for address in settings.doctor.addresses]


def known_addresses(settings: Settings) -> frozenset[str]:
    """The addresses the world sees us send from, as far as they are configured."""
    return frozenset(str(ipaddress.ip_address(address)) for address, _ in _addresses(settings))


def _is_internal(address: str) -> bool:
    # Not `is_private`: that counts the documentation networks too, with which people try things out.
    networks = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
    parsed = ipaddress.ip_address(address)
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified:
        return True
    return any(parsed in ipaddress.ip_network(network) for network in networks)


def _host(name: str, addresses: list[str]) -> Iterator[Record]:
    for address in addresses:
        yield Record(Purpose.HOST, name, "AAAA" if ":" in address else "A", address)
    if not addresses:
        yield Record(Purpose.HOST, name, "A", "", "the public address this host sends from")
        yield Record(Purpose.REVERSE, name, "PTR", "", f"the reverse name of that address must be {name}")


def _spf(names: list[str], addresses: list[str]) -> str:
    """The sources by address where known, by host name otherwise; everybody else fails."""
    terms = [f"ip6:{address}" if ":" in address else f"ip4:{address}" for address in addresses]
    terms = terms or [f"a:{name}" for name in names]
    return " ".join(["v=spf1", *terms, "-all"])


def _signing_domain(settings: Settings, entry: SigningDomain, spf: str) -> Iterator[Record]:
    for selector in _published(settings, entry):
        found = describe_key(key_path(settings.path(settings.signing.keys), entry.domain, selector))
        yield Record(Purpose.DKIM, record_name(entry.domain, selector), "TXT", found.record, found.problem)
    yield Record(Purpose.SPF, entry.domain, "TXT", spf)
    return_domain = (entry.return_domain or settings.inbound.domain) if inbound_listens(settings) else None
    reports = f"; rua=mailto:dmarc-reports@{return_domain}" if return_domain else ""
    yield Record(Purpose.DMARC, f"_dmarc.{entry.domain}", "TXT", f"v=DMARC1; p=none; aspf=r{reports}")
    if entry.return_domain:
        yield from _return_domain(settings, entry.return_domain, spf)


def _sts(settings: Settings, answering: Collection[str]) -> Iterator[Record]:
    for domain, policy in sts_policies(settings).items():
        if domain in answering:
            yield Record(Purpose.MTA_STS, f"_mta-sts.{domain}", "TXT", f"v=STSv1; id={policy_id(policy)};")
        else:
            yield Record(Purpose.MTA_STS, f"mta-sts.{domain}", "CNAME", settings.node.name)
        rua = f"v=TLSRPTv1; rua=mailto:tls-reports@{domain}"
        yield Record(Purpose.TLS_REPORTS, f"_smtp._tls.{domain}", "TXT", rua)


def _published(settings: Settings, entry: SigningDomain) -> list[str]:
    """The selectors whose records must stand: those that sign, those to come, and old ones that mail may still need."""
    try:
        rotation = read_rotation(settings.path(settings.signing.keys), entry.domain, entry.selectors)
    except KeyFileError:
        return list(entry.selectors)
    old = [selector for one in rotation.old for selector in one.selectors]
    return list(dict.fromkeys([*rotation.signing, *rotation.coming, *old]))


def _return_domain(settings: Settings, domain: str, spf: str) -> Iterator[Record]:
    if inbound_listens(settings):
        yield Record(Purpose.BOUNCES, domain, "MX", f"10 {settings.node.name}")
    yield Record(Purpose.SPF, domain, "TXT", spf)
