"""A seed mailbox over IMAP (RFC 9051): is a letter there, and in which folder?

Every call blocks and is made in a thread; each answer of the server has an end in time. Nothing is said without TLS
whose certificate was verified, letters stay unread, and no error holds a password.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from imapclient import IMAPClient, exceptions

from relay.doctor.subject import Place
from relay.figures.seeds import Landing

_MOST_FOLDERS: Final = 50
_JUNK: Final = b"\\Junk"
_HIDDEN: Final = frozenset({b"\\noselect", b"\\nonexistent", b"\\all", b"\\drafts", b"\\sent"})


class MailboxError(Exception):
    """The mailbox cannot be looked into; the text says why, `remedy` what to do."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Login:
    """How to get in: TLS at once, or by STARTTLS."""

    server: Place
    tls: bool
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Found:
    """A letter in a folder; `arrived` by the server's clock."""

    landing: Landing
    folder: str
    header: bytes
    arrived: datetime


class Mailbox:
    """One session. Not for two threads at once."""

    def __init__(self, login: Login, context: ssl.SSLContext, seconds: float) -> None:
        self._login = login
        self._context = context
        self._seconds = seconds
        self._client: IMAPClient | None = None
        self._junk: str | None = None

    def open(self) -> None:
        """Connect and log in. Raises MailboxError."""
        server = self._login.server
        with self._told(f"{server}"):
            client = IMAPClient(
                server.host,
                server.port,
                ssl=self._login.tls,
                ssl_context=self._context if self._login.tls else None,
                timeout=self._seconds,
            )
            self._client = client
            client.normalise_times = False
            if not self._login.tls:
                client.starttls(self._context)
        with self._told(f"{server}: the login was refused", "the user or the password is wrong: see password_file"):
            client.login(self._login.user, self._login.password)
        with self._told(f"{server}"):
            self._junk = client.find_special_folder(_JUNK)

    def find(self, message_id: str, *, everywhere: bool = False) -> Found | None:
        """The letter, in INBOX or the folder for junk, or anywhere; None if it is not there. Raises MailboxError."""
        with self._told(f"{self._login.server}"):
            for folder, landing in self._folders(everywhere=everywhere):
                found = self._find_in(folder, landing, message_id)
                if found is not None:
                    return found
        return None

    def remove(self, folder: str, message_id: str) -> None:
        """Delete the letter, and nothing else. Raises MailboxError."""
        with self._told(f"{self._login.server}"):
            client = self._open()
            client.select_folder(folder)
            if uids := client.search(["HEADER", "Message-ID", message_id]):
                client.delete_messages(uids, silent=True)
                if client.has_capability("UIDPLUS"):
                    client.uid_expunge(uids)

    def close(self) -> None:
        """End the session, whatever became of it."""
        if self._client is not None:
            with contextlib.suppress(OSError, exceptions.IMAPClientError):
                self._client.logout()
            with contextlib.suppress(OSError, exceptions.IMAPClientError):
                self._client.shutdown()
            self._client = None

    def _open(self) -> IMAPClient:
        if self._client is None:
            self.open()
        return self._client

    def _folders(self, *, everywhere: bool) -> Iterator[tuple[str, Landing]]:
        client = self._open()
        yield "INBOX", Landing.INBOX
        if self._junk is not None:
            yield self._junk, Landing.JUNK
        if everywhere:
            for flags, _, name in client.list_folders()[:_MOST_FOLDERS]:
                known = name.upper() == "INBOX" or name == self._junk
                if not known and _HIDDEN.isdisjoint(flag.lower() for flag in flags):
                    yield name, Landing.OTHER

    def _find_in(self, folder: str, landing: Landing, message_id: str) -> Found | None:
        client = self._open()
        client.select_folder(folder, readonly=True)
        uids = client.search(["HEADER", "Message-ID", message_id])
        if not uids:
            return None
        # BODY.PEEK leaves it unread.
        fetched = client.fetch(uids[-1:], ["BODY.PEEK[HEADER]", "INTERNALDATE"])[uids[-1]]
        return Found(landing, folder, fetched[b"BODY[HEADER]"], fetched[b"INTERNALDATE"])

    @contextlib.contextmanager
    def _told(self, what: str, remedy: str = "") -> Iterator[None]:
        """Every failure in words of ours; the session is over after it, and the next call begins another."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            self.close()
            remedy = "nothing was said to it: see the server's name in `imap`, and its certificate"
            raise MailboxError(f"{what}: its certificate is not good: {error.verify_message}", remedy) from None
        except TimeoutError:
            self.close()
            raise MailboxError(f"{what}: no answer within {self._seconds:.0f} s", remedy) from None
        except (OSError, exceptions.IMAPClientError, UnicodeError, KeyError, IndexError) as error:
            self.close()
            raise MailboxError(f"{what}: {self._plain(error)}", remedy) from None

    def _plain(self, error: Exception) -> str:
        """The error's own text in one line, without the password should a server repeat it."""
        if isinstance(error, UnicodeError | KeyError | IndexError):
            return f"{type(error).__name__}"
        text = str(error).replace(self._login.password, "***") if self._login.password else str(error)
        return "".join(one if one.isprintable() else " " for one in text)[:200]
