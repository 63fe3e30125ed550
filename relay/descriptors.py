"""File descriptors: as many as the system grants, shared out so that no door can take them from another.

Ground of both doors. A flood of connections ends at its door's share; whatever uses descriptors up all the same
delays an accept and never ends a listener, as it would with uvloop's own servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from relay.log import Log

HTTP_SHARE: Final = 0.25
SMTP_SHARE: Final = 0.5
"""What is left belongs to delivery, the spool and the resolver."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE: Final = 0.5
"""Seconds before the next accept when the system has nothing left to accept with."""

_log = Log("descriptors")


def raise_limit() -> None:
    """Raise this process's soft limit of open files to its hard one, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def within_share(wanted: int, share: float, setting: str) -> int:
    """`wanted` connections, or as many as `share` of the open files allows; `setting` is named in the warning."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= (most := max(1, int(soft * share))):
        return wanted
    _log.warning("open-files-scarce", setting=setting, wanted=wanted, used=most, limit=soft)
    return most


def place_of(listener: socket.socket) -> str:
    """Where a socket listens, as the settings write it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def accept_each(listener: socket.socket, log: Log) -> AsyncIterator[tuple[socket.socket, Any]]:
    """Each connection of a listening, non-blocking socket with its address, until the task is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            client, address = await loop.sock_accept(listener)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                log.error("accept-failed", error=error)
                await asyncio.sleep(_PAUSE)
            else:  # a client that was gone before it was accepted
                log.debug("accept-failed", error=error)
                await asyncio.sleep(0)
            continue
        yield client, address


async def serve_each(listener: socket.socket, protocol: Callable[[], asyncio.Protocol], log: Log) -> None:
    """Give each connection of a listening, non-blocking socket a protocol of its own, until the task is cancelled."""
    async for client, _ in accept_each(listener, log):
        try:
            await _adopt(client, protocol)
        except OSError as error:
            log.debug("accept-failed", error=error)
            client.close()


async def _adopt(client: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Make `client` a connection, whole even when cancelled.

    Cut between connection_made and its own last step, uvloop closes the handle under a protocol that never hears of
    it, and the next write raises. So a cancel waits for the one turn of the loop that this takes.
    """
    adopting = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(protocol, client))
    try:
        await asyncio.shield(adopting)
    except asyncio.CancelledError:
        await asyncio.wait([adopting])
        raise
