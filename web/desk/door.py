"""The desk's cookie: HttpOnly, SameSite=Strict, below `/desk`, and the moderator's language beside the name.

The public pages know no cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.token_door import TokenDoor
from web.catalogue import Language

COOKIE: Final = "leak-desk"
_LANGUAGES: Final = {language.value: language for language in Language}


@dataclass(frozen=True, slots=True)
class Session:
    """Who is at the desk, in which language, and what their forms carry."""

    name: str
    language: Language
    proof: str


def session_by(door: TokenDoor, cookie: str) -> Session | None:
    """The session of a cookie of this door; None for any other."""
    entered = door.open(cookie)
    return None if entered is None else Session(entered.name, _LANGUAGES[entered.note], entered.proof)
