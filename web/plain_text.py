"""What a letter may consist of: plain text, without characters that hide, reorder or command (S08, S24)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Embeddings, overrides and isolates reorder what is read; the marks LRM and RLM only help, and stay.
_REORDERING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_COMMANDING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufff9-\ufffb]")
_LINE_END: Final = re.compile("\r\n|[\r\n\u2028\u2029\x85\x0b\x0c]")
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_TAB: Final = 4


def clean_message(text: str) -> str:
    """`text` with line ends as \\n, composed characters, and without controls; blank edges are cut off."""
    text = _LINE_END.sub("\n", unicodedata.normalize("NFC", text))
    text = _COMMANDING.sub("", _REORDERING.sub("", text)).expandtabs(_TAB)
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join(lines).strip("\n")


def paragraphs(text: str) -> tuple[tuple[str, ...], ...]:
    """The lines of each paragraph; blank lines part paragraphs."""
    blocks = re.split(r"\n{2,}", text)
    return tuple(tuple(block.split("\n")) for block in blocks if block)


def clean_line(text: str) -> str:
    """One line with single spaces; nothing is removed but white space, so that a screen can still object."""
    return re.sub(r" {2,}", " ", unicodedata.normalize("NFC", text).strip(" \t"))


def hides_something(text: str) -> bool:
    """Whether a character of `text` is a control, is invisible, or changes the direction of reading."""
    return any(unicodedata.category(character) in _HIDDEN_CATEGORIES for character in text)
