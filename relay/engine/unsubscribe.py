"""One-click unsubscribe: the fields that offer it, and what is done when it is used (RFC 8058, RFC 2369 §3.2).

A link names one delivery by a signed token and tells nobody whose it is. It is written into the message at intake,
under the DKIM signature. Whoever uses it, by POST or by mail, gets no more of that stream from that tenant.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection
from relay.event import EventKind
from relay.ids import SpoolId
from relay.log import Log
from relay.mail.address import AddressError, parse_address
from relay.mail.header import fold_field
from relay.policy.suppress import Reason
from relay.spool.accepting import write_event
from relay.spool.inbound import InboundStore
from relay.spool.rows import dump
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import NewSuppression
from relay.tokens import Token, TokenKind, Tokens, delivery_subject, subject_delivery

_log = Log("unsubscribe")

LINK_LIFE: Final = timedelta(days=400)
"""How long a link is good after its mail was to leave: a year after it came, however late that was."""

ONE_CLICK: Final = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


class UnsubscribeFields:
    """Writes the fields. `base_url` is where `/u/` answers; `mail_domain` takes the mailto form, "" = there is none."""

    def __init__(self, tokens: Tokens, base_url: str, mail_domain: str) -> None:
        self._tokens = tokens
        self._base_url = base_url.rstrip("/")
        self._mail_domain = mail_domain

    def of(self, message: SpoolId, at: datetime) -> bytes:
        """List-Unsubscribe and List-Unsubscribe-Post of a message with one recipient, CRLF ended."""
        token = self._tokens.mint(TokenKind.UNSUBSCRIBE, delivery_subject(message, 0), at + LINK_LIFE)
        ways = [f"<{self._base_url}/u/{token}>"]
        if self._mail_domain:
            ways.append(f"<mailto:{token}@{self._mail_domain}?subject=unsubscribe>")
        return fold_field("List-Unsubscribe", ", ".join(ways)) + ONE_CLICK


class OptOuts:
    """Acts on links. Doing it twice is harmless.

    Of the tenants in `hash_only` neither the address is kept nor the mail that led to it, a keyed hash alone.
    """

    def __init__(
        self,
        store: InboundStore,
        tokens: Tokens,
        book: SuppressionBook,
        clock: Clock,
        hash_only: frozenset[int] = frozenset(),
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._book = book
        self._clock = clock
        self._hash_only = hash_only

    def names_somebody(self, text: str) -> bool:
        """Whether `text` is a link's token that is good today; asks no database."""
        return self._subject(text) is not None

    async def by_link(self, text: str) -> bool:
        """Take the holder of a token off its stream; False if it is no good one. Raises SpoolUnavailableError."""
        subject = self._subject(text)
        return subject is not None and await self._act(subject, "one-click")

    async def by_mail(self, subject: bytes) -> bool:
        """The same for the subject of a token that mail came to. Raises SpoolUnavailableError."""
        return await self._act(subject, "mail")

    def _subject(self, text: str) -> bytes | None:
        token = self._tokens.verify(text)
        return token.subject if isinstance(token, Token) and token.kind is TokenKind.UNSUBSCRIBE else None

    async def _act(self, subject: bytes, way: str) -> bool:
        try:
            sent = await self._store.delivery(*subject_delivery(subject))
        except ValueError:
            return False
        if sent is None:
            return False
        try:
            address = parse_address(sent.recipient or "", require_fqdn=False, allow_literal=True)
        except AddressError:
            return True  # the address was erased: nobody is left to write to
        at = to_millis(self._clock.now())

        def tell(connection: Connection, fresh: bool) -> None:
            if fresh:
                write_event(connection, at, sent.seq, sent.n, EventKind.OPTED_OUT, dump({"way": way}))

        kept = sent.tenant not in self._hash_only
        detail = f"{way} ({sent.message}.{sent.n})" if kept else way
        new = NewSuppression(sent.tenant, address, Reason.OPT_OUT, sent.stream, detail, address_kept=kept)
        if await self._book.add_beside(new, tell):
            _log.info("opted-out", id=sent.message, n=sent.n, way=way, stream=sent.stream)
        return True
