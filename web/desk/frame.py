"""What every page of the desk has: who is there, what waits on which list, and a form's proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from relay.clock import Clock
from relay.database.contract import Database
from relay.pages.keeper import ENTERED, read_proven
from web.audit import Audit
from web.authorities import Authority
from web.backlog import Backlog, read_backlog
from web.catalogue import Language, Words
from web.deciding import Deciding, Voice
from web.judgement import Judge
from web.legal_requests import LegalRequestStore
from web.letters import HeldFor
from web.moderation.ruling import Rule
from web.operator import Operator
from web.pile import NEARLY, Pile
from web.render import Renderer
from web.sealed_store import SealedStore

_RULES: Final = frozenset(rule.value for rule in Rule)
_LANGUAGES: Final = {language.value: language for language in Language}
_DONE: Final = frozenset(
    {
        *("released", "refused", "upheld", "dismissed", "thawed", "published", "declined", "taken-down", "gone"),
        *(
            "refused-unfrozen",
            "upheld-unfrozen",
            "reply-shown",
            "reply-refused",
            "notice-upheld",
            "notice-dismissed",
            "danger",
            "danger-told",
            "danger-closed",
        ),
    }
)


class Place(StrEnum):
    """A list of the desk: its path below `/desk`, and its words' key `desk.<value>`."""

    LETTERS = "letters"
    APPEALS = "appeals"
    PILE_ONS = "pile-ons"
    REPORTS = "reports"
    NOTICES = "notices"
    WALL = "wall"
    FROZEN = "frozen"
    CASES = "cases"
    LOG = "log"
    REPLIES = "replies"


PILES: Final[Mapping[Place, frozenset[HeldFor]]] = {
    Place.LETTERS: frozenset({HeldFor.RULES, HeldFor.COPIES, HeldFor.REPORT, HeldFor.SCHOOL}),
    Place.APPEALS: frozenset({HeldFor.APPEAL}),
    Place.PILE_ONS: frozenset({HeldFor.PILE_ON}),
}
"""Which held letters are on which list: each on one."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who is at the desk, in which language, and what their forms carry."""

    name: str
    language: Language
    proof: str


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk's pages work with."""

    database: Database
    deciding: Deciding
    audit: Audit
    sealed: SealedStore
    legal: LegalRequestStore
    judge: Judge
    renderer: Renderer
    clock: Clock
    authorities: tuple[Authority, ...]
    operator: Operator
    pile: Pile


class Frame:
    """Renders the desk's pages."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts

    async def page(
        self,
        request: web.Request,
        template: str,
        place: Place | None,
        values: Mapping[str, Any],
        status: int = HTTPStatus.OK,
    ) -> web.Response:
        """A page of the desk. Raises SpoolUnavailableError."""
        session = session_of(request)
        backlog = await read_backlog(self._parts.database)
        framed = {
            "session": session,
            "place": place.value if place else "",
            "places": [(one.value, _waiting(one, backlog)) for one in Place if _is_listed(one, place, backlog)],
            "named": lambda rules: ", ".join(rule_name(self.words(request), rule) for rule in rules),
            "room": _room(backlog, self._parts.pile),
            "done": done if (done := request.query.get("done", "")) in _DONE else "",
        }
        return self._parts.renderer.page(f"desk/{template}", session.language, {**framed, **values}, status=status)

    def words(self, request: web.Request) -> Words:
        """The words of this moderator's language."""
        return self._parts.renderer.words(session_of(request).language)


def rule_name(words: Words, rule: str) -> str:
    """What a letter does that breaks a rule, in a noun; its id for a rule that is no more."""
    return words(f"desk.rule_{rule}") if rule in _RULES else rule


@dataclass(frozen=True, slots=True)
class Room:
    """How full the piles of held letters, of notices and of held replies are."""

    held: int
    notices: int
    replies: int
    most: int
    held_filled: int
    """Per cent."""
    notices_filled: int
    replies_filled: int

    @property
    def is_short(self) -> bool:
        """Whether one of them is nearly full."""
        return max(self.held_filled, self.notices_filled, self.replies_filled) >= NEARLY


def _room(backlog: Backlog, pile: Pile) -> Room:
    held, notices = backlog.held_from, backlog.notices_from
    return Room(
        held=sum(held.values()),
        notices=backlog.notices,
        replies=backlog.replies,
        most=pile.most,
        held_filled=pile.filled(held),
        notices_filled=pile.filled(notices),
        replies_filled=pile.filled_by(backlog.replies),
    )


def _is_listed(one: Place, here: Place | None, backlog: Backlog) -> bool:
    """Whether the desk leads to a list: few services have replies, and fewer of these are held."""
    return one is not Place.REPLIES or one is here or backlog.replies > 0


def _waiting(place: Place, backlog: Backlog) -> int | None:
    """How much is on a list; None for those that are only looked at."""
    if place in PILES:
        return sum(backlog.held.get(why, 0) for why in PILES[place])
    match place:
        case Place.REPORTS:
            return backlog.reports
        case Place.REPLIES:
            return backlog.replies
        case Place.NOTICES:
            return backlog.notices
        case Place.WALL:
            return backlog.offered
        case Place.FROZEN:
            return backlog.frozen
        case Place.CASES:
            return backlog.dangers + len(backlog.requests)
        case _:
            return None


def session_of(request: web.Request) -> Session:
    """Who asks; the door has let them in."""
    entered = request[ENTERED]
    return Session(entered.name, _LANGUAGES[entered.note], entered.proof)


async def read_decision(request: web.Request) -> tuple[Mapping[str, str], Voice]:
    """The posted fields of a form of this session, and who decides. Raises as `relay.pages.keeper.read_proven`."""
    fields = await read_proven(request)
    return fields, Voice(session_of(request).name, fields.get("reason", ""))
