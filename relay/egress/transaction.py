"""One message over one session: MAIL, RCPT and DATA, pipelined where offered, then the content and the dot.

Where CHUNKING is offered, the content is one chunk behind `BDAT n LAST` instead (RFC 3030): it needs no go-ahead, and
leaves only when recipients were accepted and the lease holds, so it is never mixed with DATA (D11).

Stands inside the session. Guarantees one outcome a recipient, whatever happens: each RCPT answer counts for its
recipient and the dot's answer only for those accepted in that transaction (A17); nothing is sent after
`may_finish` said no; and once the final dot was written, silence is UNKNOWN, never a guess (A16).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from aiosmtplib import SMTPServerDisconnected

from relay.egress import outcomes
from relay.egress.capabilities import Capabilities
from relay.egress.commands import UnsafeCommandError, encode_command, mail_parameters, rcpt_parameters
from relay.egress.contract import StaleSessionError, Transaction
from relay.egress.dialogue import Dialogue
from relay.egress.needs import Needs
from relay.egress.outcomes import SessionBrokenError
from relay.egress.protocol import ReplySyntaxError
from relay.egress.timeouts import Timeouts
from relay.policy.outcome import Host, Outcome, Phase, TlsFacts
from relay.smtp.reply import Reply
from relay.smtp.stuffing import CHUNK, FINAL_DOT, BareLineEndError, WireForm, plain, plain_size, stuff

_TOO_MANY = frozenset({(452, None), (452, (4, 5, 3)), (552, None), (552, (5, 5, 3))})
"""Answers to RCPT that mean "the rest in another transaction" (RFC 5321 §4.5.3.1.10); not 4.2.2, a full mailbox."""

_WRITE_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom the transaction is with: the host, what it offered, its TLS as told in outcomes, and our patience."""

    host: Host
    offered: Capabilities
    tls: TlsFacts | None
    timeouts: Timeouts


class TransactionRun:
    """Carries `transaction` to `peer`. `dirty` says that the session's last one did not end cleanly (A19)."""

    def __init__(self, dialogue: Dialogue, transaction: Transaction, needs: Needs, peer: Peer, *, dirty: bool) -> None:
        self._dialogue = dialogue
        self._transaction = transaction
        self._needs = needs
        self._host = peer.host
        self._tls = peer.tls
        self._offered = peer.offered
        self._timeouts = peer.timeouts
        self._outcomes: list[Outcome | None] = [None] * len(transaction.recipients)
        self._wire: bytes | None = None
        self._heard = False
        self._sent = False
        self._abandoned = False
        self.dirty = dirty

    async def carry(self, *, reused: bool) -> tuple[Outcome, ...]:
        """An outcome a recipient, in order.

        `reused`: the session carried others before. If such a one ends, or says 421, before it answered anything,
        it had been closed by then: StaleSessionError.
        """
        waiting = list(range(len(self._outcomes)))
        try:
            if self._transaction.size <= CHUNK:
                content = self._transaction.content
                self._wire = b"".join(plain(content)) if self._offered.chunking else stuff(content)
            while waiting:
                waiting = await self._round(waiting)
        except SessionBrokenError as error:
            if reused and not self._heard and (error.reply or isinstance(error.cause, SMTPServerDisconnected)):
                raise StaleSessionError from None
            self._dialogue.line.close()
            self._fill(outcomes.broken(error, self._host, self._tls, sent=self._sent))
        except (UnsafeCommandError, BareLineEndError) as error:
            phase = Phase.DATA if self._heard else Phase.MAIL
            if self._heard:
                self._dialogue.line.abort()
            self._fill(outcomes.broken(SessionBrokenError(phase, error), self._host, self._tls, sent=False))
        return tuple(outcome for outcome in self._outcomes if outcome is not None)

    def _fill(self, outcome: Outcome) -> None:
        """Give `outcome` to every recipient that has none."""
        for n, known in enumerate(self._outcomes):
            if known is None:
                self._outcomes[n] = outcome

    async def _round(self, indexes: list[int]) -> list[int]:
        """One transaction to the recipients at `indexes`; those to be offered again in another one (A14)."""
        self._sent = False
        grouped = self._offered.pipelining
        commands = self._commands(indexes)
        if grouped:
            await self._say_group(commands)
        else:
            await self._reset_alone()
            self._say(*commands[0])
        mail = await self._hear(Phase.MAIL, self._timeouts.mail)
        self.dirty = True
        if not mail.positive:
            self._refuse(indexes, mail, Phase.MAIL)
            if not grouped:
                return []
        accepted, postponed = await self._recipients(indexes, commands, refused=not mail.positive)
        if not accepted:
            if grouped and not self._offered.chunking:
                await self._end_empty()
            return []
        if not self._offered.chunking:
            if not grouped:
                self._dialogue.say(b"DATA\r\n", "DATA", Phase.DATA)
            if not await self._data(accepted):
                return []
        return postponed if await self._content(accepted) else []

    def _commands(self, indexes: list[int]) -> list[tuple[bytes, str]]:
        """MAIL and the RCPTs, each as sent and as shown: the transcript knows domains, not mailboxes."""
        transaction, utf8 = self._transaction, self._needs.smtputf8
        parameters = mail_parameters(transaction, self._offered, eightbit=self._needs.eightbit, utf8=utf8)
        path = str(transaction.reverse_path)
        shown = f"…@{path.rpartition('@')[2]}" if path else ""
        commands = [(encode_command(f"MAIL FROM:<{path}>{parameters}", utf8=utf8), f"MAIL FROM:<{shown}>{parameters}")]
        for n in indexes:
            recipient = transaction.recipients[n]
            line = f"RCPT TO:<{recipient.address}>{rcpt_parameters(recipient, self._offered)}"
            commands.append((encode_command(line, utf8=utf8), "RCPT TO:<recipient>"))
        return commands

    async def _say_group(self, commands: list[tuple[bytes, str]]) -> None:
        """RSET if due, MAIL, RCPT… and DATA, if that comes, without waiting for answers (RFC 2920 §3.1)."""
        dialogue = self._dialogue
        octets = [octets for octets, _ in commands]
        if not self._offered.chunking:
            octets.append(b"DATA\r\n")
        if self.dirty:
            octets.insert(0, b"RSET\r\n")
            dialogue.note("we", "RSET")
        for _, shown in commands:
            dialogue.note("we", shown)
        if not self._offered.chunking:
            dialogue.note("we", "DATA")
        group = b"".join(octets)
        dialogue.send(group[:_WRITE_BLOCK], len(octets), Phase.MAIL)
        for start in range(_WRITE_BLOCK, len(group), _WRITE_BLOCK):
            await dialogue.room(Phase.RCPT, self._timeouts.rcpt)
            dialogue.send(group[start : start + _WRITE_BLOCK], 0, Phase.RCPT)
        if self.dirty:
            await self._hear_reset()

    async def _reset_alone(self) -> None:
        if self.dirty:
            self._dialogue.say(b"RSET\r\n", "RSET", Phase.MAIL)
            await self._hear_reset()

    async def _hear_reset(self) -> None:
        answer = await self._hear(Phase.MAIL, self._timeouts.mail)
        if not answer.positive:
            raise SessionBrokenError(Phase.MAIL, ReplySyntaxError("RSET was refused"))

    async def _recipients(
        self, indexes: list[int], commands: list[tuple[bytes, str]], *, refused: bool
    ) -> tuple[list[int], list[int]]:
        """Hear (and where not pipelined, say) each RCPT: the accepted, and those for another transaction."""
        accepted: list[int] = []
        postponed: list[int] = []
        for n, command in zip(indexes, commands[1:], strict=True):
            if not self._offered.pipelining:
                self._say(*command, phase=Phase.RCPT)
            answer = await self._hear(Phase.RCPT, self._timeouts.rcpt)
            if refused:
                continue  # it answers a MAIL that failed, not the recipient
            if answer.positive:
                accepted.append(n)
                self._outcomes[n] = None
                continue
            self._refuse([n], answer, Phase.RCPT)
            if accepted and (answer.code, answer.enhanced) in _TOO_MANY:
                postponed.append(n)
        return accepted, postponed

    async def _end_empty(self) -> None:
        """No recipient, and DATA is already under way: a 354 gets a lone dot, whose answer counts for nobody (D06)."""
        answer = await self._hear(Phase.DATA, self._timeouts.data)
        if answer.code == 354:
            self._dialogue.say(FINAL_DOT, ".", Phase.DOT)
            await self._hear(Phase.DOT, self._timeouts.dot)

    async def _data(self, accepted: list[int]) -> bool:
        """The answer to DATA: exactly 354 lets the content go (A07)."""
        answer = await self._hear(Phase.DATA, self._timeouts.data)
        if answer.code == 354:
            return True
        if answer.positive:
            self._dialogue.line.abort()
            raise SessionBrokenError(Phase.DATA, ReplySyntaxError(f"DATA was answered {answer.code}"))
        self._refuse(accepted, answer, Phase.DATA)
        return False

    async def _content(self, accepted: list[int]) -> bool:
        """Content and final dot, and their answer for `accepted`; whether they were delivered."""
        if not self._transaction.may_finish():
            return self._abandon("before the content")
        if self._dialogue.line.answered:
            raise SessionBrokenError(Phase.DATA, ReplySyntaxError("an answer came before the content"))
        if self._offered.chunking:
            await self._chunk()
        elif self._wire is not None:
            self._dialogue.send(self._wire, 1, Phase.DATA)
            self._sent = True
        else:
            await self._stream(WireForm(stuffs=True), 1)
        if self._abandoned:
            return self._abandon("before its end")
        if not self._offered.chunking:
            self._dialogue.note("we", f"({self._transaction.size} octets and the final dot)")
        answer = await self._hear(Phase.DOT, self._timeouts.dot)
        if answer.positive and self._sent:
            self.dirty = False
            for n in accepted:
                self._outcomes[n] = outcomes.delivered(answer, self._host, self._tls, confirms=self._offered.dsn)
            return True
        if not self._sent:
            # The far side cannot tell content from commands any more.
            self._dialogue.line.abort()
        if answer.positive:
            raise SessionBrokenError(Phase.DATA, ReplySyntaxError("accepted before the end of the content"))
        self._refuse(accepted, answer, Phase.DOT)
        return False

    def _abandon(self, when: str) -> bool:
        self._dialogue.note("net", f"the lease was lost: closed {when}")
        self._dialogue.line.abort()
        self._fill(outcomes.abandoned(self._host, self._tls))
        return False

    async def _chunk(self) -> None:
        """The whole content as one chunk, whose octets the command counts (D10)."""
        size = self._plain_size()
        command = b"BDAT %d LAST\r\n" % size
        self._dialogue.note("we", f"BDAT {size} LAST")
        if self._wire is not None:
            self._dialogue.send(command + self._wire, 1, Phase.DATA)
            self._sent = True
        else:
            self._dialogue.send(command, 1, Phase.DATA)
            await self._stream(WireForm(stuffs=False), 0)

    def _plain_size(self) -> int:
        tail = self._transaction.tail
        if tail is None:
            return plain_size(self._transaction.content)
        return self._transaction.size + (0 if tail.ends_line else 2)

    async def _stream(self, form: WireForm, expected: int) -> None:
        """A large content, block by block as the socket takes it; stops when the far side answers early."""
        async with aclosing(self._parts(form)) as parts:
            async for part in parts:
                if not self._transaction.may_finish():
                    self._abandoned = True  # a large content may take longer than a lease
                    return
                for start in range(0, len(part), _WRITE_BLOCK):
                    self._dialogue.send(part[start : start + _WRITE_BLOCK], expected, Phase.DATA)
                    expected = 0
                    await self._dialogue.room(Phase.DATA, self._timeouts.block, or_answered=True)
                    if self._dialogue.line.answered:
                        return
        self._sent = True

    async def _parts(self, form: WireForm) -> AsyncGenerator[bytes]:
        for piece in self._transaction.content:
            for part in form.take(piece):
                yield part
        if self._transaction.tail is not None:
            async for piece in self._transaction.tail.pieces():
                for part in form.take(piece):
                    yield part
        yield form.end()

    def _say(self, octets: bytes, shown: str, phase: Phase = Phase.MAIL) -> None:
        self._dialogue.say(octets, shown, phase)

    async def _hear(self, phase: Phase, timeout: float) -> Reply:
        answer = await self._dialogue.hear(phase, timeout)
        self._heard = True
        return answer

    def _refuse(self, indexes: list[int], answer: Reply, phase: Phase) -> None:
        for n in indexes:
            self._outcomes[n] = outcomes.refused(answer, phase, self._host, self._tls)
