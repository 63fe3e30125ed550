"""Is our MTA-STS policy announced, and does it answer? (RFC 8461 §3)"""

from __future__ import annotations

import asyncio

from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, Means
from relay.policy.mta_sts import StsPolicy, policy_id, record_id
from relay.policy.tls import Fault
from relay.resolver.contract import DnsAnswer


async def look(means: Means, examined: Examined) -> list[Finding]:
    """Each domain this node serves a policy for."""
    return list(await asyncio.gather(*(_look(means, domain, policy) for domain, policy in examined.sts.items())))


async def _look(means: Means, domain: str, policy: StsPolicy) -> Finding:
    record, served = await asyncio.gather(means.resolver.ask(f"_mta-sts.{domain}", "TXT"), means.fetch_policy(domain))
    return judge(domain, policy, record, served)


def judge(domain: str, policy: StsPolicy, record: DnsAnswer, served: StsPolicy | Fault) -> Finding:
    """What is announced must answer, or senders that enforce it do not deliver; what is not announced costs little."""
    if record.failed:
        return Finding("mta-sts", domain, Severity.UNKNOWN, f"the DNS does not answer: {record.failure}")
    live = record_id(record.records)
    serve = f"serve https://mta-sts.{domain}/.well-known/mta-sts.txt from this node's HTTP port, by a proxy with HTTPS"
    if not live:
        answers = "the policy answers and is not announced" if served == policy else "not announced"
        remedy = "`leak dns` prints the record" if served == policy else f"{serve}; `leak dns` then prints the record"
        return Finding("mta-sts", domain, Severity.NOTE, answers, remedy)
    if isinstance(served, Fault):
        return Finding("mta-sts", domain, Severity.ERROR, f"announced, but {served.words}", serve)
    if served != policy:
        evidence = "another policy than this node's is served"
        return Finding("mta-sts", domain, Severity.WARNING, evidence, f"{serve}, or change inbound.mta_sts")
    if live != policy_id(policy):
        evidence = f"the record's id {live} is not {policy_id(policy)}: senders keep the old policy"
        return Finding("mta-sts", domain, Severity.WARNING, evidence, "publish the record that `leak dns` prints")
    return Finding("mta-sts", domain, Severity.OK, f"mode {policy.mode}, announced and served")
