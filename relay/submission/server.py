"""The submission server: listens on sockets it is given, and drains them without cutting a transaction.

The node binds the sockets, so that privileged ports, `SO_REUSEPORT` and socket activation are its matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence

from relay.account.identity import Accounts, Identity
from relay.clock import Clock
from relay.engine.submission import Intake
from relay.submission.context import SubmissionContext, log
from relay.submission.options import SubmissionOptions
from relay.submission.session import SubmissionSession
from relay.submission.wire import SHUTTING_DOWN

_BACKLOG = 1024


class SubmissionServer:
    """One submission door of one worker; `start` and `drain` are called once each, on the same loop."""

    def __init__(
        self,
        options: SubmissionOptions,
        intake: Intake,
        accounts: Accounts,
        clock: Clock,
        trusted_identity: Identity,
    ) -> None:
        self._context = SubmissionContext(options, intake, accounts, clock, trusted_identity)
        self._servers: list[asyncio.Server] = []

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
        loop = asyncio.get_running_loop()
        for listener, implicit in listeners:

            def session(implicit: bool = implicit) -> SubmissionSession:
                return SubmissionSession(self._context, loop, implicit_tls=implicit)

            self._servers.append(await loop.create_server(session, sock=listener, backlog=_BACKLOG))
            log.info("listening", address=listener.getsockname(), tls=implicit)

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
        for server in self._servers:
            server.close()
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
        await asyncio.sleep(0)  # the closed transports tell their sessions on the next turn
        for session in list(context.sessions):
            session.abort()
        log.info("drained", cut=len(commits))
