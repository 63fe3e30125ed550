"""One SMTP transaction with the node, for `leak send`: STARTTLS where offered, AUTH, all recipients or none.

On loopback the certificate is not verified (nobody stands between, and its name is the node's public one); with any
other server it is, and a password never leaves in clear.
"""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_TIMEOUT: Final = 300.0
"""Seconds for each step: an accept waits for the disk, not for the recipient."""


_TLS_HINT: Final = '; if it is a port with implicit TLS, write "/tls" after it, as in --server HOST:465/tls'
_CLEAR_HINT: Final = '; if the port begins in clear, leave "/tls" out'


class ServerRefusalError(Exception):
    """The node did not take the message; nothing was sent. `temporary` when it may later."""

    def __init__(self, text: str, *, temporary: bool) -> None:
        super().__init__(text)
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class Server:
    """Where the node listens, and who we are there."""

    host: str
    port: int
    implicit_tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def hand_over(server: Server, sender: str, recipients: Sequence[str], content: bytes) -> None:
    """Give one message to the node. Raises ServerRefusalError; `sender` "" is the null path."""
    try:
        with contextlib.closing(_connect(server)) as session:
            _transact(session, sender, recipients, content)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                session.quit()
    except smtplib.SMTPResponseException as error:
        raise _refusal("the node", error.smtp_code, error.smtp_error) from None
    except ssl.SSLError as error:
        hint = _CLEAR_HINT if server.implicit_tls and error.reason == "WRONG_VERSION_NUMBER" else ""
        reason = f"{error.reason or error}{hint}"
        raise ServerRefusalError(f"TLS with {server.host} failed: {reason}", temporary=False) from None
    except smtplib.SMTPServerDisconnected as error:
        hint = "" if server.implicit_tls else _TLS_HINT
        raise ServerRefusalError(f"{server.host}:{server.port}: {error}{hint}", temporary=True) from None
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        raise ServerRefusalError(f"{server.host}:{server.port}: {error}", temporary=True) from None


def _refusal(who: str, code: int, text: bytes | str) -> ServerRefusalError:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return ServerRefusalError(f"{who} said {code} {line}", temporary=400 <= code < 500)


def _context(server: Server) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if server.ca_file:
        context.load_verify_locations(server.ca_file)
    elif server.loopback:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connect(server: Server) -> smtplib.SMTP:
    if server.implicit_tls:
        session: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT, context=_context(server))
    else:
        session = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT)
    try:
        _greet(session, server)
    except BaseException:
        session.close()
        raise
    return session


def _greet(session: smtplib.SMTP, server: Server) -> None:
    session.ehlo_or_helo_if_needed()
    encrypted = server.implicit_tls
    if not encrypted and session.has_extn("starttls"):
        session.starttls(context=_context(server))
        session.ehlo()
        encrypted = True
    if not server.user:
        return
    if not encrypted and not server.loopback:
        raise ServerRefusalError("the node offers no TLS; the password stays here", temporary=False)
    if not session.has_extn("auth"):
        raise ServerRefusalError("the node offers no AUTH on this connection", temporary=False)
    session.login(server.user, server.password)


def _transact(session: smtplib.SMTP, sender: str, recipients: Sequence[str], content: bytes) -> None:
    options = [f"SIZE={len(content)}"] if session.has_extn("size") else []
    if session.has_extn("8bitmime") and not content.isascii():
        options.append("BODY=8BITMIME")
    if not "".join([sender, *recipients]).isascii():
        if not session.has_extn("smtputf8"):
            raise ServerRefusalError("the node takes no addresses beyond ASCII (SMTPUTF8)", temporary=False)
        session.command_encoding = "utf-8"
        options.append("SMTPUTF8")
    _expect(session.mail(sender, options), "the sender")
    for recipient in recipients:
        # Not one is sent to until every one was accepted: a partial send could not be repeated.
        _expect(session.rcpt(recipient), recipient)
    _expect(session.data(content), "the message")


def _expect(answer: tuple[int, bytes], about: str) -> None:
    code, text = answer
    if not 200 <= code < 300:
        raise _refusal(f"the node, about {about},", code, text)
