"""DMARC as a receiver evaluates it: policy by tree walk, alignment, disposition (RFC 9989 §4).

Pure but for the TXT questions, which go to the resolver that was handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.resolver.contract import DnsFailure, Resolver

MAX_QUERIES: Final = 8
_POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class Record:
    """A DMARC policy record; unknown tags are ignored, a missing or bad `p` means none (RFC 9989 §4.7)."""

    at: str
    policy: str = "none"
    subdomain_policy: str = ""
    missing_policy: str = ""
    strict_dkim: bool = False
    strict_spf: bool = False
    testing: bool = False
    suffix: str = "u"


@dataclass(frozen=True, slots=True)
class DmarcVerdict:
    """`result` is pass, fail, none, temperror or permerror; `disposition` what the policy asks of a failure."""

    result: str
    why: str
    from_domain: str = ""
    record_at: str = ""
    policy: str = ""
    disposition: str = "none"
    aligned: tuple[str, ...] = field(default=())
    """What passed and aligned: "dkim" with the domain, "spf" with the domain."""


class _DnsTroubleError(Exception):
    pass


async def evaluate(
    resolver: Resolver, from_domains: Sequence[str], spf_pass: str | None, dkim_passes: Sequence[str]
) -> DmarcVerdict:
    """The verdict for a mail whose From names `from_domains`.

    `spf_pass` is the domain SPF passed for, or None; `dkim_passes` are the d= of the signatures that verified.
    """
    if len(set(from_domains)) != 1:
        why = "From names no domain" if not from_domains else "From names authors of several domains"
        return DmarcVerdict("permerror", why)
    author = from_domains[0]
    try:
        walked = await _walk(resolver, author)
        organisation = _organisation(author, walked)
        record = _policy(author, organisation, walked)
        if record is None:
            return DmarcVerdict("none", f"no DMARC record for {author}", author)
        aligned = [
            f"dkim {domain}"
            for domain in dict.fromkeys(dkim_passes)
            if await _aligns(resolver, domain, author, organisation, strict=record.strict_dkim)
        ]
        if spf_pass and await _aligns(resolver, spf_pass, author, organisation, strict=record.strict_spf):
            aligned.append(f"spf {spf_pass}")
        policy = await _wanted(resolver, record, author)
    except _DnsTroubleError as error:
        return DmarcVerdict("temperror", f"the DNS gave no answer for {error}", author)
    if aligned:
        return DmarcVerdict("pass", f"aligned: {', '.join(aligned)}", author, record.at, policy, "none", tuple(aligned))
    disposition = _one_softer(policy) if record.testing else policy
    why = _why_not(author, spf_pass, dkim_passes)
    return DmarcVerdict("fail", why, author, record.at, policy, disposition)


def _why_not(author: str, spf_pass: str | None, dkim_passes: Sequence[str]) -> str:
    passed = [*(f"DKIM for {d}" for d in dkim_passes), *([f"SPF for {spf_pass}"] if spf_pass else [])]
    if not passed:
        return "neither SPF nor DKIM passed"
    return f"{', '.join(passed)} passed, but none of it belongs to {author}"


def parse_record(at: str, text: str) -> Record | None:
    """The record in a TXT value, or None if it is no DMARC record."""
    tags: dict[str, str] = {}
    for i, piece in enumerate(text[:2000].split(";")):
        name, _, value = piece.partition("=")
        if i == 0 and (name.strip() != "v" or value.strip() != "DMARC1"):
            return None
        tags.setdefault(name.strip().lower(), value.strip().lower())
    policies = {name: tags[name] if tags.get(name) in _POLICIES else "" for name in ("p", "sp", "np")}
    return Record(
        at=at,
        policy=policies["p"] or "none",
        subdomain_policy=policies["sp"],
        missing_policy=policies["np"],
        strict_dkim=tags.get("adkim") == "s",
        strict_spf=tags.get("aspf") == "s",
        testing=tags.get("t") == "y",
        suffix=tags["psd"] if tags.get("psd") in ("y", "n") else "u",
    )


async def _walk(resolver: Resolver, domain: str) -> list[Record]:
    """The records from `domain` upward, at most eight questions (RFC 9989 §4.10)."""
    labels = domain.split(".")
    names = [domain]
    rest = labels[-7:] if len(labels) > MAX_QUERIES else labels[1:]
    names += [".".join(rest[i:]) for i in range(len(rest))]
    found: list[Record] = []
    for name in names[:MAX_QUERIES]:
        record = await _record_at(resolver, name)
        if record is None:
            continue
        found.append(record)
        if record.suffix == "n" or (record.suffix == "y" and name != domain):
            break
    return found


async def _record_at(resolver: Resolver, name: str) -> Record | None:
    answer = await resolver.ask(f"_dmarc.{name}", "TXT")
    if answer.failure in (DnsFailure.SERVFAIL, DnsFailure.TIMEOUT):
        raise _DnsTroubleError(f"_dmarc.{name}")
    records = [record for text in answer.records if (record := parse_record(name, text)) is not None]
    # Several records are as good as none (RFC 9989 §4.10).
    return records[0] if len(records) == 1 else None


def _organisation(domain: str, walked: Sequence[Record]) -> str:
    for record in walked:
        if record.suffix == "n":
            return record.at
        if record.suffix == "y" and record.at != domain:
            below = domain.removesuffix(f".{record.at}").rpartition(".")[2]
            return f"{below}.{record.at}"
    return walked[-1].at if walked else domain


def _policy(author: str, organisation: str, walked: Sequence[Record]) -> Record | None:
    by_name = {record.at: record for record in walked}
    return by_name.get(author) or by_name.get(organisation) or next((r for r in walked if r.suffix == "y"), None)


async def _aligns(resolver: Resolver, domain: str, author: str, organisation: str, *, strict: bool) -> bool:
    if domain == author or strict:
        return domain == author
    return _organisation(domain, await _walk(resolver, domain)) == organisation


async def _wanted(resolver: Resolver, record: Record, author: str) -> str:
    if record.at == author:
        return record.policy
    if record.missing_policy:
        answer = await resolver.ask(author, "A")
        if answer.failure is DnsFailure.NXDOMAIN:
            return record.missing_policy
    return record.subdomain_policy or record.policy


def _one_softer(policy: str) -> str:
    return {"reject": "quarantine", "quarantine": "none"}.get(policy, "none")
