"""`leak dns`: the records to publish, and how the live ones compare."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, load, run_async
from relay.cli.output import CommandError, UsageError, say, say_json, say_table, warn

if TYPE_CHECKING:
    from relay.cli.dns_compare import Comparison
    from relay.cli.dns_records import Record
    from relay.resolver.contract import Resolver
    from relay.settings import Settings


POLICY_SECONDS = 10.0


def dns(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Compare with the live DNS; exit status 1 on a gap.")] = False,
    zone: Annotated[bool, typer.Option("--zone", help="Print zone-file lines.")] = False,
    as_json: Json = False,
) -> None:
    """Print the DNS records this configuration needs, or compare them with the live DNS."""
    from relay.cli.dns_records import wanted_records
    from relay.receiving import sts_policies

    if check and zone:
        raise UsageError("--check and --zone exclude each other")
    settings = load(context)
    answering = run_async(answering_policies(settings)) if sts_policies(settings) else ()
    records = wanted_records(settings, answering)
    if not as_json and not zone:
        run_async(_propose_reject(settings))
    if check:
        _print_comparisons(run_async(compare_live(settings, records)), as_json=as_json)
    elif as_json:
        say_json([record.as_json() for record in records])
    elif zone:
        for record in records:
            say(record.zone_line())
        for domain in sender_domains(settings):
            say(f"; only where no other host takes mail for {domain}, which needs an MX record:")
            say(f"; {domain}. 3600 IN MX 10 {settings.node.name}.")
    else:
        print_records(records)
        for domain in sender_domains(settings):
            warn(f"{domain} needs an MX record too: its mail host's, or, if it has none: 10 {settings.node.name}")


def sender_domains(settings: Settings) -> list[str]:
    """The From domains that are no return domain: replies go to them, and only their owner knows where to."""
    from relay.settings_effect import inbound_listens

    ours = {settings.inbound.domain, *(entry.return_domain for entry in settings.signing.domain)}
    listens = inbound_listens(settings)
    return [entry.domain for entry in settings.signing.domain if listens and entry.domain not in ours]


async def answering_policies(settings: Settings) -> frozenset[str]:
    """The domains whose MTA-STS policy answers over HTTPS as it should: a record without it makes senders wait."""
    from relay.clock import SystemClock
    from relay.receiving import sts_policies
    from relay.resolver.policy_host import PolicyHosts, https_context
    from relay.resolver.resolver import DnsResolver

    policies, delivery = sts_policies(settings), settings.delivery
    if not policies:
        return frozenset()
    servers = [(server.host, server.port) for server in settings.resolver.nameservers]
    timeout = settings.resolver.timeout.total_seconds()
    resolver = DnsResolver(servers, timeout=timeout, trust_ad=False, clock=SystemClock())
    context = https_context(settings.path(delivery.ca_file) if delivery.ca_file else None)
    private, port = delivery.allow_private_addresses, delivery.mta_sts_port
    hosts = PolicyHosts(resolver, context, allow_private=private, port=port)
    try:
        async with asyncio.timeout(POLICY_SECONDS):
            found = await asyncio.gather(*(hosts.fetch(domain) for domain in policies))
    except TimeoutError:
        return frozenset()
    finally:
        await hosts.close()
        await resolver.close()
    return frozenset(domain for domain, policy in zip(policies, found, strict=True) if policy == policies[domain])


async def _propose_reject(settings: Settings) -> None:
    """Say on standard error which domains' policy may become p=reject; without a spool nothing is known."""
    from relay.cli.inbound_reports import propose_all, read_stored
    from relay.errors import LeakError

    try:
        heard = await read_stored(settings, timedelta(days=60))
    except (CommandError, LeakError):
        return
    for domain, proposal in propose_all(settings, heard).items():
        if proposal.reject:
            warn(f"_dmarc.{domain}: reports say: {proposal.why}; p=reject may be published now")


def print_records(records: list[Record]) -> None:
    """The records as a table; what cannot be said is explained on standard error."""
    rows = [(record.purpose, record.type, record.name, record.value or f"? {record.problem}") for record in records]
    say_table(("for", "type", "name", "value"), rows, empty="nothing to publish: no signing domain is configured")


async def compare_live(settings: Settings, records: list[Record]) -> list[Comparison]:
    """Ask the configured name servers for each record."""
    from relay.cli.dns_compare import compare
    from relay.clock import SystemClock
    from relay.resolver.resolver import DnsResolver

    servers = [(server.host, server.port) for server in settings.resolver.nameservers]
    timeout = settings.resolver.timeout.total_seconds()
    resolver = DnsResolver(servers, timeout=timeout, trust_ad=settings.resolver.trust_ad, clock=SystemClock())
    try:
        askable = [record for record in records if record.value or record.type != "PTR"]
        answers = await asyncio.gather(*(resolver.ask(record.name, record.type) for record in askable))
        compared = [compare(record, answer) for record, answer in zip(askable, answers, strict=True)]
        return [await _with_cost(one, resolver) for one in compared]
    finally:
        await resolver.close()


async def _with_cost(compared: Comparison, resolver: Resolver) -> Comparison:
    """An SPF record that receivers cannot evaluate is not as it should be, whatever it says (M03)."""
    from dataclasses import replace

    from relay.cli.dns_compare import Finding
    from relay.cli.dns_records import Purpose
    from relay.cli.spf_cost import LIMIT, spf_lookups

    if compared.record.purpose is not Purpose.SPF or not compared.live:
        return compared
    needed = await spf_lookups(resolver.ask, compared.merged or compared.live[0])
    if needed <= LIMIT:
        return compared
    text = f"it needs {needed} DNS look-ups, and receivers stop at {LIMIT} (RFC 7208 §4.6.4): drop what is not used"
    hint = f"{compared.hint}; {text}" if compared.hint else text
    return replace(compared, finding=Finding.DIFFERENT, hint=hint)


def _print_comparisons(comparisons: list[Comparison], *, as_json: bool) -> None:
    from relay.cli.dns_compare import Finding

    if as_json:
        say_json(
            [
                {**item.record.as_json(), "finding": item.finding, "live": item.live, "hint": item.hint}
                for item in comparisons
            ]
        )
    else:
        rows = [
            (item.finding, item.record.purpose, item.record.type, item.record.name, item.hint) for item in comparisons
        ]
        say_table(("finding", "for", "type", "name", "what to do"), rows, empty="no signing domain is configured")
        for item in comparisons:
            if item.finding in {Finding.MISSING, Finding.DIFFERENT}:
                warn(f"{item.record.name} {item.record.type} should be: {item.publish}")
        if any(item.finding is Finding.MISSING for item in comparisons):
            warn(
                "published a moment ago? a resolver that was asked before may remember for an hour that there was none"
            )
    gaps = sum(item.finding is not Finding.OK for item in comparisons)
    if gaps:
        raise CommandError(f"{gaps} of {len(comparisons)} records are not as they should be")
