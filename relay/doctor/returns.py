"""Can anybody answer? MX and reachability of the return domains and of the From domains (RFC 5321 §5.1, RFC 7505)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from relay.doctor.finding import Finding, Severity
from relay.doctor.reach import find_address
from relay.doctor.subject import Examined, Means, Place
from relay.doctor.talk import Talk, TalkError
from relay.resolver.contract import DnsAnswer


@dataclass(frozen=True, slots=True)
class Answered:
    """What the best exchanger of a domain said; `error` is empty when it would take mail."""

    host: str
    error: str = ""
    asked_postmaster: bool = False


async def look(means: Means, examined: Examined) -> list[Finding]:
    """Every domain that mail of ours names as its sender."""
    findings: list[Finding] = []
    names = dict.fromkeys((*examined.return_domains, *(domain.name for domain in examined.domains)))
    for name in names:
        answer = await means.resolver.ask(name, "MX")
        direct = await means.resolver.ask(name, "A") if not answer.records and not answer.failed else None
        exchangers = exchangers_of(name, answer, direct)
        ours = bool(exchangers and set(exchangers) & examined.own_names)
        said = await _greet(means, examined, name, exchangers[0], ours=ours) if exchangers else None
        findings.append(judge(name, answer, said, examined.own_names, returns=name in examined.return_domains))
    return findings


def exchangers_of(name: str, answer: DnsAnswer, direct: DnsAnswer | None) -> list[str]:
    """The exchangers by preference; the domain itself without an MX record; none for a null MX."""
    if answer.records:
        ordered = sorted((int(record.partition(" ")[0]), record.partition(" ")[2]) for record in answer.records)
        return [host for _, host in ordered if host != "."]
    return [name] if direct is not None and direct.records else []


async def _greet(means: Means, examined: Examined, name: str, host: str, *, ours: bool) -> Answered:
    address, problem = await find_address(means, host)
    if problem:
        return Answered(host, problem)
    place = Place(address, examined.returns_port if ours else examined.mail_port)
    try:
        talk = await Talk.begin(means.dial, place, examined.node)
    except TalkError as error:
        return Answered(host, f"{place}: {error}")
    try:
        if not ours:  # a stranger's exchanger is greeted and left alone
            return Answered(host)
        for command in ("MAIL FROM:<>", f"RCPT TO:<postmaster@{name}>"):
            reply = await talk.say(command)
            if not reply.positive and not reply.transient:
                return Answered(host, f"{place}: {command}: {reply}", asked_postmaster=True)
        return Answered(host, asked_postmaster=True)
    except TalkError as error:
        return Answered(host, f"{place}: {error}")
    finally:
        await talk.end()


def judge(name: str, answer: DnsAnswer, said: Answered | None, own: Collection[str], *, returns: bool) -> Finding:
    """Bounces must come to this node; replies to a From address must be taken by somebody."""
    node = min(own)
    publish = f"publish {name} MX 10 {node}" if returns else f"publish an MX record of {name}, this node's or another's"
    if answer.failed:
        return Finding("mx", name, Severity.UNKNOWN, f"the DNS does not answer: {answer.failure}")
    if answer.records and all(record.partition(" ")[2] == "." for record in answer.records):
        evidence = f"{name} says that it takes no mail (null MX): receivers refuse mail from it"
        return Finding("mx", name, Severity.ERROR, evidence, publish)
    if said is None:
        return Finding("mx", name, Severity.ERROR, f"{name} has no MX record: bounces and replies are lost", publish)
    hosts = [record.partition(" ")[2] for record in answer.records]
    if returns and not set(hosts) & set(own):
        evidence = f"bounces go to {', '.join(hosts) or said.host}, not to this node"
        return Finding("mx", name, Severity.ERROR, evidence, publish)
    if said.error:
        remedy = (
            "let TCP port 25 in to this node (firewall, port forwarding) and see that it runs; a router that does "
            "not lead its own address back inside (hairpin NAT) shows this too: then try from elsewhere"
        )
        if said.host not in own:
            remedy = f"see that {said.host} takes mail of {name}"
        return Finding("mx", name, Severity.WARNING, f"{said.host}: {said.error}", remedy)
    takes = "takes mail to its postmaster" if said.asked_postmaster else "answers"
    return Finding("mx", name, Severity.OK, f"{said.host} {takes}")
