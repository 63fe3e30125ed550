"""How a front is put together: from options and what is outside to the parts that pages and courier work with.

Called once, by `web.app`. Nothing runs yet.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from relay.clock import Clock
from relay.errors import ConfigurationError
from relay.log import Log
from web.catalogue import load_words
from web.ceilings import Ceilings
from web.client_address import ClientAddressReader
from web.code_mails import CodeMails
from web.confirming import CodePost, Confirming, SenderConfirmation
from web.copies import Copies
from web.courier import Courier, Rounds
from web.crowds import Crowds
from web.departing import WayOut
from web.documents import Document
from web.errands import Errands
from web.handing_over import HandOver
from web.haste import Haste
from web.judgement import Judge
from web.limits import PreviewLimits
from web.links import RecipientLinks
from web.mail import MailWriter
from web.network import NetworkLists
from web.objections import Objections
from web.options import FrontOptions
from web.outside import Outside
from web.parts import Parts
from web.preview import PreviewTokens
from web.recipient import RecipientParts
from web.refusal_count import RefusalCount
from web.render import Renderer, make_templates
from web.reply_keeper import ReplyKeeper
from web.row import Row
from web.sealing import SealingKeys, month_of
from web.stores import make_stores
from web.token import TokenSigner
from web.wall_keeper import BellRinger, OutboxCounter, WallKeeper
from web.way_in import WayIn
from web.weekly import WeeklyKeeper, WeeklyParts, WeeklyWriter
from web.weekly_links import WeeklyLinks
from web.wishes import Wishes
from web.withholding import Withholding

_log = Log("front")


class Building:
    """One front's parts. Raises ValueError for a trusted proxy that is no network, ConfigurationError."""

    def __init__(self, options: FrontOptions, outside: Outside) -> None:
        self._options = options
        self._outside = outside
        self._words = load_words(options.time_zone)
        self._links = RecipientLinks((options.link_key, *options.old_link_keys), options.base_url)
        templates = make_templates()
        templates.globals["documents"] = _pages_below(options)
        self._renderer = Renderer(templates, self._words, https=options.is_https, onion=options.onion_url)
        self._writer = MailWriter(options, templates, self._links)
        self._judge = Judge(outside.moderator, outside.clock, outside.entropy)
        self.stores = make_stores(options, outside)
        self._limits = self.stores.limits if options.limits else None
        self.errands = Errands(outside.relay, self.stores.errands, self.stores.keys, outside.clock)
        self._code_mails = CodeMails(outside.relay, outside.database, outside.clock)
        self._confirming = self._make_confirming()
        self._ceilings = Ceilings(outside.relay, self.stores.admission, outside.clock)
        self._sealing = _sealing_keys(options, outside.clock)
        self._tokens = PreviewTokens(options, outside.clock, outside.entropy)
        self._withholding = self._make_withholding()
        self._refusals = RefusalCount(outside.relay, self.stores.counts)
        links = WeeklyLinks(self._links, outside.clock)
        self.weekly = WeeklyParts(
            self.stores.weekly, WeeklyWriter(options, templates, links), links, self.stores.mailboxes
        )

    def parts(self) -> Parts:
        """What a writer's pages work with, the courier among it."""
        options, outside, stores = self._options, self._outside, self.stores
        relay, clock, entropy = outside.relay, outside.clock, outside.entropy
        return Parts(
            options=options,
            relay=relay,
            database=outside.database,
            clock=clock,
            entropy=entropy,
            stores=stores,
            row=Row(outside.database),
            withholding=self._withholding,
            judge=self._judge,
            tokens=self._tokens,
            writer=self._writer,
            renderer=self._renderer,
            sealing=self._sealing,
            way_in=self._way_in(),
            ceilings=self._ceilings,
            confirming=self._confirming,
            courier=self._courier(),
            addresses=ClientAddressReader(options.trusted_proxies, options.client_port_header),
            networks=NetworkLists(options.network_lists),
            limits=self._limits,
            previews=PreviewLimits(clock, entropy) if options.limits else None,
            copies=Copies(clock, entropy) if options.limits else None,
        )

    def recipient_parts(self) -> RecipientParts:
        """What a recipient's pages work with."""
        base_url, relay = self._options.base_url, self._outside.relay
        return RecipientParts(base_url, relay, self.errands, self.stores, self._links, self._renderer, self._judge)

    def _make_confirming(self) -> Confirming:
        options, outside = self._options, self._outside
        return Confirming(
            SenderConfirmation(options.sender_confirmation),
            TokenSigner(options.form_key, outside.clock),
            self._writer,
            CodePost(self._code_mails, self._limits, Haste(outside.clock, outside.entropy)),
        )

    def _way_in(self) -> WayIn:
        outside, stores = self._outside, self.stores
        crowds = Crowds(stores.admission, outside.relay, self._options.sender, outside.clock)
        return WayIn(self._limits, stores.pile, stores.lane, crowds, outside.clock)

    def _make_withholding(self) -> Withholding:
        def told_after(letter_id: str) -> timedelta:
            return self._options.failure_delay * self._tokens.share_of(letter_id)

        return Withholding(self._outside.relay, self.stores.withheld, self._outside.clock, told_after)

    def _courier(self) -> Courier:
        outside, stores = self._outside, self.stores
        objections = Objections(outside.relay, self.errands, outside.database, stores.mailboxes)
        way_out = WayOut(outside.relay, objections, self._ceilings, stores.mailboxes, outside.clock)
        hand_over = HandOver(way_out, stores.letters, stores.withheld, outside.clock, outside.entropy)
        return Courier(hand_over, stores.letters, outside.clock, self._rounds())

    def _rounds(self) -> Rounds:
        """What happens beside letters: errands before them, looks once a minute, forgetting once an hour."""
        options, outside, stores = self._options, self._outside, self.stores
        relay, database, clock = outside.relay, outside.database, outside.clock
        wishes = Wishes(self.errands, database, clock)
        watches = [
            OutboxCounter(database).look,
            WallKeeper(stores.wall, relay, clock).look,
            stores.rulings.flush,
            self._refusals.look,
            stores.replies.end_holds,
            stores.limits.repay,
            self._code_mails.forget,
        ]
        if options.replies:
            watches.append(ReplyKeeper(relay, stores.replies, self._judge, stores.mailboxes, clock).look)
        if options.weekly != "off":
            watches.append(WeeklyKeeper(self.weekly, relay, self._words, options.weekly, clock).look)
        if outside.bell is not None:
            watches.append(BellRinger(database, outside.bell, clock, options.pile).ring)
        # The log last: what was deleted from the tables stands in it until it is cut.
        forgetting = (*stores.forgetting(), self._read_sealing_keys, database.cut_log)
        return Rounds(
            options.hand_over_every,
            options.status_kept,
            forgetting,
            (self.errands.run,),
            (wishes.look, self._withholding.look),
            tuple(watches),
        )

    async def _read_sealing_keys(self) -> None:
        """Take over keys that were copied meanwhile; whether they will do is the doctor's look."""
        try:
            self._sealing.read()
        except ConfigurationError as error:
            _log.error("sealing-keys-unreadable", why=str(error), remedy="the keys that were read before are used")


def _pages_below(options: FrontOptions) -> list[str]:
    """What the links below every page lead to."""
    return [
        *(["wall"] if options.wall else []),
        *(["weekly"] if options.weekly != "off" else []),
        *(document.value for document in Document),
    ]


def _sealing_keys(options: FrontOptions, clock: Clock) -> SealingKeys:
    """The public halves. Raises ConfigurationError; what is missing is said, since the law may ask for records."""
    keys = SealingKeys(options.sealed_keys or Path("/nonexistent"))
    month = month_of(clock.now())
    if not keys:
        _log.warning("no-sealing-keys", folder=options.sealed_keys, remedy="leak sealed new-keys; no record is kept")
    elif keys.last < month:
        _log.warning("sealing-keys-old", last=keys.last, remedy="leak sealed new-keys")
    return keys
