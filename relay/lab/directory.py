"""The list of lab domains as people and programs see it: where each is served and how it behaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.lab.hosts import LabDomain, LabHost, address


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One lab domain; `mx` are its exchangers' names in order, `addresses` "IP:port" where they listen."""

    name: str
    behaviour: str
    mx: tuple[str, ...]
    addresses: tuple[str, ...]
    tls: str


def entries(hosts: Sequence[LabHost], domains: Sequence[LabDomain], subnet: int, port: int) -> tuple[HostEntry, ...]:
    """An entry for each domain, in the map's order."""
    by_number = {host.number: host for host in hosts}
    listed = []
    for domain in domains:
        numbers = [number for _, number in sorted(domain.exchangers)]
        numbers += [domain.address] if domain.address is not None else []
        serving = [by_number[number] for number in numbers if number in by_number]
        listed.append(
            HostEntry(
                name=domain.name,
                behaviour=domain.about,
                mx=tuple(host.name for host in serving),
                addresses=tuple(f"{address(subnet, host.number)}:{port}" for host in serving),
                tls=serving[0].behaviour.tls.value if serving else "",
            )
        )
    return tuple(listed)
