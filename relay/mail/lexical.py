"""Lexical pieces that structured fields share: white space, nested comments, quoted strings (RFC 5322 §3.2).

Under the readers of From and Content-Type. Every function moves forward only and stops at a fixed depth, so
hostile fields cost time linear in their length.
"""

from __future__ import annotations

import re
from typing import Final

MAX_COMMENT_DEPTH: Final = 20

_SPACE = re.compile(r"[ \t]*+")
_COMMENT_MARK = re.compile(r"[()\\]")
_QUOTED_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"')
_QUOTED_PAIR = re.compile(r"\\(.)")


class LexicalError(ValueError):
    """A comment or quoted string does not end, or comments nest too deeply."""


def skip_space(text: str, position: int) -> int:
    """The position after white space and comments. Raises LexicalError."""
    while True:
        match = _SPACE.match(text, position)
        position = match.end() if match else position
        if position >= len(text) or text[position] != "(":
            return position
        position = _skip_comment(text, position)


def _skip_comment(text: str, position: int) -> int:
    depth = 0
    while True:
        mark = _COMMENT_MARK.search(text, position)
        if mark is None:
            raise LexicalError("a comment does not end")
        position = mark.end()
        match mark[0]:
            case "(":
                depth += 1
                if depth > MAX_COMMENT_DEPTH:
                    raise LexicalError("comments nest too deeply")
            case ")":
                depth -= 1
                if depth == 0:
                    return position
            case _:
                position += 1  # a quoted pair; at the very end the next search finds nothing


def quoted_end(text: str, position: int) -> int:
    """The position after the quoted string that begins at `position`. Raises LexicalError."""
    match = _QUOTED_STRING.match(text, position)
    if match is None:
        raise LexicalError("a quoted string does not end")
    return match.end()


def unquote(quoted: str) -> str:
    """The text of a quoted string given with its quotes."""
    return _QUOTED_PAIR.sub(r"\1", quoted[1:-1])
