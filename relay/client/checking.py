"""Checks of addresses for customers: few DNS questions at once, and an answer in time even when there is none.

Shared by all who ask, in process and over HTTP: most of the resolver belongs to delivery.
"""

from __future__ import annotations

import asyncio
from typing import Final, assert_never

from relay.client.contract import AddressCheck
from relay.mail.address import AddressError, parse_address
from relay.resolver.check import DomainCheck, check_domain, suggest
from relay.resolver.contract import DnsAnswer, Resolver

MAX_QUESTIONS: Final = 20
"""DNS questions the front may have open, and checks: a small part of the resolver's, the rest is delivery's."""
CHECK_TIMEOUT: Final = 2.5
"""Seconds a writer waits for DNS: less than the front waits for us, so that the answer is still ours."""


class _FewQuestions:
    """A resolver with few questions open at once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._room = asyncio.Semaphore(MAX_QUESTIONS)

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        """See `Resolver.ask`."""
        async with self._room:
            return await self._resolver.ask(name, kind)


class AddressChecker:
    """Implements `RelayClient.check` for one process."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = _FewQuestions(resolver)
        self._checking: set[asyncio.Task[DomainCheck]] = set()

    async def check(self, address: str) -> AddressCheck:
        """See `RelayClient.check`. Unknown too if DNS is slow or too many checks are open."""
        read = unchecked(address)
        if not read.ok:
            return read
        found = await self._check_domain(read.address.rpartition("@")[2])
        match found:
            case DomainCheck.OK:
                return AddressCheck(read.address, ok=True, suggestion=read.suggestion)
            case DomainCheck.UNKNOWN:
                return read
            case DomainCheck.NO_DOMAIN | DomainCheck.NULL_MX | DomainCheck.NO_HOST:
                return AddressCheck(read.address, ok=False, reason=found.value, suggestion=read.suggestion)
            case _:
                assert_never(found)

    async def _check_domain(self, domain: str) -> DomainCheck:
        if len(self._checking) >= MAX_QUESTIONS:
            return DomainCheck.UNKNOWN
        # The resolver's look-up outlives a writer who gives up, so the check keeps its place until that ends.
        task = asyncio.create_task(check_domain(self._resolver, domain), name="check of an address")
        self._checking.add(task)
        task.add_done_callback(self._checking.discard)
        done, _ = await asyncio.wait({task}, timeout=CHECK_TIMEOUT)
        return task.result() if done else DomainCheck.UNKNOWN


def unchecked(address: str) -> AddressCheck:
    """What an address tells by itself, its domain unasked. Pure."""
    address = address.strip()
    try:
        text = str(parse_address(address))
    except AddressError:
        return AddressCheck(address, ok=False, reason="syntax")
    return AddressCheck(text, ok=True, suggestion=suggest(text), unknown=True)
