"""May we send for these domains, as a receiver judges it? SPF (RFC 7208), DKIM records (RFC 6376), DMARC (RFC 9989)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from relay.authentication.dmarc import DmarcVerdict, evaluate
from relay.authentication.spf import Evidence, SpfVerdict, check_spf
from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, MailDomain, Means
from relay.resolver.contract import DnsAnswer
from relay.signing.keys import RSA_BITS, KeyFile, KeyType, describe_key, record_name

OLD_KEY: Final = timedelta(days=400)
"""After which a key is due for `leak dkim rotate`."""
_SPF_FAULTS: Final[Mapping[str, Severity]] = {
    "pass": Severity.OK,
    "softfail": Severity.WARNING,
    "neutral": Severity.WARNING,
    "temperror": Severity.UNKNOWN,
}


async def look_spf(means: Means, examined: Examined) -> list[Finding]:
    """Each reverse-path's domain and each EHLO name, from each address mail leaves from."""
    findings: list[Finding] = []
    paths = dict.fromkeys(domain.return_domain or domain.name for domain in examined.domains)
    for outlet in examined.outlets:
        for address in outlet.addresses:
            for domain in paths:
                evidence = Evidence(examined.node, address, outlet.ehlo, f"postmaster@{domain}", b"")
                findings.append(judge_spf(address, await check_spf(means.resolver, evidence), path=True))
            null_path = Evidence(examined.node, address, outlet.ehlo, "", b"")
            findings.append(judge_spf(address, await check_spf(means.resolver, null_path), path=False))
    return findings


def judge_spf(address: str, verdict: SpfVerdict, *, path: bool) -> Finding:
    """Anything but pass costs mail; for the EHLO name it costs bounces only."""
    severity = _SPF_FAULTS.get(verdict.result, Severity.ERROR)
    if severity is Severity.ERROR and not path:
        severity = Severity.WARNING
    subject = f"{verdict.domain} from {address}"
    seen = f"{verdict.result}: {verdict.why}"
    if severity is Severity.OK:
        return Finding("spf", subject, severity, f"{seen} ({verdict.lookups} of 10 DNS look-ups)")
    if severity is Severity.UNKNOWN:
        return Finding("spf", subject, severity, seen)
    term = f"{'ip6' if ':' in address else 'ip4'}:{address}"
    remedy = f'add {term} to the TXT record of {verdict.domain}, or publish "v=spf1 {term} -all" (`leak dns`)'
    if verdict.result == "permerror":
        remedy = f"mend the TXT record of {verdict.domain}: one record, at most 10 look-ups (`leak dns --check`)"
    return Finding("spf", subject, severity, seen, remedy)


async def look_dkim(means: Means, examined: Examined) -> list[Finding]:
    """Each key that signs, against the record receivers fetch."""
    now = means.clock.now()
    findings: list[Finding] = []
    for domain in examined.domains:
        for selector, path in domain.keys:
            key = describe_key(path)
            answer = await means.resolver.ask(record_name(domain.name, selector), "TXT")
            findings.append(judge_dkim(record_name(domain.name, selector), key, answer))
            if not key.problem:
                made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                findings.append(judge_age(record_name(domain.name, selector), now - made))
    if not examined.domains:
        remedy = "add a [[signing.domain]], then `leak dkim new`"
        findings.append(Finding("dkim", examined.node, Severity.ERROR, "no domain is signed for", remedy))
    return findings


def judge_dkim(name: str, key: KeyFile, answer: DnsAnswer) -> Finding:
    """The published key must be the one that signs (L09)."""
    if key.problem:
        return Finding(
            "dkim",
            name,
            Severity.ERROR,
            f"mail is held: {key.problem}",
            "mend it, then `leak reload` and `leak queue release`",
        )
    if answer.failed:
        return Finding("dkim", name, Severity.UNKNOWN, f"the DNS does not answer: {answer.failure}")
    publish = f"publish the TXT record that `leak dns` prints at {name}"
    if not answer.records:
        return Finding("dkim", name, Severity.ERROR, "no record: every signature fails", publish)
    if len(answer.records) > 1:
        return Finding("dkim", name, Severity.ERROR, f"{len(answer.records)} records", "keep one: receivers take any")
    live, ours = _tags(answer.records[0]), _tags(key.record)
    if not live.get("p"):
        return Finding("dkim", name, Severity.ERROR, "the record revokes the key: p= is empty", publish)
    if live["p"] != ours["p"] or live.get("k", "rsa") != ours["k"]:
        return Finding("dkim", name, Severity.ERROR, "another key is published: every signature fails", publish)
    if "y" in live.get("t", "").split(":"):
        return Finding("dkim", name, Severity.WARNING, "t=y: receivers treat the mail as unsigned", publish)
    if key.type is KeyType.RSA and key.bits < RSA_BITS:
        return Finding("dkim", name, Severity.WARNING, f"the key has {key.bits} bits", "leak dkim rotate")
    return Finding("dkim", name, Severity.OK, f"{live.get('k', 'rsa')}, {key.bits} bits, as published")


def judge_age(name: str, age: timedelta) -> Finding:
    """A key that signs for years is worth stealing."""
    shown = f"the key has signed for {age.days} days"
    if age > OLD_KEY:
        return Finding("key-age", name, Severity.WARNING, shown, "make new ones with `leak dkim rotate`")
    return Finding("key-age", name, Severity.OK, shown)


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): re.sub(r"\s", "", value) for name, _, value in pairs if name.strip()}


async def look_dmarc(means: Means, examined: Examined) -> list[Finding]:
    """The policy of each From domain, and whether our return path aligns with it."""
    findings: list[Finding] = []
    for domain in examined.domains:
        path = domain.return_domain or domain.name
        both = await evaluate(means.resolver, [domain.name], path, [domain.name])
        spf_alone = await evaluate(means.resolver, [domain.name], path, [])
        findings.append(judge_dmarc(domain, both, spf_alone))
    return findings


def judge_dmarc(domain: MailDomain, both: DmarcVerdict, spf_alone: DmarcVerdict) -> Finding:
    """There is a policy, and both SPF and DKIM align; p=none protects nobody."""
    name = domain.name
    match both.result:
        case "temperror":
            return Finding("dmarc", name, Severity.UNKNOWN, both.why)
        case "none":
            remedy = f'publish the TXT record of _dmarc.{name} that `leak dns` prints, at least "v=DMARC1; p=none"'
            return Finding("dmarc", name, Severity.ERROR, both.why, remedy)
        case "pass":
            pass
        case _:
            remedy = f"mend the TXT record of _dmarc.{name}: see `leak dns --check`"
            return Finding("dmarc", name, Severity.ERROR, both.why, remedy)
    if spf_alone.result != "pass":
        remedy = f"use a return domain within {name} (signing.domain.return_domain), and aspf=r in its DMARC record"
        evidence = f"the return path {domain.return_domain} does not align with {name}: {spf_alone.why}"
        return Finding("dmarc", name, Severity.WARNING, evidence, remedy)
    shown = f"p={both.policy} at _dmarc.{both.record_at}; SPF and DKIM align"
    if both.policy == "none":
        remedy = "after two weeks of aligned reports (`leak inbound reports`) publish p=reject: `leak dns` proposes it"
        return Finding("dmarc", name, Severity.NOTE, shown, remedy)
    return Finding("dmarc", name, Severity.OK, shown)
