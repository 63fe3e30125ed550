"""The receiving side, built from the settings: which domains are ours, the inbound door, and who sorts what it took.

Stands between the settings and the node, as `relay.sending` does for the other direction.
"""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.clock import Clock
from relay.descriptors import SMTP_SHARE, within_share
from relay.engine.answering import AnswerParts, Answers
from relay.engine.engine import Engine
from relay.engine.feedback import Feedback
from relay.engine.reissue import Reissues
from relay.engine.sorter import SorterParts, Unsubscribe
from relay.inbound.addresses import Addresses
from relay.inbound.context import InboundContext
from relay.inbound.rate import Rate
from relay.inbound.server import InboundServer
from relay.listeners import Listener, wanted_listeners
from relay.opening import Stores
from relay.our_domains import ReportedDomains, our_domains
from relay.policy.mta_sts import StsMode, StsPolicy
from relay.report.auto_reply import Words
from relay.report.classifier import Classifier
from relay.report.rules import FILE, load_rules
from relay.resolver.contract import Resolver
from relay.settings import Settings
from relay.spool.auto_answers import AutoAnswers
from relay.spool.inbound_room import InboundRoom
from relay.spool.inbound_values import NewInbound
from relay.spool.letter_replies import LetterReplies
from relay.submission.options import SubmissionOptions
from relay.suppression.hashing import AddressHasher
from relay.tls_files import server_context
from relay.tokens import Tokens

STS_MAX_AGE: Final = 7 * 86_400
"""Seconds for which senders may keep the policy: after it they ask again."""


def return_domains(settings: Settings) -> dict[str, str]:
    """The return domain of each signing domain whose mail gets return paths of ours."""
    return {
        entry.domain: domain
        for entry in settings.signing.domain
        if entry.return_path == "ours" and (domain := entry.return_domain or settings.inbound.domain)
    }


def sts_policies(settings: Settings) -> dict[str, StsPolicy]:
    """The MTA-STS policy of each domain whose MX is this node, by domain; none where nothing listens for it."""
    mode = StsMode(settings.inbound.mta_sts)
    listens = any(wanted.setting.startswith("inbound.") for wanted in wanted_listeners(settings))
    if mode is StsMode.NONE or not listens:
        return {}
    named = [settings.inbound.domain, *(entry.return_domain for entry in settings.signing.domain)]
    return {domain: StsPolicy(mode, (settings.node.name,), STS_MAX_AGE) for domain in named if domain}


def inbound_options(settings: Settings) -> SubmissionOptions:
    """The inbound door's share of the settings: nobody is trusted, nobody can log in."""
    inbound = settings.inbound
    return SubmissionOptions(
        hostname=settings.node.name,
        require_auth=False,
        trusted_networks=(),
        max_message_size=inbound.max_message_size,
        # What RFC 5321 §4.5.3.1.8 asks for; each recipient has the whole mail read once more.
        max_recipients=min(settings.submission.max_recipients, 100),
        max_connections=within_share(inbound.max_connections, SMTP_SHARE, "inbound.max_connections"),
        max_connections_per_address=inbound.max_connections_per_address,
        idle_timeout=settings.submission.idle_timeout.total_seconds(),
        tls=server_context(settings, inbound.tls, "inbound.tls") if inbound.tls else None,
    )


@dataclass(frozen=True, slots=True)
class ReceivingParts:
    """What the receiving side works with."""

    stores: Stores
    engine: Engine
    tokens: Tokens
    clock: Clock
    resolver: Resolver
    tenant: int
    """Whose mail our answers are."""
    answer_key: bytes = field(repr=False)
    """Keys the hashes of who was answered."""
    unsubscribe: Unsubscribe | None = None


def make_answers(settings: Settings, parts: ReceivingParts) -> Answers:
    """Who answers replies, with the words the settings give him."""
    stores, inbound = parts.stores, settings.inbound
    return Answers(
        AnswerParts(
            node_name=settings.node.name,
            tenant=parts.tenant,
            words=Words(inbound.answer_english, inbound.answer_french),
            spool=stores.spool,
            ledger=AutoAnswers(stores.database, parts.clock),
            # A key of its own, so that a row here cannot be found among the suppressions.
            hasher=AddressHasher([hmac.digest(parts.answer_key, b"answered", "sha256")]),
            resolver=parts.resolver,
            prepare=parts.engine.intake.prepare,
            suppressions=stores.suppressions,
            replies=LetterReplies(stores.database, parts.clock),
            clock=parts.clock,
        )
    )


class Receiving:
    """Door and sorter of one worker; `start` and `stop` are called once each."""

    def __init__(self, settings: Settings, parts: ReceivingParts) -> None:
        self._settings = settings
        self._store = parts.stores.inbound
        self._spool = parts.stores.spool
        self._room = InboundRoom(parts.stores.database, parts.clock, settings.inbound.room)
        rules = settings.folder / FILE
        sorting = SorterParts(
            store=self._store,
            spool=self._spool,
            tokens=parts.tokens,
            reissues=Reissues(settings.node.name, self._spool, parts.engine.intake.prepare),
            classifier=Classifier(load_rules(rules)),
            reported=ReportedDomains(settings, parts.stores.accounts, parts.clock).get,
            unsubscribe=parts.unsubscribe,
            answers=make_answers(settings, parts),
        )
        self._feedback = Feedback(sorting, parts.clock, settings.inbound.keep)
        addresses = Addresses(
            settings.node.name,
            our_domains(settings),
            parts.tokens,
            parts.stores.senders.has,
            self._store.replies,
            parts.clock,
        )
        rate = Rate(settings.inbound.max_per_minute, parts.clock)
        self._server = InboundServer(
            InboundContext(inbound_options(settings), addresses, rate, parts.clock, self._take, self._feedback.came)
        )

    async def start(self, listeners: Sequence[Listener]) -> None:
        """Sort what an earlier life left, then take mail on the sockets given."""
        self._feedback.start()
        await self._server.start([(one.socket, one.listen.tls) for one in listeners])

    @property
    def tls_sessions(self) -> int:
        """TLS sessions that are kept."""
        return self._server.tls_sessions

    def replace_tls(self, context: ssl.SSLContext) -> None:
        """Use a new certificate from the next handshake on."""
        self._server.replace_tls(context)

    async def drain(self, seconds: float) -> None:
        """Stop taking mail, then stop sorting; what is not sorted waits in the spool."""
        await self._server.drain(seconds)
        await self._feedback.stop()

    async def _take(self, mail: NewInbound) -> list[int]:
        await self._spool.ping()  # below the floor of free space nothing new is taken (S32)
        await self._room.make(mail)
        return await self._store.take(mail)
