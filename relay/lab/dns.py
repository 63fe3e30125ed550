"""The lab's name server: the zone on the wire, UDP and TCP, on loopback.

It answers with authority for what the zone holds and NXDOMAIN for the rest of the world, so that a relay in
the lab never writes to a real domain. It sets RA, since stub resolvers ask it directly, and AD where the zone
says so and the question asked for it (RFC 6840 §5.7).
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from relay.lab.listening import PortTakenError, bind_datagrams, taken
from relay.lab.zone import LookUp, Trouble, Zone, read_rdata
from relay.log import Log

TTL: Final = 5
_UDP_SAFE = 1232
_MAX_DELAYED = 512
_MAX_STREAMS = 64
_STREAM_IDLE = 10.0
_PORT_TRIES = 8
_SOA = "ns.lab.test. postmaster.lab.test. 1 3600 600 86400 5"

_log = Log("lab.dns")


def respond(zone: Zone, question: bytes, *, stream: bool) -> tuple[bytes | None, float]:
    """The reply to one packet and the seconds it waits; None means silence. Never raises for what a peer sends."""
    try:
        query = dns.message.from_wire(question, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None, 0.0
    if query.flags & dns.flags.QR:
        return None, 0.0
    reply = dns.message.make_response(query, recursion_available=True)
    if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
        reply.set_rcode(dns.rcode.NOTIMP)
        return reply.to_wire(), 0.0
    asked = query.question[0]
    kind = dns.rdatatype.to_text(asked.rdtype)
    found = zone.look_up(asked.name.to_text(omit_final_dot=True), kind)
    if found.fault.trouble is Trouble.TIMEOUT:
        return None, 0.0
    if found.fault.truncated and not stream:
        reply.flags |= dns.flags.TC
    else:
        _fill(reply, asked.name, kind, found)
    if found.authentic and (query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO):
        reply.flags |= dns.flags.AD
    room = 65535 if stream else min(max(query.payload, 512), _UDP_SAFE)
    return reply.to_wire(max_size=room, prefer_truncation=True), found.fault.delay


def _fill(reply: dns.message.Message, asked: dns.name.Name, kind: str, found: LookUp) -> None:
    match found.fault.trouble:
        case Trouble.SERVFAIL:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return
        case Trouble.REFUSED:
            reply.set_rcode(dns.rcode.REFUSED)
            return
        case Trouble.NXDOMAIN:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        case Trouble.TIMEOUT | None:
            _add_records(reply, asked, kind, found)
    reply.flags |= dns.flags.AA
    if not reply.answer and asked.is_subdomain(_APEX):
        reply.authority.append(dns.rrset.from_text(_APEX, TTL, "IN", "SOA", _SOA))


def _add_records(reply: dns.message.Message, asked: dns.name.Name, kind: str, found: LookUp) -> None:
    owner = asked  # the case of the question is kept, for resolvers that use it as a nonce
    for _, target in found.chain:
        reply.answer.append(dns.rrset.from_rdata(owner, TTL, read_rdata("CNAME", target)))
        owner = dns.name.from_text(target)
    if found.records:
        reply.answer.append(dns.rrset.from_rdata(owner, TTL, *(read_rdata(kind, r) for r in found.records)))
    elif not found.exists:
        reply.set_rcode(dns.rcode.NXDOMAIN)


_APEX = dns.name.from_text("lab.test")


class NameServer:
    """Serves a zone at one address, the same port on UDP and TCP; port 0 picks a free one."""

    def __init__(self, zone: Zone, host: str, port: int) -> None:
        self._zone = zone
        self._host = host
        self._port = port
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._streams: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port in use, once started."""
        return self._port

    async def start(self) -> None:
        """Bind both; PortTakenError names the port and the setting."""
        loop = asyncio.get_running_loop()
        for attempt in range(_PORT_TRIES):
            wanted = self._port
            try:
                self._tcp = await asyncio.start_server(self._accept, self._host, wanted)
            except OSError as error:
                raise taken(
                    "name server", self._host, wanted, "resolver.nameservers (LEAK_RESOLVER__NAMESERVERS)", error
                ) from error
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._zone), sock=bind_datagrams(self._host, port)
                )
            except OSError as error:
                self._tcp.close()
                await self._tcp.wait_closed()
                if wanted or attempt == _PORT_TRIES - 1:
                    raise taken(
                        "name server", self._host, port, "resolver.nameservers (LEAK_RESOLVER__NAMESERVERS)", error
                    ) from error
                continue
            self._port = port
            return
        raise PortTakenError("no port is free on both UDP and TCP")

    async def stop(self) -> None:
        """Close both and every open stream."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            streams = tuple(self._streams)
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
            await self._tcp.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = asyncio.current_task()
        if stream is not None:
            self._streams.add(stream)
        try:
            if len(self._streams) <= _MAX_STREAMS:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            _log.debug("stream-ended")
        except asyncio.CancelledError:
            _log.debug("stream-cancelled")  # only `stop` cancels; asyncio would print what we raise here
        finally:
            writer.close()
            if stream is not None:
                self._streams.discard(stream)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(_STREAM_IDLE):
                length = int.from_bytes(await reader.readexactly(2))
                question = await reader.readexactly(length)
            reply, delay = respond(self._zone, question, stream=True)
            if delay:
                await asyncio.sleep(delay)
            if reply is not None:
                writer.write(len(reply).to_bytes(2) + reply)
                async with asyncio.timeout(_STREAM_IDLE):
                    await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    """One datagram, one answer; late ones wait in timers, at most 512 of them."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._transport = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply, delay = respond(self._zone, data, stream=False)
        if reply is None or self._transport is None:
            return
        if not delay:
            self._transport.sendto(reply, addr)
        elif len(self._timers) < _MAX_DELAYED:
            number = self._next = self._next + 1
            self._timers[number] = asyncio.get_running_loop().call_later(delay, self._send_late, number, reply, addr)

    def _send_late(self, number: int, reply: bytes, addr: tuple[str, int]) -> None:
        self._timers.pop(number, None)
        if self._transport is not None:
            self._transport.sendto(reply, addr)

    def error_received(self, exc: Exception) -> None:
        _log.debug("datagram-refused", why=str(exc))
