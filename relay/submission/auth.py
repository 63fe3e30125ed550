"""AUTH of a submission session: the dialogue, the throttle and the check against the accounts (RFC 4954)."""

from __future__ import annotations

from relay.account.identity import Identity
from relay.errors import SpoolUnavailableError
from relay.smtp.reply import Reply
from relay.submission import replies, sasl
from relay.submission.context import SubmissionContext, log
from relay.submission.options import MAX_AUTH_LINE
from relay.submission.wire import AUTH_LINE_TOO_LONG, BAD_LINE, WireSession


async def authenticate(session: WireSession, context: SubmissionContext, argument: str) -> Identity | Reply:
    """Who the client proves to be, or the reply that refuses it; `argument` is what followed AUTH.

    Secrets are neither logged nor kept. Raises what the session's reading raises.
    """
    mechanism, _, initial = argument.partition(" ")
    match mechanism.upper():
        case "PLAIN":
            credentials = await _plain(session, initial.encode())
        case "LOGIN":
            credentials = await _login(session, initial.encode())
        case _:
            return replies.UNKNOWN_MECHANISM
    return credentials if isinstance(credentials, Reply) else await _prove(session, context, credentials)


async def _plain(session: WireSession, initial: bytes) -> sasl.Credentials | Reply:
    message = sasl.decode_initial(initial) if initial else await _ask(session, sasl.ASK_PLAIN)
    return message if isinstance(message, Reply) else sasl.parse_plain(message)


async def _login(session: WireSession, initial: bytes) -> sasl.Credentials | Reply:
    name = sasl.decode_initial(initial) if initial else await _ask(session, sasl.ASK_NAME)
    if isinstance(name, Reply):
        return name
    password = await _ask(session, sasl.ASK_PASSWORD)
    return password if isinstance(password, Reply) else sasl.make_credentials(name, password)


async def _ask(session: WireSession, challenge: bytes) -> bytes | Reply:
    session.say(challenge)
    line = await session.next_line()
    if len(line) > MAX_AUTH_LINE:
        return AUTH_LINE_TOO_LONG
    return sasl.decode_answer(line[:-2]) if line.endswith(b"\r\n") else BAD_LINE


async def _prove(session: WireSession, context: SubmissionContext, credentials: sasl.Credentials) -> Identity | Reply:
    peer = session.peer
    taken = context.guesses.take(peer, credentials.name)
    if taken is None:
        log.warning("auth-throttled", peer=peer)
        return replies.TOO_MANY_GUESSES
    await session.say_now()
    session.timer.begin_work()
    try:
        identity = await context.accounts.by_password(credentials.name, credentials.password, peer)
    except SpoolUnavailableError as error:
        context.guesses.unchecked(taken)
        log.error("accounts-unavailable", peer=peer, error=error)
        return replies.AUTH_NOT_NOW
    finally:
        session.timer.end_work()
    if identity is None:
        log.warning("auth-failed", peer=peer)
        return sasl.WRONG
    context.guesses.right(taken, peer, credentials.name)
    log.info("authenticated", peer=peer, tenant=identity.tenant_name, credential=identity.id)
    return identity
