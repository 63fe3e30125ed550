"""The resolver: a stub over dnspython with a TTL cache of our own and one question in flight per name.

Stands under the router, the web form's check and whatever else asks the DNS. Guarantees that answers and
failures are values, that equal questions asked at once become one packet, that memory and work are bounded,
and that an answer counts only if it matches the question (random ids and ports, S39). dnspython's own cache
and time-outs read the wall clock; ours read the `Clock` and the loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

from relay import metrics
from relay.clock import Clock
from relay.log import Log
from relay.resolver.contract import DnsAnswer, DnsFailure
from relay.resolver.records import name_text, record_texts

MIN_TTL: Final = 5.0
"""Seconds an answer is kept at least, whatever its TTL says."""
MAX_TTL: Final = 3600.0
MAX_NEGATIVE_TTL: Final = 300.0
FAILURE_TTL: Final = 3.0
"""Seconds a SERVFAIL or a time-out is kept: long enough to spare a struggling server a burst."""
MAX_CACHED: Final = 20_000
MAX_CNAMES: Final = 10
MAX_IN_FLIGHT: Final = 200
TOTAL_TIMEOUT: Final = 30.0
"""Seconds one question may take over all servers and repetitions (S33)."""
ROUNDS: Final = 2
"""A lost datagram must not defer a letter: servers that stayed silent are asked once more."""

_EDNS_PAYLOAD = 1232
_log = Log("resolver")


class _SilenceError(Exception):
    """No usable answer from one server; `refused` when it did answer, with SERVFAIL or the like."""

    def __init__(self, *, refused: bool) -> None:
        super().__init__()
        self.refused = refused


class DnsResolver:
    """Asks `nameservers` (address, port) in order; an empty sequence means the system's.

    `timeout` is seconds for one question to one server. `trust_ad` believes the AD bit: only right with a
    validating resolver of one's own.
    """

    def __init__(self, nameservers: Sequence[tuple[str, int]], *, timeout: float, trust_ad: bool, clock: Clock) -> None:
        self._servers = tuple(nameservers) or system_nameservers()
        self._timeout = timeout
        self._trust_ad = trust_ad
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], tuple[float, DnsAnswer]] = OrderedDict()
        self._in_flight: dict[tuple[str, str], asyncio.Task[DnsAnswer]] = {}
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._backend = dns.asyncbackend.get_backend("asyncio")

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        """The records of `kind` at `name`; from the cache while their TTL lasts (B18). Raises only cancellation."""
        key = (name.lower().removesuffix("."), kind)
        cached = self._cached(key)
        if cached is not None:
            return cached
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(key), name=f"dns {kind}")
            self._in_flight[key] = task
            task.add_done_callback(lambda _: self._in_flight.pop(key, None))
        # A waiter that is cancelled must not take the answer from the others.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    async def close(self) -> None:
        """Give up what is in flight."""
        tasks = tuple(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cached(self, key: tuple[str, str]) -> DnsAnswer | None:
        entry = self._cache.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock.monotonic():
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        return entry[1]

    async def _look_up(self, key: tuple[str, str]) -> DnsAnswer:
        name, kind = key
        try:
            query_name = dns.name.from_text(name.encode("ascii").decode())
            rdtype = dns.rdatatype.from_text(kind)
        except (dns.exception.DNSException, UnicodeError):
            # A name no packet can carry cannot exist either.
            answer, ttl = DnsAnswer((), DnsFailure.NXDOMAIN), MAX_NEGATIVE_TTL
        else:
            answer, ttl = await self._ask_within(query_name, rdtype)
            result = answer.failure.value if answer.failure else "ok"
            metrics.dns_queries.labels(result).inc()
            _log.debug("asked", name=name, kind=kind, result=result, records=len(answer.records))
        self._cache[key] = (self._clock.monotonic() + ttl, answer)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return answer

    async def _ask_within(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> tuple[DnsAnswer, float]:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT), self._room:
                return await self._follow(name, rdtype)
        except TimeoutError:
            return DnsAnswer((), DnsFailure.TIMEOUT), FAILURE_TTL

    async def _follow(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> tuple[DnsAnswer, float]:
        """Ask, and go on from the end of a CNAME chain the server did not follow itself (B04)."""
        ttl, authentic, hops = MAX_TTL, self._trust_ad, 0
        while True:
            try:
                response = await self._ask_servers(name, rdtype)
                chain = response.resolve_chaining()
            except _SilenceError as silence:
                failure = DnsFailure.SERVFAIL if silence.refused else DnsFailure.TIMEOUT
                return DnsAnswer((), failure), FAILURE_TTL
            except dns.exception.DNSException:
                return DnsAnswer((), DnsFailure.SERVFAIL), FAILURE_TTL
            ttl = min(ttl, float(chain.minimum_ttl))
            authentic = authentic and bool(response.flags & dns.flags.AD)
            hops += len(chain.cnames)
            if hops > MAX_CNAMES:
                return DnsAnswer((), DnsFailure.SERVFAIL), FAILURE_TTL
            if chain.answer is not None:
                canonical = name_text(chain.canonical_name) if hops else ""
                return DnsAnswer(record_texts(chain.answer), None, authentic, canonical), max(ttl, MIN_TTL)
            if response.rcode() == dns.rcode.NXDOMAIN:
                return DnsAnswer((), DnsFailure.NXDOMAIN, authentic), _negative(ttl)
            if not chain.cnames:
                return DnsAnswer((), DnsFailure.NODATA, authentic), _negative(ttl)
            name = chain.canonical_name

    async def _ask_servers(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.message.QueryMessage:
        """The first NOERROR or NXDOMAIN of any server; raises _SilenceError when there is none."""
        silent = list(self._servers)
        refused = False
        for _ in range(ROUNDS):
            for server in tuple(silent):
                try:
                    return await self._ask_one(server, name, rdtype)
                except _SilenceError as silence:
                    if silence.refused:
                        refused = True
                        silent.remove(server)
        raise _SilenceError(refused=refused)

    async def _ask_one(
        self, server: tuple[str, int], name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> dns.message.QueryMessage:
        query = dns.message.make_query(name, rdtype, use_edns=0, want_dnssec=True, payload=_EDNS_PAYLOAD)
        query.flags |= dns.flags.AD
        try:
            async with asyncio.timeout(self._timeout):
                # Datagrams from elsewhere or to another question are passed over, and waiting goes on (S39).
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query, server[0], None, server[1], ignore_unexpected=True, backend=self._backend, ignore_errors=True
                )
        except TimeoutError:
            raise _SilenceError(refused=False) from None
        except (OSError, EOFError, dns.exception.DNSException):
            raise _SilenceError(refused=True) from None
        if response.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN} or not isinstance(
            response, dns.message.QueryMessage
        ):
            raise _SilenceError(refused=True)
        return response


def _negative(ttl: float) -> float:
    return min(max(ttl, MIN_TTL), MAX_NEGATIVE_TTL)


def system_nameservers() -> tuple[tuple[str, int], ...]:
    """The name servers of /etc/resolv.conf; like the C library's resolver, 127.0.0.1 when it names none."""
    try:
        system = dns.resolver.Resolver(configure=True)
    except dns.resolver.NoResolverConfiguration:
        return (("127.0.0.1", 53),)
    return tuple((str(server), system.port) for server in system.nameservers)
