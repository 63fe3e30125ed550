"""Encoded words: non-ASCII text inside a header field (RFC 2047), always UTF-8, always whole characters.

Stands under the header writer. Every word is at most 75 octets and uses only characters lawful in a phrase,
so the same words serve a Subject and a display name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Final

MAX_WORD: Final = 75  # RFC 2047 §2
_FRAME: Final = len("=?utf-8?q??=")
LEAST_ROOM: Final = _FRAME + 12
"""The least octets a word needs: four UTF-8 octets written in the Q encoding."""

_ENCODED_WORD = re.compile(r"=\?[^?]++\?[A-Za-z]\?[^?]*+\?=")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 §5 (3)


def looks_encoded(word: str) -> bool:
    """Whether a receiver would decode this plain word, or a piece of it."""
    return "=?" in word and _ENCODED_WORD.fullmatch(word) is not None


def encode_words(text: str, first: int = MAX_WORD) -> Iterator[str]:
    """`text` as encoded words, the first at most `first` octets (at least `LEAST_ROOM`), the others 75.

    B or Q is chosen once for the whole text, whichever is shorter.
    """
    quoted = [_quoted(c) for c in text]
    if sum(map(len, quoted)) <= (len(text.encode()) + 2) // 3 * 4:
        yield from _quoted_words(quoted, first)
    else:
        yield from _base64_words(text, first)


def _quoted(character: str) -> str:
    if character in _PLAIN:
        return character
    if character == " ":
        return "_"
    return "".join(f"={octet:02X}" for octet in character.encode())


def _quoted_words(quoted: list[str], room: int) -> Iterator[str]:
    word: list[str] = []
    length = _FRAME
    for piece in quoted:
        if length + len(piece) > room:
            yield f"=?utf-8?q?{''.join(word)}?="
            word, length, room = [], _FRAME, MAX_WORD
        word.append(piece)
        length += len(piece)
    yield f"=?utf-8?q?{''.join(word)}?="


def _base64_words(text: str, room: int) -> Iterator[str]:
    word: list[str] = []
    octets = 0
    for character in text:
        size = len(character.encode())
        if _FRAME + (octets + size + 2) // 3 * 4 > room:
            yield _base64_word(word)
            word, octets, room = [], 0, MAX_WORD
        word.append(character)
        octets += size
    yield _base64_word(word)


def _base64_word(word: list[str]) -> str:
    return f"=?utf-8?b?{base64.b64encode(''.join(word).encode()).decode()}?="
