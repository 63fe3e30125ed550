"""What a letter may consist of: plain text, without characters that hide, reorder or command (S08, S24)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Embeddings, overrides and isolates reorder what is read; the marks LRM and RLM only help, and stay.
_REORDERING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_COMMANDING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufff9-\ufffb]")
# Nobody sees tags, signs without a shape, or selectors of variants that follow nothing they vary; but a program that
# sums a mail up for its reader reads a text that is written in them. Flags of countries within a country and the
# variants of ideographs need theirs.
_SHAPELESS: Final = "\u2061-\u2064\u206a-\u206f\ufff0-\ufff8\U000e0000-\U000e0fff\U0001d173-\U0001d17a"
_FLAG: Final = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_IDEOGRAPH: Final = "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff][\U000e0100-\U000e01ef]"
_UNSEEN: Final = re.compile(f"({_FLAG}|{_IDEOGRAPH}|[\ufe00-\ufe0f])[\ufe00-\ufe0f{_SHAPELESS}]*|[{_SHAPELESS}]")
_LINE_END: Final = re.compile("\r\n|[\r\n\u2028\u2029\x85\x0b\x0c]")
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SEEN: Final = frozenset("LNPS")
# The fillers of Hangul and the blank of braille are letters and symbols by name, and nothing to look at.
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_LEFTWARD: Final = frozenset({"R", "AL"})
_MAY_READ_LEFTWARD: Final = re.compile("[\u0590-\U0010ffff]")
"""The first script that is written from right to left begins here; what stands before it need not be asked."""
_TAB: Final = 4

MOST_COMPOSED: Final = 4
"""Canonical composition (NFC) makes one character of at most so many."""
_MOST_MARKS: Final = 30  # UAX #15 §13, Stream-Safe Text Format; more than any language writes
# Of class 0 themselves, they fall apart into marks that are not.
_MARKS_IN_DISGUISE: Final = "\u0f73\u0f75\u0f81"
_MAY_BE_MANY_MARKS: Final = re.compile(f"[\u0300-\U0010ffff]{{{_MOST_MARKS + 1}}}")


def clean_message(text: str) -> str:
    """`text` with line ends as \\n, composed characters, and without controls; blank edges are cut off.

    Controls, NUL among them, are dropped rather than refused: they come with pasted text, nobody sees them, and
    the preview shows the letter without them. Of a run of combining marks the first 30 stay.
    """
    text = without_controls(text)
    # Composing sorts each run of marks in quadratic time, and takes some marks apart into two.
    text = _few_marks(unicodedata.normalize("NFC", _few_marks(text))).expandtabs(_TAB)
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join(lines).strip("\n")


def without_controls(text: str) -> str:
    """`text` with line ends as \\n and without what commands, reorders or hides: cheap, for what is shown again."""
    text = _COMMANDING.sub("", _REORDERING.sub("", _LINE_END.sub("\n", text)))
    return text if text.isascii() else _UNSEEN.sub(lambda found: found[1] or "", text)


def shows_something(text: str) -> bool:
    """Whether a reader sees anything of `text`: white space, controls and marks on nothing do not show."""
    return any(_is_seen(one) for one in text)


def paragraphs(text: str) -> tuple[tuple[str, ...], ...]:
    """The lines of each paragraph; blank lines part paragraphs."""
    blocks = re.split(r"\n{2,}", text)
    return tuple(tuple(block.split("\n")) for block in blocks if block)


def beginning(text: str, longest: int) -> str:
    """The first words of `text` on one line, at most `longest` characters of it and whole words if that can be."""
    line = " ".join(text.split())
    if len(line) <= longest:
        return line
    words = line[: longest + 1].rpartition(" ")[0]
    # A script without spaces has no words to part at.
    return words if len(words) > longest // 2 else line[:longest]


def clean_line(text: str, longest: int) -> str:
    """One line with single spaces, the first `longest` characters of it.

    Nothing else is removed but white space, so that a screen can still object.
    """
    line = re.sub(r" {2,}", " ", text.strip(" \t"))
    return unicodedata.normalize("NFC", line[: longest * MOST_COMPOSED])[:longest]


def hides_something(text: str) -> bool:
    """Whether a character of `text` is a control, is invisible, or changes the direction of reading."""
    return any(unicodedata.category(character) in _HIDDEN_CATEGORIES for character in text)


def reads_leftward(text: str) -> bool:
    """Whether some of `text` is written from right to left (UAX #9, strong types R and AL)."""
    return any(unicodedata.bidirectional(one) in _LEFTWARD for one in _MAY_READ_LEFTWARD.findall(text))


def _is_seen(character: str) -> bool:
    category = unicodedata.category(character)
    # What has no category yet may be an emoji newer than Python's table.
    return (category[0] in _SEEN or category == "Cn") and character not in _BLANK_LETTERS


def _few_marks(text: str) -> str:
    """`text` with at most 30 combining marks in a row."""
    if not _MAY_BE_MANY_MARKS.search(text):
        return text  # the usual letter is not looked at character by character
    kept: list[str] = []
    run = 0
    for character in text:
        is_mark = unicodedata.combining(character) != 0 or character in _MARKS_IN_DISGUISE
        run = run + 1 if is_mark else 0
        if run <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)
