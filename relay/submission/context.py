"""What all sessions of one SMTP door share: its options, its services and its bounded counters."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from relay.account.identity import Accounts, Identity
from relay.clock import Clock
from relay.engine.submission import Accepted, Intake, Refusal, Submission
from relay.log import Log
from relay.smtp.reply import Reply, reply
from relay.submission.connections import Connections
from relay.submission.options import (
    CONTENT_SHARES,
    LINE_END,
    MAX_CONTENT_IN_MEMORY,
    MAX_HANDSHAKES,
    MAX_HANDSHAKES_PER_ADDRESS,
    MAX_PRESSURE,
    SubmissionOptions,
)
from relay.submission.throttle import GuessThrottle

if TYPE_CHECKING:
    from relay.submission.wire import WireSession

log = Log("submission")
LOCAL_ERROR = reply(451, "4.3.0", "local error, try again later")


class DoorContext:
    """One for each SMTP server; used on its loop only."""

    def __init__(self, options: SubmissionOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.tls: ssl.SSLContext | None = options.tls
        self.connections = Connections(options)
        self.sessions: set[WireSession] = set()
        self.commits: set[asyncio.Task[Reply]] = set()
        self._handshakes: Counter[str] = Counter()
        self.draining = False
        self.quiet = asyncio.Event()
        self._room = self._free = max(MAX_CONTENT_IN_MEMORY, 2 * options.max_message_size)
        # One sender's unfinished messages must not take the room of all others; one message always fits.
        self._share = max(self._room // CONTENT_SHARES, options.max_message_size + LINE_END)
        self._held: Counter[int | str] = Counter()

    def tell_quiet(self) -> None:
        """Set `quiet` once the door drains and nothing is left to wait for."""
        if self.draining and not self.sessions and not self.commits:
            self.quiet.set()

    def reserve(self, holder: int | str | None, octets: int) -> bool:
        """Take memory for `octets` of content; False when all sessions, or those of one holder, hold too much.

        A holder is a credential or a stranger's address. A trusted network has none (None): one identity stands for
        all its hosts, so no share binds them.
        """
        if octets > self._free:
            return False
        if holder is not None:
            if self._held[holder] + octets > self._share:
                return False
            self._held[holder] += octets
        self._free -= octets
        return True

    def release(self, holder: int | str | None, octets: int) -> None:
        """Give back what `reserve` granted."""
        self._free += octets
        if holder is not None:
            self._held[holder] -= octets
            if not self._held[holder]:
                del self._held[holder]

    def pressure(self) -> float:
        """How much faster the time of unfinished content runs: 1 while half of the room is free, more below."""
        return min(MAX_PRESSURE, max(1.0, 0.5 * self._room / max(1, self._free)))

    def may_handshake(self, peer: str) -> bool:
        """Whether one more TLS handshake may run with `peer`."""
        return self._handshakes.total() < MAX_HANDSHAKES and self._handshakes.get(peer, 0) < MAX_HANDSHAKES_PER_ADDRESS

    def begin_handshake(self, peer: str) -> bool:
        """Count a handshake with `peer` if one more may run; `end_handshake` must follow a True."""
        if not self.may_handshake(peer):
            log.warning("handshake-refused", peer=peer)
            return False
        self._handshakes[peer] += 1
        return True

    def end_handshake(self, peer: str) -> None:
        """A handshake is over, whatever came of it."""
        self._handshakes[peer] -= 1
        if not self._handshakes[peer]:
            del self._handshakes[peer]

    def keep(self, work: Coroutine[Any, Any, Reply], holder: int | str | None, reserved: int) -> asyncio.Task[Reply]:
        """Do `work` in a task of its own: a client that leaves after the dot cancels its session, not the commit.

        `work` answers the reply to send and never raises; `reserved` octets are given back at its end.
        """
        task = asyncio.get_running_loop().create_task(work, name="commit")
        self.commits.add(task)

        def done(_: object) -> None:
            self.commits.discard(task)
            self.release(holder, reserved)
            self.tell_quiet()

        task.add_done_callback(done)
        return task


class SubmissionContext(DoorContext):
    """What a submission door has beside."""

    def __init__(
        self,
        options: SubmissionOptions,
        intake: Intake,
        accounts: Accounts,
        clock: Clock,
        trusted_identity: Identity,
    ) -> None:
        super().__init__(options, clock)
        self.intake = intake
        self.accounts = accounts
        self.trusted_identity = trusted_identity
        self.guesses = GuessThrottle(clock)

    def commit(self, submission: Submission, reserved: int) -> asyncio.Task[Reply]:
        """Hand `submission` to intake; the task answers the reply to send."""
        return self.keep(self._commit(submission), submission.identity.id, reserved)

    async def _commit(self, submission: Submission) -> Reply:
        try:
            answer = await self.intake.submit(submission)
        except Exception:
            # Whatever broke, the client keeps its message and tries again.
            log.exception("submit-failed", peer=submission.origin and submission.origin.address)
            return LOCAL_ERROR
        match answer:
            case Accepted(id=spool_id):
                return reply(250, "2.0.0", f"accepted {spool_id}")
            case Refusal(reply=refusal):
                return refusal
