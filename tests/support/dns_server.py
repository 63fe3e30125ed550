"""A tiny authoritative DNS server on loopback, UDP and TCP on one port, for tests.

The zone is a plain dict, and faults are another one:

    zone = {
        "example.org": {"MX": ["10 mx1.example.org", "20 mx2.example.org"], "TXT": ["v=spf1 -all"]},
        "mx1.example.org": {"A": ["127.0.0.2"], "AAAA": ["::1"]},
        "alias.example": {"CNAME": ["example.org"]},
        "nomail.example": {"MX": ["0 ."]},
    }
    async with DnsServer(zone, faults={("mx2.example.org", "A"): Fault.SERVFAIL}) as dns:
        resolver = DnsResolver([dns.address], timeout=5, trust_ad=False, clock=SystemClock())

A name that is not in the zone (nor above one that is) is NXDOMAIN; a name without records of the type asked is
NODATA. CNAMEs are followed inside the zone unless `follow=False`. `dns.zone` and `dns.faults` may be changed while
it runs; `dns.queries` lists every question as (name, kind, "udp" or "tcp"). A fault with kind "*" meets every
question for the name, the name "*" every name.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from relay.lab.listening import bind_datagrams
from tests.support.dns_rubbish import Maker

Zone = dict[str, dict[str, list[str]]]


class Fault(Enum):
    """What goes wrong with a question."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    """No answer at all."""
    TRUNCATE = "truncate"
    """Over UDP an empty answer with the TC bit; over TCP all is well."""
    WRONG_ID = "wrong-id"
    """A forged answer with another id first, then the right one."""
    WRONG_QUESTION = "wrong-question"
    """A forged answer to another question first, then the right one."""
    GARBAGE = "garbage"
    """Octets that are no DNS message, and nothing else."""


def patience(faults: Mapping[tuple[str, str], Fault | Maker] | None) -> float:
    """Seconds a test's resolver waits for an answer: few only where none that counts will ever come."""
    never = {Fault.TIMEOUT, Fault.GARBAGE}
    return 0.3 if any(callable(fault) or fault in never for fault in (faults or {}).values()) else 5.0


class DnsServer:
    """Serves `zone` until the `async with` block ends. `ttl` in seconds.

    `authentic` sets the AD bit, but not at `insecure` names.
    """

    def __init__(
        self,
        zone: Zone,
        *,
        faults: Mapping[tuple[str, str], Fault | Maker] | None = None,
        ttl: int = 300,
        authentic: bool = False,
        insecure: Collection[str] = (),
        follow: bool = True,
        delay: float = 0.0,
    ) -> None:
        self.zone = zone
        self.faults = dict(faults or {})
        self.ttl = ttl
        self.authentic = authentic
        self.insecure = set(insecure)
        self.follow = follow
        self.delay = delay
        self.queries: list[tuple[str, str, str]] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it answers."""
        return ("127.0.0.1", self.port)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(20):  # one port must be free for both protocols
            stream = socket.socket()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("127.0.0.1", 0))
            self.port = stream.getsockname()[1]
            try:
                datagrams = bind_datagrams(*self.address)
            except OSError:
                stream.close()
                continue
            self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
            self._tcp = await asyncio.start_server(self._stream, sock=stream)
            return self
        raise OSError("no port is free for both UDP and TCP")

    async def __aexit__(self, *exc: object) -> None:
        if self._transport:
            self._transport.close()
        if self._tcp:
            self._tcp.close()
            await self._tcp.wait_closed()
        await asyncio.sleep(0)

    def count(self, name: str, kind: str) -> int:
        """How often the question was asked."""
        return sum(1 for n, k, _ in self.queries if (n, k) == (name, kind))

    def answers(self, wire: bytes, protocol: str) -> list[bytes]:
        """The packets sent for one question; none for a time-out."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind, protocol))
        fault = next((f for key in ((name, kind), (name, "*"), ("*", "*")) if (f := self.faults.get(key))), None)
        right = self._answer(query, name, kind)
        size = 65535 if protocol == "tcp" else max(query.payload, 512)
        if fault is not None and not isinstance(fault, Fault):
            return fault(wire, right.to_wire(max_size=65535), protocol)
        match fault:
            case Fault.TIMEOUT:
                return []
            case Fault.SERVFAIL | Fault.REFUSED:
                failed = dns.message.make_response(query)
                failed.set_rcode(dns.rcode.SERVFAIL if fault is Fault.SERVFAIL else dns.rcode.REFUSED)
                return [failed.to_wire()]
            case Fault.GARBAGE:
                return [b"\x00\x01garbage"]
            case Fault.TRUNCATE if protocol == "udp":
                cut = dns.message.make_response(query)
                cut.flags |= dns.flags.TC
                return [cut.to_wire()]
            case Fault.WRONG_ID:
                forged = self._forged(query)
                forged.id = query.id ^ 1
                return [forged.to_wire(), right.to_wire(max_size=size)]
            case Fault.WRONG_QUESTION:
                other = dns.message.make_query("forged.example", kind)
                other.id = query.id
                return [self._forged(other).to_wire(), right.to_wire(max_size=size)]
            case _:
                with contextlib.suppress(dns.exception.TooBig):
                    return [right.to_wire(max_size=size)]
                cut = dns.message.make_response(query)
                cut.flags |= dns.flags.TC
                return [cut.to_wire()]

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if self.authentic:
            response.flags |= dns.flags.AD
        for _ in range(40):
            records = self.zone.get(name, {})
            wanted = kind if kind in records else "CNAME"
            if wanted not in records:
                break
            response.answer.append(
                dns.rrset.from_text_list(_dotted(name), self.ttl, "IN", wanted, _full(records, wanted))
            )
            if name in self.insecure:
                response.flags &= ~dns.flags.AD
            if wanted == kind:
                return response
            name = records["CNAME"][0].rstrip(".").lower()
            if not self.follow:
                return response
        if name in self.insecure:
            response.flags &= ~dns.flags.AD
        exists = any(known == name or known.endswith(f".{name}") for known in self.zone)
        response.set_rcode(dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
        soa = f"ns.invalid. host.invalid. 1 3600 600 86400 {self.ttl}"
        response.authority.append(dns.rrset.from_text(_parent(name), self.ttl, "IN", "SOA", soa))
        return response

    def _forged(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        question = query.question[0]
        text = {"A": "127.6.6.6", "AAAA": "::6", "MX": "1 forged.example."}.get(dns.rdatatype.to_text(question.rdtype))
        if text:
            response.answer.append(dns.rrset.from_text(question.name, 9999, "IN", question.rdtype, text))
        return response

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            for answer in self.answers(wire, "tcp"):
                writer.write(len(answer).to_bytes(2) + answer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for answer in self._server.answers(data, "udp"):
            asyncio.get_running_loop().call_later(self._server.delay, self._send, answer, addr)

    def _send(self, answer: bytes, addr: Any) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.sendto(answer, addr)


def _dotted(name: str) -> dns.name.Name:
    return dns.name.from_text(name)


def _parent(name: str) -> dns.name.Name:
    return dns.name.from_text(name.rpartition(".")[2])


def _full(records: dict[str, list[str]], kind: str) -> list[str]:
    """Names in MX, CNAME and PTR records made absolute, TXT quoted."""
    texts = records[kind]
    if kind in {"MX", "CNAME", "PTR"}:
        return [text if text.endswith(".") else f"{text}." for text in texts]
    if kind == "TXT":
        return [" ".join(f'"{text[i : i + 200]}"' for i in range(0, len(text), 200)) for text in texts]
    return texts
