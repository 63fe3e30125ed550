"""The SMTP server: listens on sockets it is given, and drains them without cutting a transaction.

The node binds the sockets, so that privileged ports, `SO_REUSEPORT` and socket activation are its matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from relay.account.identity import Accounts, Identity
from relay.clock import Clock
from relay.descriptors import accept_each, place_of, serve_each
from relay.engine.submission import Intake
from relay.peers import peer_address
from relay.submission.context import DoorContext, SubmissionContext, log
from relay.submission.options import CLOSE_SECONDS, HANDSHAKE_SECONDS, SubmissionOptions
from relay.submission.session import SubmissionSession
from relay.submission.wire import SHUTTING_DOWN, WireSession

_BACKLOG = 1024
_LAST_WORDS = 1.0
"""Seconds for the last replies, and for TLS to say goodbye, before connections are dropped."""


class DoorServer:
    """One SMTP door of one worker; `start` and `drain` are called once each, on the same loop.

    `door`: what the log calls it, by the section of the settings.
    """

    def __init__(
        self, door: str, context: DoorContext, new_session: Callable[[asyncio.AbstractEventLoop], WireSession]
    ) -> None:
        self._door = door
        self._context = context
        self._new_session = new_session
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def session_count(self) -> int:
        """Open sessions."""
        return len(self._context.sessions)

    async def start(self, listeners: Sequence[tuple[socket.socket, bool]]) -> None:
        """Serve on bound sockets, which the server closes when it drains; True beside one means implicit TLS.

        Raises ValueError if implicit TLS is asked for without a TLS context.
        """
        if self._context.tls is None and any(implicit for _, implicit in listeners):
            raise ValueError("implicit TLS needs a TLS context")
        for listener, implicit in listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._listeners.append(listener)
            accepting = self._accept_tls(listener) if implicit else serve_each(listener, self._session, log)
            self._spawn(accepting, "smtp accept")
            log.info("listening", door=self._door, address=place_of(listener), tls=implicit)

    def _session(self) -> WireSession:
        return self._new_session(asyncio.get_running_loop())

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept_tls(self, listener: socket.socket) -> None:
        """Accept by hand, so that handshakes are counted and each takes the certificate of the moment."""
        async for client, address in accept_each(listener, log):
            peer = peer_address(address)
            if self._context.begin_handshake(peer):
                self._spawn(self._handshake(client, peer), "smtp handshake")
            else:
                client.close()

    async def _handshake(self, client: socket.socket, peer: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._session,
                client,
                ssl=self._context.tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except OSError as error:
            log.info("handshake-failed", peer=peer, error=error)
        finally:
            self._context.end_handshake(peer)

    @property
    def tls_sessions(self) -> int:
        """TLS sessions that OpenSSL keeps in memory, for hours: one of each TLS 1.2 client that left in good order."""
        return 0 if self._context.tls is None else self._context.tls.session_stats()["number"]

    def replace_tls(self, context: ssl.SSLContext) -> None:
        """Use a new certificate from the next handshake on (E10); sessions that are open keep theirs."""
        self._context.tls = context

    async def drain(self, timeout: float) -> None:
        """Stop accepting, say 421 to idle clients, and wait up to `timeout` seconds for transactions to end (C08).

        What is still open then gets 421 as well. A commit under way that outlasts the time is cancelled: its
        client has no reply and sends again.
        """
        context = self._context
        context.draining = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        for session in list(context.sessions):
            if not session.busy:
                session.hang_up(SHUTTING_DOWN)
        context.tell_quiet()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await context.quiet.wait()
        for session in list(context.sessions):
            session.hang_up(SHUTTING_DOWN)
        commits = list(context.commits)
        for commit in commits:
            commit.cancel()
        await asyncio.gather(*commits, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await context.quiet.wait()
        for session in list(context.sessions):
            session.abort()
        log.info("drained", door=self._door, cut=len(commits))


class SubmissionServer(DoorServer):
    """The door for those who hand in mail."""

    def __init__(
        self,
        options: SubmissionOptions,
        intake: Intake,
        accounts: Accounts,
        clock: Clock,
        trusted_identity: Identity,
    ) -> None:
        context = SubmissionContext(options, intake, accounts, clock, trusted_identity)
        super().__init__("submission", context, partial(SubmissionSession, context))
