"""How a node mounts the front: from what the node has to the front's application. Loaded by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from relay.client.faces import Faces
from relay.key_memory import KeyMemory
from relay.pages.token_door import TokenDoor
from web.app import OPT_OUT, make_app
from web.audit import Audit
from web.authorities import load_authorities
from web.catalogue import load_words
from web.deciding import Deciding
from web.desk.app import make_desk_app
from web.desk.frame import DeskParts
from web.given import Given, OperatorValues
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


def mount(given: Given) -> Faces:
    """The front's pages and desk, not yet served. Rule packs may stand in the settings' folder.

    Raises ValueError for a trusted proxy that is no network, ConfigurationError for a damaged rule pack.
    """
    options, folder = options_of(given), given.settings.folder
    outside = Outside(
        given.relay,
        given.database,
        DatabaseLetterStore(given.database),
        load_moderator(folder),
        given.clock,
        given.entropy,
        KeyMemory.inherited(),
        given.bell,
    )
    pages = make_app(options, outside)
    return Faces(pages, make_desk(options, outside, given.moderators, folder), pages[OPT_OUT])


def options_of(given: Given) -> FrontOptions:
    """What the front is told, with files where the settings' folder has them. Raises ConfigurationError."""
    values, keys, folder = given.settings.web, given.secrets, given.settings.folder
    return FrontOptions(
        base_url=values.base_url,
        sender_domain=given.sender_domain,
        form_key=keys.form,
        link_key=keys.link,
        block_key=keys.block_hash,
        old_link_keys=keys.old_links,
        old_block_keys=keys.old_block_hashes,
        onion_url=values.onion_url,
        content_kept=given.settings.spool.keep_content,
        trusted_proxies=values.trusted_proxies,
        client_port_header=values.client_port_header,
        sealed_keys=folder / values.sealed_keys,
        limits=values.limits,
        doorbell=values.first_contact == "doorbell",
        doorbell_domain=values.doorbell_domain or "",
        doorbells_per_day=values.doorbells_per_day,
        admission_per_day=values.admission_per_day,
        school_domains=SchoolMail(values.school_domains),
        hand_over_every=given.rounds,
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
