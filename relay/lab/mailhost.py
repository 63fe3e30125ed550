"""The lab's mail hosts on their addresses: every host of the map listens, all on one port."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable, Mapping, Sequence

from relay.clock import Clock
from relay.lab.behaviour import Manners, Tls
from relay.lab.hosts import LabHost, address
from relay.lab.listening import missing_aliases, taken
from relay.lab.mailbox import Posting
from relay.lab.session import HostParts, Session
from relay.lab.wire import Wire
from relay.log import Log

MAX_SESSIONS = 400
"""Open sessions a host; further connections are closed at once."""
_PORT_TRIES = 8

_log = Log("lab.mail")


class MailHosts:
    """Starts and stops a server per host; `contexts` gives the TLS context of each kind of certificate."""

    def __init__(
        self,
        hosts: Sequence[LabHost],
        contexts: Mapping[Tls, ssl.SSLContext],
        clock: Clock,
        store: Callable[[Posting], str],
    ) -> None:
        self._parts = [
            HostParts(host, Manners(host.behaviour, clock), contexts.get(host.behaviour.tls), clock, store)
            for host in hosts
        ]
        self._servers: list[asyncio.Server] = []
        self._sessions: dict[str, dict[asyncio.Task[None], Wire]] = {host.name: {} for host in hosts}

    async def start(self, subnet: int, port: int) -> int:
        """Bind every host and return the port (the same for all; 0 picks one that is free everywhere).

        Raises PortTakenError or MissingAliasError and leaves nothing open.
        """
        for attempt in range(_PORT_TRIES):
            try:
                return await self._bind_all(subnet, port)
            except OSError as error:
                self._close_servers()
                if error.errno == errno.EADDRNOTAVAIL:
                    raise missing_aliases([address(subnet, p.host.number) for p in self._parts]) from error
                if port or attempt == _PORT_TRIES - 1:
                    raise taken(
                        "mail hosts",
                        f"127.0.{subnet}.*",
                        port,
                        "delivery.port (LEAK_DELIVERY__PORT) or lab.subnet (LEAK_LAB__SUBNET)",
                        error,
                    ) from error
        return port

    async def stop(self) -> None:
        """Close the servers, end the sessions, wait for both."""
        sessions = {session: wire for held in self._sessions.values() for session, wire in held.items()}
        servers = list(self._servers)
        self._close_servers()
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        for wire in sessions.values():
            wire.abort()  # a peer that does not read must not hold up the end
        for server in servers:
            await server.wait_closed()

    async def _bind_all(self, subnet: int, port: int) -> int:
        loop = asyncio.get_running_loop()
        for parts in self._parts:
            where = address(subnet, parts.host.number)
            server = await loop.create_server(lambda parts=parts: self._wire(parts), where, port)  # type: ignore[misc]
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
        return port

    def _wire(self, parts: HostParts) -> Wire:
        held = self._sessions[parts.host.name]

        async def serve(wire: Wire) -> None:
            if len(held) > MAX_SESSIONS:
                wire.close()
                return
            try:
                await Session(wire, parts).run()
            except Exception:  # noqa: BLE001 - a defect in one session must not go unlogged or end the lab
                _log.exception("session-failed", host=parts.host.name)

        def adopt(wire: Wire, session: asyncio.Task[None]) -> None:
            held[session] = wire
            session.add_done_callback(held.pop)

        return Wire(serve, adopt)

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
