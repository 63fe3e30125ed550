"""The desk's door: a token opens it, and a cookie keeps it open for a working day.

The cookie belongs to the desk alone (HttpOnly, SameSite=Strict, below `/desk`) and is stored nowhere: it says who and
until when, under a key that follows from the token, so a token that is taken away closes what it opened. Every form
carries a proof that it came from this session. The public pages know no cookie.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import base32
from web.catalogue import Language

COOKIE: Final = "leak-desk"
LIFETIME: Final = timedelta(hours=12)
_MOST_WRONG: Final = 10
_WRONG_SPAN: Final = 60.0
_LANGUAGES: Final = {language.value: language for language in Language}


@dataclass(frozen=True, slots=True)
class Session:
    """Who is at the desk, in which language, and what their forms carry."""

    name: str
    language: Language
    proof: str


class Door:
    """Knows the moderators' tokens. `moderators` holds the token of each name."""

    def __init__(self, moderators: Mapping[str, str], clock: Clock) -> None:
        self._moderators = dict(moderators)
        self._clock = clock
        self._wrong: deque[float] = deque()

    @property
    def is_tired(self) -> bool:
        """Whether so many wrong tokens were shown within a minute that none is looked at."""
        now = self._clock.monotonic()
        while self._wrong and self._wrong[0] < now - _WRONG_SPAN:
            self._wrong.popleft()
        return len(self._wrong) >= _MOST_WRONG

    def name_of(self, token: str) -> str | None:
        """Whose token this is; all are compared, in the same time."""
        found = None
        for name, known in self._moderators.items():
            if hmac.compare_digest(known.encode(), token.strip().encode("utf-8", "replace")):
                found = name
        if found is None:
            self._wrong.append(self._clock.monotonic())
        return found

    def cookie(self, name: str, language: Language) -> str:
        """The value of the cookie that keeps the door open for `name`."""
        until = int((self._clock.now() + LIFETIME).timestamp())
        said = f"{name}.{language.value}.{until}"
        return f"{said}.{self._mac(name, 'session', said)}"

    def open(self, cookie: str) -> Session | None:
        """The session of a cookie that this door gave, and whose time is not over."""
        said, _, mac = cookie.rpartition(".")
        name, _, rest = said.partition(".")
        language, _, until = rest.partition(".")
        if name not in self._moderators:
            return None
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(name, "session", said).encode()):
            return None
        if int(until) <= self._clock.now().timestamp():
            return None
        return Session(name, _LANGUAGES[language], self._mac(name, "form", said))

    def _mac(self, name: str, purpose: str, said: str) -> str:
        key = self._moderators[name].encode()
        return base32(hmac.digest(key, f"leak desk {purpose}\0{said}".encode(), hashlib.sha256)[:20])
