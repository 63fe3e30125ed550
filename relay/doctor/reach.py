"""Can mail leave at all? Port 25 outward, and which address the far side sees (RFC 5321 §3.1)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from relay.doctor.finding import Finding, Severity
from relay.doctor.providers import Provider, open_port_25, provider_of
from relay.doctor.subject import Examined, Means, Outlet, Place
from relay.doctor.talk import Talk, TalkError
from relay.policy.addresses import is_public, parse_ip

_IN_BRACKETS = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]")


@dataclass(frozen=True, slots=True)
class Reached:
    """One attempt to greet a mail host; `error` is empty when it answered, `seen_as` the address it named, or ""."""

    target: str
    error: str = ""
    seen_as: str = ""


async def look(means: Means, examined: Examined) -> list[Finding]:
    """Greet each target from each outlet."""
    findings: list[Finding] = []
    for outlet in examined.outlets:
        reached = await asyncio.gather(*(_greet(means, outlet, target) for target in examined.targets))
        provider = await _provider(means, outlet)
        findings.append(judge_port_25(outlet, reached, provider, smarthost=examined.smarthost))
        findings.append(judge_address(outlet, reached, private=means.private))
    return findings


async def _greet(means: Means, outlet: Outlet, target: Place) -> Reached:
    address, problem = await find_address(means, target.host, outlet.bind)
    if problem:
        return Reached(str(target), problem)
    try:
        talk = await Talk.begin(means.dial, Place(address, target.port), outlet.ehlo, outlet.bind)
    except TalkError as error:
        return Reached(str(target), str(error))
    await talk.end()
    found = _IN_BRACKETS.search(talk.hello.text)
    seen = found[1] if found and parse_ip(found[1]) else ""
    return Reached(str(target), "", seen)


async def find_address(means: Means, host: str, bind: str = "") -> tuple[str, str]:
    """An address of `host` that may be connected to from `bind`, or why there is none."""
    if parse_ip(host):
        found: tuple[str, ...] = (host,)
    else:
        v6 = ":" in bind
        answer = await means.resolver.ask(host, "AAAA" if v6 else "A")
        if answer.failure is not None:
            return "", f"the DNS has no address of {host}: {answer.failure}"
        found = answer.records
    usable = [one for one in found if means.private or is_public(one)]
    return (usable[0], "") if usable else ("", f"{host} has no public address")


async def _provider(means: Means, outlet: Outlet) -> Provider | None:
    import ipaddress

    names: list[str] = []
    for address in outlet.addresses:
        answer = await means.resolver.ask(ipaddress.ip_address(address).reverse_pointer, "PTR")
        names += answer.records
    return provider_of(names)


def judge_port_25(outlet: Outlet, reached: Sequence[Reached], provider: Provider | None, *, smarthost: bool) -> Finding:
    """Some targets may be away; when none answers, the way out is closed."""
    failed = [one for one in reached if one.error]
    seen = "; ".join(f"{one.target}: {one.error or 'answers'}" for one in reached)
    if not reached:
        return Finding("port-25", outlet.name, Severity.UNKNOWN, "no target", "name mail hosts in doctor.targets")
    if not failed:
        return Finding("port-25", outlet.name, Severity.OK, seen)
    if len(failed) < len(reached):
        return Finding("port-25", outlet.name, Severity.NOTE, seen, "some answer, so the way out is open")
    if smarthost:
        remedy = "nothing leaves while the smarthost does not answer: see delivery.smarthost, and ask its operator"
        return Finding("port-25", outlet.name, Severity.ERROR, seen, remedy)
    if all("the DNS has no address" in one.error for one in failed):
        return Finding("port-25", outlet.name, Severity.UNKNOWN, seen, "see the finding about the resolver")
    return Finding("port-25", outlet.name, Severity.ERROR, seen, open_port_25(provider))


def judge_address(outlet: Outlet, reached: Sequence[Reached], *, private: bool) -> Finding:
    """Is the address the world sees the one that PTR and SPF are about?"""
    seen = sorted({one.seen_as for one in reached if one.seen_as})
    if not outlet.addresses:
        told = f"; mail hosts see {', '.join(seen)}" if seen else ""
        return Finding(
            "address",
            outlet.name,
            Severity.WARNING,
            f"nothing says which address receivers see{told}",
            f"publish an A record of {outlet.ehlo}, or name it in egress.source.address, behind NAT in "
            "doctor.addresses",
        )
    strange = [one for one in seen if one not in outlet.addresses]
    if strange:
        return Finding(
            "address",
            outlet.name,
            Severity.WARNING,
            f"mail hosts see {', '.join(strange)}, not {', '.join(outlet.addresses)}",
            "PTR, SPF and blocklists count for the address that is seen: name it in doctor.addresses, or bind "
            "another one in egress.source.address",
        )
    hidden = [one for one in outlet.addresses if not private and not is_public(one)]
    if hidden:
        return Finding(
            "address",
            outlet.name,
            Severity.WARNING,
            f"{', '.join(hidden)} is not public: receivers see another address",
            "name the public one in doctor.addresses",
        )
    return Finding("address", outlet.name, Severity.OK, f"mail leaves from {', '.join(outlet.addresses)}")
