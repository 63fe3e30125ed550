"""How live DNS records compare with those a configuration needs. Pure: records and answers in, values out.

What already stands at a name is somebody's: an SPF or DMARC record that is there is added to, never replaced, and a
stricter policy than ours is left as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

from relay.cli.dns_records import Purpose, Record
from relay.policy.mta_sts import record_id
from relay.resolver.contract import DnsAnswer, DnsFailure


class Finding(StrEnum):
    """How a live record compares."""

    OK = "ok"
    MISSING = "missing"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """The DNS did not answer, or there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A wanted record beside what the DNS says."""

    record: Record
    finding: Finding
    live: tuple[str, ...]
    hint: str = ""
    merged: str = ""
    """What to publish instead of the live record, where that is to be kept in part."""

    @property
    def publish(self) -> str:
        """What should stand there."""
        return self.merged or self.record.value


def compare(record: Record, answer: DnsAnswer) -> Comparison:
    """Judge a live answer; what else stands at the name does not matter."""
    if answer.failure in {DnsFailure.SERVFAIL, DnsFailure.TIMEOUT}:
        return Comparison(record, Finding.UNKNOWN, (), f"the DNS does not answer: {answer.failure}")
    if not record.value:
        return Comparison(record, Finding.UNKNOWN, answer.records, record.problem)
    live = tuple(text for text in answer.records if _concerns(record.purpose, text))
    if not live:
        return Comparison(record, Finding.MISSING, (), "publish it")
    match record.purpose:
        case Purpose.DKIM:
            return _compare_dkim(record, live)
        case Purpose.SPF:
            return _compare_spf(record, live)
        case Purpose.DMARC:
            return _compare_dmarc(record, live)
        case Purpose.BOUNCES:
            hosts = [text.partition(" ")[2] for text in live]
            fits = record.value.partition(" ")[2] in hosts
            return _verdict(record, live, fits, f"bounces go to {', '.join(hosts)}")
        case Purpose.TLS_REPORTS:
            ours = record.value.partition("rua=")[2].lower()
            fits = len(live) == 1 and ours in live[0].lower()
            return _verdict(record, live, fits, "keep one record, with our address among its rua")
        case Purpose.MTA_STS if record.type == "TXT":
            return _verdict(record, live, record_id(live) == record_id([record.value]), "its id is of another policy")
        case Purpose.HOST | Purpose.REVERSE | Purpose.MTA_STS:
            names = [text.lower().removesuffix(".") for text in live]
            return _verdict(record, live, record.value.lower() in names, "another value stands there")


def _verdict(record: Record, live: tuple[str, ...], fits: bool, hint: str) -> Comparison:
    return Comparison(record, Finding.OK if fits else Finding.DIFFERENT, live, "" if fits else hint)


def _merged(record: Record, live: tuple[str, ...], merged: str) -> Comparison:
    """The live record, if what ours needs is in it already; otherwise what it should become."""
    if merged == live[0]:
        return Comparison(record, Finding.OK, live)
    return Comparison(record, Finding.DIFFERENT, live, f"change it to: {merged}", merged)


def _concerns(purpose: Purpose, text: str) -> bool:
    """Whether a live record is of the kind in question: many TXT records may share a name."""
    lowered = text.lower()
    if purpose is Purpose.SPF:
        return lowered == "v=spf1" or lowered.startswith("v=spf1 ")
    if purpose is Purpose.DMARC:
        return bool(re.match(r"v\s*=\s*dmarc1\b", lowered))
    if purpose is Purpose.TLS_REPORTS:
        return bool(re.match(r"v\s*=\s*tlsrptv1\b", lowered))
    if purpose is Purpose.MTA_STS:  # a policy record, or a host name
        return lowered.startswith("v=stsv1") or not re.search(r"[ =]", lowered)
    return True


def _compare_dkim(record: Record, live: tuple[str, ...]) -> Comparison:
    """The key counts, not the spelling of the record (L09)."""
    if len(live) > 1:
        return Comparison(
            record, Finding.DIFFERENT, live, "there are several records; receivers may take any: keep one"
        )
    published, expected = _tags(live[0]), _tags(record.value)
    if not published.get("p"):
        return Comparison(record, Finding.DIFFERENT, live, "the key is revoked: p= is empty")
    fits = published["p"] == expected["p"] and published.get("k", "rsa") == expected["k"]
    return _verdict(record, live, fits, "another key is published; signatures fail")


def _compare_spf(record: Record, live: tuple[str, ...]) -> Comparison:
    if len(live) > 1:
        return Comparison(record, Finding.DIFFERENT, live, "several SPF records are an error (RFC 7208 §4.5): keep one")
    return _merged(record, live, merged_spf(live[0], record.value))


def _compare_dmarc(record: Record, live: tuple[str, ...]) -> Comparison:
    if len(live) > 1:
        return Comparison(record, Finding.DIFFERENT, live, "several DMARC records count as none: keep one")
    if _tags(live[0]).get("p", "none").lower() not in {"none", "quarantine", "reject"}:
        return Comparison(record, Finding.DIFFERENT, live, "p= is not valid: write none, quarantine or reject")
    return _merged(record, live, merged_dmarc(live[0], record.value))


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): re.sub(r"\s", "", value) for name, _, value in pairs if name.strip()}


def merged_spf(live: str, wanted: str) -> str:
    """The live SPF record with what ours has more, before its last word; unchanged when nothing is missing."""
    words = live.split()
    there = {word.lower().lstrip("+") for word in words}
    missing = [term for term in wanted.split()[1:-1] if term not in there and not _is_within(term, there)]
    if not missing:
        return live
    ends = [at for at, word in enumerate(words) if re.fullmatch(r"[+?~-]?all|redirect=.*", word.lower())]
    at = min(ends, default=len(words))
    return " ".join([*words[:at], *missing, *words[at:]])


def _is_within(term: str, there: set[str]) -> bool:
    """Whether `term` is an address that a network of the record lets send already."""
    address = _network(term)
    networks = [network for word in there if (network := _network(word)) is not None]
    return address is not None and any(
        address.network_address in network and address.prefixlen >= network.prefixlen for network in networks
    )


def _network(term: str) -> IPv4Network | IPv6Network | None:
    kind, _, text = term.partition(":")
    if kind not in {"ip4", "ip6"}:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def merged_dmarc(live: str, wanted: str) -> str:
    """The live DMARC record with relaxed SPF alignment, and our address for reports beside those that get them."""
    parts = [part.strip() for part in live.strip().rstrip(";").split(";") if part.strip()]
    changed = [part for part in parts if not re.match(r"aspf\s*=\s*s\b", part, re.IGNORECASE)]
    ours, theirs = _tags(wanted).get("rua"), _tags(live).get("rua")
    if ours and theirs is None:
        changed.append(f"rua={ours}")
    elif ours and theirs is not None and ours.lower() not in theirs.lower().split(","):
        changed = [f"{part},{ours}" if re.match(r"rua\s*=", part, re.IGNORECASE) else part for part in changed]
    return live if changed == parts else "; ".join(changed)
