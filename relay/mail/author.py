"""The reader of From and Sender: who a message says it is from, or a refusal to guess.

Rights are decided on what this module returns, so it reads what every receiver reads alike, including the
obsolete forms of RFC 5322 §4.4 (comments, white space around dots, source routes, empty list members) and
groups (RFC 6854), and refuses whatever two receivers could read differently: an address in an unquoted
display name, two words before the "@", an encoded word as a local part, text after ">". Display names are
never searched for addresses. Linear in its input.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from relay.mail.address import Address, AddressError, parse_address
from relay.mail.header import HeaderError
from relay.mail.lexical import LexicalError, quoted_end, skip_space

MAX_VALUE: Final = 64 * 1024
MAX_MAILBOXES: Final = 1000
_USUAL: Final = 256  # what is kept in memory stays small

_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]++")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def parse_mailboxes(value: bytes, field: str = "From") -> tuple[Address, ...]:
    """The mailboxes in a field's unfolded value, groups flattened, in order; empty if it names nobody.

    Raises HeaderError, naming `field`, when the value is malformed or could be read in two ways.
    """
    if len(value) > MAX_VALUE:
        raise HeaderError(f"the field is longer than {MAX_VALUE} octets", field)
    return _read_again(value, field) if len(value) <= _USUAL else _read(value, field)


def _read(value: bytes, field: str) -> tuple[Address, ...]:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise HeaderError("the field is not valid UTF-8", field) from None
    if _CONTROL.search(text):
        raise HeaderError("the field contains control characters", field)
    try:
        return tuple(_Reader(text).address_list())
    except (AddressError, LexicalError, _AmbiguousError) as error:
        raise HeaderError(str(error), field) from None


_read_again = lru_cache(maxsize=1024)(_read)  # a sender's From is the same in all its mail


class _AmbiguousError(ValueError):
    """Receivers may read this differently."""


class _Reader:
    """A cursor over one value; every method leaves it behind what it read."""

    __slots__ = ("_position", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def address_list(self) -> list[Address]:
        found: list[Address] = []
        while self._next():
            if self._take(","):
                continue
            found += self._address()
            if len(found) > MAX_MAILBOXES:
                raise _AmbiguousError(f"the field names more than {MAX_MAILBOXES} mailboxes")
            if self._next():
                self._expect(",", "there is text after an address")
        return found

    def _address(self) -> list[Address]:
        words = self._words()
        if words and self._take(":"):
            return self._group()
        return [self._mailbox(words)]

    def _group(self) -> list[Address]:
        found: list[Address] = []
        while self._next() != ";":
            if self._take(","):
                continue
            found.append(self._mailbox(self._words()))
            if self._next() != ";":
                self._expect(",", "a group does not end with ';'")
        self._take(";")
        return found

    def _mailbox(self, words: list[str]) -> Address:
        if self._next() == "@":
            return self._address_spec(words)
        self._expect("<", "there is a name without an address")
        if self._next() == "@":
            self._route()
        address = self._address_spec(self._words())
        self._expect(">", "an address in brackets is not closed")
        return address

    def _route(self) -> None:
        """Skip an obsolete source route: `@one,@two:` (RFC 5322 §4.4)."""
        while not self._take(":"):
            if not self._take(","):
                self._expect("@", "the source route is malformed")
                parse_address(f"x@{self._domain()}")

    def _address_spec(self, words: list[str]) -> Address:
        self._expect("@", "an address needs a local part, '@' and a domain")
        if any((word == ".") == (number % 2 == 0) for number, word in enumerate(words)) or not len(words) % 2:
            raise _AmbiguousError("there is more than one word, or none, before the '@'")
        local = "".join(words)
        if "=?" in local:
            raise _AmbiguousError("an encoded word cannot be part of an address")
        return parse_address(f"{local}@{self._domain()}")

    def _domain(self) -> str:
        words = self._words()
        if any(word.startswith('"') for word in words):
            raise _AmbiguousError("a domain cannot be quoted")
        if any((word == ".") == (number % 2 == 0) for number, word in enumerate(words)):
            raise _AmbiguousError("there is text after an address")
        return "".join(words)

    def _words(self) -> list[str]:
        """Atoms, quoted strings (quotes kept) and dots, up to anything else."""
        words: list[str] = []
        while character := self._next():
            if character == ".":
                end = self._position + 1
            elif character == '"':
                end = quoted_end(self._text, self._position)
            elif match := _ATOM.match(self._text, self._position):
                end = match.end()
            else:
                break
            words.append(self._text[self._position : end])
            self._position = end
        return words

    def _next(self) -> str:
        """The next character after white space and comments, "" at the end; the cursor stands before it."""
        self._position = skip_space(self._text, self._position)
        return self._text[self._position : self._position + 1]

    def _take(self, character: str) -> bool:
        if self._next() != character:
            return False
        self._position += 1
        return True

    def _expect(self, character: str, otherwise: str) -> None:
        if not self._take(character):
            raise _AmbiguousError(otherwise)
