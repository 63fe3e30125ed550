"""A door that a token opens, and a cookie keeps open for a working day: of the operator's pages, and of the desk.

The cookie is stored nowhere: it says who and until when, under a key that follows from the token, so a token that is
taken away closes what it opened. Every form carries a proof that it came from this session.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import base32

LIFETIME: Final = timedelta(hours=12)
_PORT: Final = re.compile(r":(\d{1,5})$")
_MOST_WRONG: Final = 10
_WRONG_SPAN: Final = 60.0


def cookie_name(door: str, host: str) -> str:
    """The name of a door's cookie for a browser that has it at `host`, as its Host header says: "leak-desk-8081".

    Cookies know no port (RFC 6265, section 8.5): with one name for all, doors behind two tunnels would shut each other.
    """
    port = _PORT.search(host)
    return f"{door}-{port[1]}" if port else door


@dataclass(frozen=True, slots=True)
class Entered:
    """Who has come in, the word their cookie keeps beside the name, and what their forms carry."""

    name: str
    note: str
    proof: str


class TokenDoor:
    """Knows the token of each name. `purpose`, as "admin", keeps the cookies of two doors apart."""

    def __init__(self, purpose: str, tokens: Mapping[str, str], clock: Clock) -> None:
        self.purpose = purpose
        self._tokens = dict(tokens)
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
        for name, known in self._tokens.items():
            if hmac.compare_digest(known.encode(), token.strip().encode("utf-8", "replace")):
                found = name
        if found is None:
            self._wrong.append(self._clock.monotonic())
        return found

    def cookie(self, name: str, note: str) -> str:
        """The value of the cookie that keeps the door open for `name`; `note` has no dot."""
        until = int((self._clock.now() + LIFETIME).timestamp())
        said = f"{name}.{note}.{until}"
        return f"{said}.{self._mac(name, 'session', said)}"

    def open(self, cookie: str) -> Entered | None:
        """Who comes with a cookie that this door gave, and whose time is not over."""
        said, _, mac = cookie.rpartition(".")
        name, _, rest = said.partition(".")
        note, _, until = rest.partition(".")
        if name not in self._tokens:
            return None
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(name, "session", said).encode()):
            return None
        if int(until) <= self._clock.now().timestamp():
            return None
        return Entered(name, note, self._mac(name, "form", said))

    def _mac(self, name: str, purpose: str, said: str) -> str:
        key = self._tokens[name].encode()
        return base32(hmac.digest(key, f"leak {self.purpose} {purpose}\0{said}".encode(), hashlib.sha256)[:20])
