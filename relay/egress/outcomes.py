"""The one table from replies and exceptions, by phase, to outcomes. Pure.

Stands at the end of whatever the dialer and the session went through. An exception never leaves them: here it
gets its scope, its phase and its author, so that one bad recipient stops no site and one dead host no message.
"""

from __future__ import annotations

import errno
import ssl
from typing import Final

from aiosmtplib import SMTPReadTimeoutError

from relay.egress.commands import UnsafeCommandError
from relay.egress.protocol import InjectedReplyError, ReplySyntaxError, UnsolicitedReplyError
from relay.errors import cause_of
from relay.policy.outcome import DecidedBy, Host, Outcome, Phase, Result, Scope, TlsFacts
from relay.smtp.reply import Reply, reply
from relay.smtp.stuffing import BareLineEndError

_REACH: Final = {
    Phase.BANNER: Scope.HOST,
    Phase.EHLO: Scope.HOST,
    Phase.STARTTLS: Scope.HOST,
    Phase.TLS: Scope.HOST,
    Phase.AUTH: Scope.HOST,
    Phase.MAIL: Scope.MESSAGE,
    Phase.RCPT: Scope.RECIPIENT,
    Phase.DATA: Scope.MESSAGE,
    Phase.DOT: Scope.MESSAGE,
}
"""How far a refusal in a phase reaches."""

_SOURCE_ERRORS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS})
"""Errors of connecting that are our machine's, whatever host we try."""


class SessionBrokenError(Exception):
    """The dialogue cannot go on: `cause` is what ended it, or `reply` the 421 that did. Never leaves egress."""

    def __init__(self, phase: Phase, cause: Exception | None = None, reply: Reply | None = None) -> None:
        super().__init__(f"{phase.value}: {cause or reply}")
        self.phase = phase
        self.cause = cause
        self.reply = reply


def refused(answer: Reply, phase: Phase, host: Host, tls: TlsFacts | None) -> Outcome:
    """A 4xx or 5xx of the far side. 421 speaks for the host, whatever it answers (RFC 5321 §3.8)."""
    result = Result.PERMANENT if answer.permanent else Result.TEMPORARY
    scope = Scope.HOST if answer.code == 421 else _REACH[phase]
    return Outcome(result, scope, phase, DecidedBy.REMOTE, answer, host, tls)


def delivered(answer: Reply, host: Host, tls: TlsFacts | None, *, confirms: bool = False) -> Outcome:
    """A 2xx to the final dot; `confirms`: the host offered DSN."""
    return Outcome(Result.DELIVERED, Scope.RECIPIENT, Phase.DOT, DecidedBy.REMOTE, answer, host, tls, confirms=confirms)


def broken(error: SessionBrokenError, host: Host, tls: TlsFacts | None, *, sent: bool) -> Outcome:
    """The session ended in mid-air. `sent`: the final dot was written, so nobody knows what became of it (A16).

    UNKNOWN has scope MESSAGE: another host at once would be a sure duplicate.
    """
    if error.reply is not None:
        return refused(error.reply, error.phase, host, tls)
    result, scope, decided_by, words = _understand(error.cause, error.phase)
    if sent and result is Result.TEMPORARY:
        words = reply(451, "4.4.2", f"the message was sent and no answer came: {words.text}")
        return Outcome(Result.UNKNOWN, Scope.MESSAGE, Phase.DOT, DecidedBy.NETWORK, words, host, tls)
    return Outcome(result, scope, error.phase, decided_by, words, host, tls)


def _understand(cause: Exception | None, phase: Phase) -> tuple[Result, Scope, DecidedBy, Reply]:
    temporary, host = Result.TEMPORARY, Scope.HOST
    match cause:
        case SMTPReadTimeoutError():
            return temporary, host, DecidedBy.NETWORK, reply(451, "4.4.2", f"no answer in time ({phase.value})")
        case InjectedReplyError() | UnsolicitedReplyError() | ReplySyntaxError():
            return temporary, host, DecidedBy.RELAY, reply(451, "4.5.0", f"protocol error: {cause.message}")
        case UnsafeCommandError() | BareLineEndError():
            return Result.PERMANENT, Scope.MESSAGE, DecidedBy.RELAY, reply(554, "5.6.0", str(cause))
        case _:
            return temporary, host, DecidedBy.NETWORK, reply(451, "4.4.2", f"connection lost ({phase.value})")


def not_connected(error: OSError, host: Host, *, binding: bool) -> Outcome:
    """No TCP connection came about. `binding`: the source address itself could not be used."""
    if binding or error.errno in _SOURCE_ERRORS:
        words = reply(451, "4.3.0", f"the source cannot be used: {_reason(error)}")
        return Outcome(Result.TEMPORARY, Scope.SOURCE, Phase.CONNECT, DecidedBy.RELAY, words, host)
    words = reply(451, "4.4.1", f"no connection: {_reason(error)}")
    return Outcome(Result.TEMPORARY, Scope.HOST, Phase.CONNECT, DecidedBy.NETWORK, words, host)


def tls_refused(reason: str, phase: Phase, host: Host, tls: TlsFacts | None) -> Outcome:
    """TLS was demanded and not had, or not as demanded: the policy's failure defers (E06)."""
    words = reply(451, "4.7.10", reason)
    return Outcome(Result.TEMPORARY, Scope.HOST, phase, DecidedBy.RELAY, words, host, tls)


def no_login(host: Host, tls: TlsFacts | None) -> Outcome:
    """The next hop offers no way of AUTH that we speak."""
    words = reply(451, "4.7.0", "the host offers neither AUTH PLAIN nor AUTH LOGIN")
    return Outcome(Result.TEMPORARY, Scope.HOST, Phase.AUTH, DecidedBy.RELAY, words, host, tls)


def login_refused(answer: Reply, host: Host, tls: TlsFacts | None) -> Outcome:
    """AUTH was not answered 235: our login is at fault, never the mail, which waits for a better one."""
    return Outcome(Result.TEMPORARY, Scope.HOST, Phase.AUTH, DecidedBy.REMOTE, answer, host, tls)


def handshake_reason(error: Exception) -> str:
    """Why a TLS handshake failed, in a few words without file names of the library."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failure").lower().replace("_", " ")
    if isinstance(error, TimeoutError | ConnectionAbortedError):
        return "the handshake took too long"
    return "the connection was lost in the handshake"


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (cause_of(error) or "network error").lower()


def abandoned(host: Host, tls: TlsFacts | None) -> Outcome:
    """`may_finish` said no: the lease was lost, and nothing was delivered."""
    words = reply(451, "4.3.0", "given up before the content was sent")
    return Outcome(Result.TEMPORARY, Scope.MESSAGE, Phase.DATA, DecidedBy.RELAY, words, host, tls)


def unfit(code: int, status: str, text: str, host: Host, tls: TlsFacts | None) -> Outcome:
    """The message needs what this host did not offer (D04, D13, D16)."""
    return Outcome(Result.PERMANENT, Scope.MESSAGE, Phase.MAIL, DecidedBy.RELAY, reply(code, status, text), host, tls)
