"""The weekly's links: to confirm, which ends after some days, and to leave, which does not. Both are encrypted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock, from_millis, to_millis
from relay.ids import base32, from_base32
from web.catalogue import Language
from web.links import Addressee, LinkKind, RecipientLinks

CONFIRM_LIFE: Final = timedelta(days=3)
_ID: Final = 20
_TIME: Final = 8


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants the weekly, in which language."""

    address: str
    language: Language


class WeeklyLinks:
    """Makes and reads them."""

    def __init__(self, links: RecipientLinks, clock: Clock) -> None:
        self._links = links
        self._clock = clock

    def confirm(self, wish: Wish) -> str:
        """The token of a confirmation."""
        until = to_millis(self._clock.now() + CONFIRM_LIFE).to_bytes(_TIME)
        said = (until + wish.language.value.encode()).ljust(_ID, b"\0")
        return self._links.token(LinkKind.WEEKLY_CONFIRM, Addressee(base32(said), wish.address))

    def confirmed(self, token: str) -> Wish | None:
        """Who confirms by `token`; None for one that is not ours or too old."""
        opened = self._links.open(LinkKind.WEEKLY_CONFIRM, token)
        if opened is None:
            return None
        said = from_base32(opened.letter_id, _ID)
        if from_millis(int.from_bytes(said[:_TIME])) <= self._clock.now():
            return None
        return Wish(opened.address, Language(said[_TIME:].rstrip(b"\0").decode()))

    def seal(self, address: str) -> str:
        """An address as it is kept, and as the token of the link to leave."""
        return self._links.token(LinkKind.WEEKLY, Addressee(base32(bytes(_ID)), address))

    def opened(self, token: str) -> str | None:
        """The address in it."""
        opened = self._links.open(LinkKind.WEEKLY, token)
        return None if opened is None else opened.address
