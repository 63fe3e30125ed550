"""Does the address lead to a name and the name back to it? PTR, forward confirmation, EHLO name (RFC 5321 §4.1.4)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from relay.doctor.finding import Finding, Severity
from relay.doctor.providers import provider_of, set_ptr
from relay.doctor.subject import Examined, Means, Outlet
from relay.resolver.contract import DnsAnswer

_MOST_NAMES = 5


async def look(means: Means, examined: Examined) -> list[Finding]:
    """PTR of each address, and the EHLO name of each outlet."""
    findings: list[Finding] = []
    for outlet in examined.outlets:
        forward = await _addresses(means, outlet.ehlo)
        findings.append(judge_ehlo(outlet, forward))
        for address in outlet.addresses:
            reverse = await means.resolver.ask(ipaddress.ip_address(address).reverse_pointer, "PTR")
            names = [name.lower().rstrip(".") for name in reverse.records[:_MOST_NAMES]]
            back = {name: await _addresses(means, name) for name in names}
            findings.append(judge_ptr(address, outlet.ehlo, reverse, back))
    return findings


async def _addresses(means: Means, name: str) -> DnsAnswer:
    """A and AAAA together; a failure only when neither is there."""
    v4, v6 = await means.resolver.ask(name, "A"), await means.resolver.ask(name, "AAAA")
    both = (*v4.records, *v6.records)
    return DnsAnswer(both) if both else (v6 if v6.failed else v4)


def judge_ptr(address: str, ehlo: str, reverse: DnsAnswer, back: Mapping[str, DnsAnswer]) -> Finding:
    """One name, which leads back, and best the one we say in EHLO."""
    if reverse.failed:
        return Finding("ptr", address, Severity.UNKNOWN, f"the DNS does not answer: {reverse.failure}")
    names = list(back)
    remedy = set_ptr(provider_of(names), address, ehlo)
    if not is_public_name(ehlo):
        remedy = "set node.name to this host's public name first, then ask for a PTR record that says the same"
    if not names:
        return Finding("ptr", address, Severity.ERROR, f"{address} has no PTR record", remedy)
    confirmed = [name for name in names if _holds(back[name].records, address)]
    shown = ", ".join(names)
    if not confirmed:
        if any(back[name].failed for name in names):
            return Finding("ptr", address, Severity.UNKNOWN, f"the addresses of {shown} cannot be looked up")
        evidence = f"{address} is called {shown}, which does not lead back to it"
        return Finding("ptr", address, Severity.ERROR, evidence, f"{remedy}, and publish {ehlo} A {address}")
    if ehlo not in confirmed:
        evidence = f"{address} is called {confirmed[0]}, and says EHLO {ehlo}"
        return Finding("ptr", address, Severity.WARNING, evidence, f"{remedy}; some providers want both the same")
    if len(names) > 1:
        evidence = f"{address} has {len(names)} names: {shown}"
        return Finding("ptr", address, Severity.NOTE, evidence, f"keep {ehlo} alone")
    return Finding("ptr", address, Severity.OK, f"{address} is {ehlo}, and back")


def is_public_name(name: str) -> bool:
    """Whether a name can be one that others look up."""
    return "." in name and not name.endswith((".localdomain", ".local", ".internal"))


def judge_ehlo(outlet: Outlet, forward: DnsAnswer) -> Finding:
    """A full name that exists and holds the outlet's addresses."""
    name = outlet.ehlo
    if not is_public_name(name):
        evidence = f"EHLO {name}: no public name"
        return Finding("ehlo", name, Severity.ERROR, evidence, "set node.name to this host's public name")
    if forward.failed:
        return Finding("ehlo", name, Severity.UNKNOWN, f"the DNS does not answer: {forward.failure}")
    wanted = outlet.addresses[0] if outlet.addresses else "ADDRESS"
    if not forward.records:
        evidence = f"{name} has no address"
        return Finding("ehlo", name, Severity.ERROR, evidence, f"publish {name} {_kind(wanted)} {wanted}")
    missing = [one for one in outlet.addresses if not _holds(forward.records, one)]
    if missing:
        evidence = f"{name} is {', '.join(forward.records)}, not {', '.join(missing)}"
        return Finding("ehlo", name, Severity.WARNING, evidence, f"publish {name} {_kind(missing[0])} {missing[0]}")
    return Finding("ehlo", name, Severity.OK, f"{name} is {', '.join(forward.records)}")


def _kind(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _holds(records: Sequence[str], address: str) -> bool:
    wanted = ipaddress.ip_address(address)
    return any(ipaddress.ip_address(record) == wanted for record in records)
