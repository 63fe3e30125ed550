"""How a node mounts the front: from what the node has to the front's application. Loaded by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from aiohttp import web

from relay.client.contract import Followed, ModerationBell, RelayClient
from relay.clock import Clock
from relay.database.contract import Database
from relay.ids import Entropy
from relay.key_memory import KeyMemory
from relay.pages.token_door import TokenDoor
from web.app import OPT_OUT, make_app
from web.audit import Audit
from web.authorities import load_authorities
from web.catalogue import load_words
from web.deciding import Deciding
from web.desk.app import make_desk_app
from web.desk.frame import DeskParts
from web.judgement import Judge
from web.legal_requests import LegalRequestStore
from web.letter_table import DatabaseLetterStore
from web.mailbox import MailboxHasher
from web.moderation.moderator import load_moderator
from web.morning import zone_of
from web.network import Network
from web.operator import Operator
from web.options import FrontOptions
from web.organisations import Organisations
from web.outside import Outside
from web.render import Renderer, make_templates
from web.schools import SchoolMail
from web.sealed_store import SealedStore
from web.shares import Shares


class OperatorValues(Protocol):
    """Who runs the service, as the settings tell it."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> tuple[str, ...]: ...
    @property
    def mail(self) -> str: ...
    @property
    def phone(self) -> str: ...
    @property
    def publisher(self) -> str: ...
    @property
    def registration(self) -> str: ...
    @property
    def host(self) -> str: ...


class FrontValues(Protocol):
    """The settings of the front, as plain values."""

    @property
    def base_url(self) -> str: ...
    @property
    def onion_url(self) -> str: ...
    @property
    def trusted_proxies(self) -> tuple[str, ...]: ...
    @property
    def client_port_header(self) -> str: ...
    @property
    def limits(self) -> bool: ...
    @property
    def sealed_keys(self) -> Path: ...
    @property
    def first_contact(self) -> str: ...
    @property
    def doorbell_domain(self) -> str | None: ...
    @property
    def weekly_domain(self) -> str | None: ...
    @property
    def doorbells_per_day(self) -> int: ...
    @property
    def admission_per_day(self) -> int: ...
    @property
    def school_domains(self) -> str: ...
    @property
    def most_waiting(self) -> int: ...
    @property
    def domain_per_day(self) -> int: ...
    @property
    def large_domains(self) -> tuple[str, ...]: ...
    @property
    def sender_confirmation(self) -> str: ...
    @property
    def share_tor(self) -> float: ...
    @property
    def share_data_centre(self) -> float: ...
    @property
    def tor_lists(self) -> tuple[Path, ...]: ...
    @property
    def data_centre_lists(self) -> tuple[Path, ...]: ...
    @property
    def replies(self) -> bool: ...
    @property
    def cool_down(self) -> timedelta: ...
    @property
    def jitter(self) -> timedelta: ...
    @property
    def time_zone(self) -> str: ...
    @property
    def failure_delay(self) -> timedelta: ...
    @property
    def wall(self) -> bool: ...
    @property
    def wall_delay(self) -> timedelta: ...
    @property
    def wall_indexed(self) -> bool: ...
    @property
    def weekly(self) -> str: ...
    @property
    def operator(self) -> OperatorValues: ...


class Keys(Protocol):
    """The keys the front uses."""

    @property
    def form(self) -> bytes: ...
    @property
    def link(self) -> bytes: ...
    @property
    def block_hash(self) -> bytes: ...
    @property
    def old_links(self) -> tuple[bytes, ...]: ...
    @property
    def old_block_hashes(self) -> tuple[bytes, ...]: ...


def mount(  # the node's parts, each with a purpose of its own
    values: FrontValues,
    keys: Keys,
    sender_domain: str,
    folder: Path,
    *,
    relay: RelayClient,
    bell: ModerationBell | None,
    database: Database,
    clock: Clock,
    entropy: Entropy,
    moderators: Mapping[str, str],
    content_kept: timedelta,
) -> tuple[web.Application, web.Application, Callable[[str, web.Request], Awaitable[Followed]]]:
    """The pages, the desk, and what follows one-click links; rule packs may stand in `folder`.

    Raises ValueError for a trusted proxy that is no network, ConfigurationError for a damaged rule pack.
    """
    options = FrontOptions(
        base_url=values.base_url,
        sender_domain=sender_domain,
        form_key=keys.form,
        link_key=keys.link,
        block_key=keys.block_hash,
        old_link_keys=keys.old_links,
        old_block_keys=keys.old_block_hashes,
        onion_url=values.onion_url,
        content_kept=content_kept,
        trusted_proxies=values.trusted_proxies,
        client_port_header=values.client_port_header,
        sealed_keys=folder / values.sealed_keys,
        limits=values.limits,
        doorbell=values.first_contact == "doorbell",
        doorbell_domain=values.doorbell_domain or "",
        doorbells_per_day=values.doorbells_per_day,
        admission_per_day=values.admission_per_day,
        school_domains=SchoolMail(values.school_domains),
        organisations=Organisations(values.domain_per_day, frozenset(values.large_domains)),
        sender_confirmation=values.sender_confirmation,
        shares=Shares(values.share_tor, values.share_data_centre),
        most_waiting=values.most_waiting,
        network_lists={
            Network.TOR: tuple(folder / path for path in values.tor_lists),
            Network.DATA_CENTRE: tuple(folder / path for path in values.data_centre_lists),
        },
        replies=values.replies,
        cool_down=values.cool_down,
        jitter=values.jitter,
        time_zone=zone_of(values.time_zone),
        failure_delay=values.failure_delay,
        wall=values.wall,
        wall_delay=values.wall_delay,
        wall_indexed=values.wall_indexed,
        weekly=values.weekly if values.wall else "off",
        weekly_domain=values.weekly_domain or "",
        operator=_operator(values.operator),
    )
    letters, moderator = DatabaseLetterStore(database), load_moderator(folder)
    outside = Outside(relay, database, letters, moderator, clock, entropy, KeyMemory.inherited(), bell)
    pages = make_app(options, outside)
    return pages, make_desk(options, outside, moderators, folder), pages[OPT_OUT]


def make_desk(
    options: FrontOptions, outside: Outside, moderators: Mapping[str, str], folder: Path | None = None
) -> web.Application:
    """The moderators' desk of a front; `moderators` holds the token of each name, `folder` whom to call.

    Raises ConfigurationError.
    """
    database, clock = outside.database, outside.clock
    mailboxes = MailboxHasher((options.block_key, *options.old_block_keys))
    parts = DeskParts(
        database=database,
        deciding=Deciding(database, clock, outside.entropy, options.jitter, mailboxes),
        audit=Audit(database, clock),
        sealed=SealedStore(database, clock),
        legal=LegalRequestStore(database, clock),
        judge=Judge(outside.moderator, clock, outside.entropy),
        renderer=Renderer(make_templates(), load_words(options.time_zone), https=False),
        clock=clock,
        authorities=load_authorities(folder),
        operator=options.operator,
        pile=options.pile,
    )
    return make_desk_app(parts, TokenDoor("desk", moderators, clock))


def _operator(values: OperatorValues) -> Operator:
    return Operator(
        name=values.name,
        address=values.address,
        mail=values.mail,
        phone=values.phone,
        publisher=values.publisher,
        registration=values.registration,
        host=values.host,
    )
