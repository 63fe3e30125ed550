"""Are our addresses or domains on a blocklist? Asked as RFC 5782 has it, each list's test entry first.

An answer of 127.255.255.x is the list's word about the asker (a public resolver, too many questions), never a listing;
so is any answer outside 127.0.0.0/8, which resolvers that "help" give. Spamhaus' key never leaves the question.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, Means
from relay.resolver.contract import DnsAnswer, DnsFailure

_TEST_ENTRY: Final = "2.0.0.127"
_SPAMHAUS: Final = {"10": "PBL", "11": "PBL", "2": "SBL", "3": "CSS", "4": "XBL", "9": "DROP"}
_DQS: Final = {"zen.spamhaus.org": "zen.dq.spamhaus.net", "dbl.spamhaus.org": "dbl.dq.spamhaus.net"}


class Word(Enum):
    """What an answer means."""

    CLEAN = "clean"
    LISTED = "listed"
    REFUSED = "refused"
    """The list does not answer us, or somebody else answers for it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One question's answer: about what, in which list, the addresses it gave and its words."""

    about: str
    zone: str
    word: Word
    codes: tuple[str, ...] = ()
    reason: str = ""


def read_answer(answer: DnsAnswer) -> Word:
    """What the A records of a question to a list say."""
    if answer.failed:
        return Word.REFUSED
    if not answer.records:
        return Word.CLEAN
    if any(not record.startswith("127.") or record.startswith("127.255.255.") for record in answer.records):
        return Word.REFUSED
    return Word.LISTED


async def look(means: Means, examined: Examined) -> list[Finding]:
    """Every address in every list of addresses, every domain in every list of domains."""
    addresses = list(dict.fromkeys(one for outlet in examined.outlets for one in outlet.addresses))
    names = dict.fromkeys(name for domain in examined.domains for name in (domain.name, domain.return_domain) if name)
    lists = examined.blocklists
    questions = [_ask_addresses(means, zone, lists.dqs_key, addresses) for zone in lists.addresses]
    questions += [_ask_names(means, zone, lists.dqs_key, names) for zone in lists.domains]
    return [finding for found in await asyncio.gather(*questions) for finding in found]


def _asked(zone: str, key: str) -> str:
    return f"{key}.{_DQS[zone]}" if key and zone in _DQS else zone


async def _ask_addresses(means: Means, zone: str, key: str, addresses: Iterable[str]) -> list[Finding]:
    asked = _asked(zone, key)
    test = await means.resolver.ask(f"{_TEST_ENTRY}.{asked}", "A")
    if read_answer(test) is not Word.LISTED:
        return [judge_silent(zone, test)]
    return [judge(await _ask(means, one, zone, f"{reversed_address(one)}.{asked}")) for one in addresses] or [
        judge_silent(zone, DnsAnswer(()))
    ]


async def _ask_names(means: Means, zone: str, key: str, names: Iterable[str]) -> list[Finding]:
    return [judge(await _ask(means, name, zone, f"{name}.{_asked(zone, key)}")) for name in names]


async def _ask(means: Means, about: str, zone: str, question: str) -> Listing:
    answer = await means.resolver.ask(question, "A")
    word = read_answer(answer)
    reason = ""
    if word is Word.LISTED:
        words = await means.resolver.ask(question, "TXT")
        reason = " ".join(words.records)[:200]
    return Listing(about, zone, word, answer.records, reason)


def reversed_address(address: str) -> str:
    """An address as lists are asked for it: 127.0.0.2 is "2.0.0.127", IPv6 by nibbles."""
    return (
        ipaddress.ip_address(address).reverse_pointer.rpartition(".in-addr")[0]
        or (ipaddress.ip_address(address).reverse_pointer.rpartition(".ip6")[0])
    )


def judge_silent(zone: str, test: DnsAnswer) -> Finding:
    """A list whose test entry is not there tells nothing about us."""
    if not test.records and not test.failure:
        evidence = "no address of ours is known, so none can be asked about"
        return Finding("blocklist", zone, Severity.UNKNOWN, evidence, "see the finding `address`")
    said = ", ".join(test.records) or str(test.failure)
    remedy = "ask by a resolver of your own on this machine (unbound), not by a public one"
    if test.failure is DnsFailure.NXDOMAIN:
        remedy += "; a list that has ended is to be taken out of doctor.blocklists"
    if zone in _DQS:
        remedy += "; or get a free key of Spamhaus' Data Query Service and name its file in doctor.spamhaus_key_file"
    return Finding("blocklist", zone, Severity.UNKNOWN, f"{zone} does not answer us: {said}", remedy)


def judge(listing: Listing) -> Finding:
    """A listing is a fault whatever it says; what to do depends on the list."""
    subject = f"{listing.about} in {listing.zone}"
    codes = ", ".join(listing.codes)
    match listing.word:
        case Word.CLEAN:
            return Finding("blocklist", subject, Severity.OK, f"{listing.about} is not listed in {listing.zone}")
        case Word.REFUSED:
            evidence = f"{listing.zone} does not answer us: {codes or 'no answer'}"
            return Finding("blocklist", subject, Severity.UNKNOWN, evidence, "ask by a resolver of your own (unbound)")
        case Word.LISTED:
            kinds = {_SPAMHAUS.get(code.rpartition(".")[2], "") for code in listing.codes} - {""}
            named = f" ({', '.join(sorted(kinds))})" if kinds and listing.zone in _DQS else ""
            evidence = f"{listing.about} is listed in {listing.zone}{named}: {codes} {listing.reason}".strip()
            remedy = f"stop what caused it, then ask the operator of {listing.zone} for removal"
            if listing.zone in _DQS:
                remedy = "find the cause at https://check.spamhaus.org, remove it, and ask for removal there"
                if "PBL" in kinds:
                    remedy = (
                        "the host declared this range as one without mail servers: take it out at check.spamhaus.org"
                    )
            return Finding("blocklist", subject, Severity.ERROR, evidence, remedy)
