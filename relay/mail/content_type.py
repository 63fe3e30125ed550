"""The reader of Content-Type and of fields with parameters (RFC 2045 §5.1).

The type is read as leniently as receivers read it; a parameter decides how a body is cut, so it is read
strictly: twice the same name, or text that is no parameter, is an error and not a guess. Linear in its input.
"""

from __future__ import annotations

import re

from relay.mail.header import HeaderError
from relay.mail.lexical import LexicalError, quoted_end, skip_space, unquote

_TOKEN_TEXT = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+"  # noqa: S105 - RFC 2045 calls it a token
_TOKEN = re.compile(_TOKEN_TEXT)
_MEDIA_TYPE = re.compile(rf"({_TOKEN_TEXT})[ \t]*/[ \t]*({_TOKEN_TEXT})[ \t]*(?=[;(]|\Z)")


def media_type(value: bytes) -> tuple[str, str] | None:
    """Type and subtype in lower case, None if the value does not begin with both."""
    text = value.decode("utf-8", "replace")
    try:
        match = _MEDIA_TYPE.match(text, skip_space(text, 0))
    except LexicalError:
        return None
    return (match[1].lower(), match[2].lower()) if match else None


def parameters(value: bytes) -> dict[str, str]:
    """The parameters of a value by lower-case name, quotes removed, extended ones (RFC 2231) left as they are.

    Raises HeaderError where the value is malformed or names a parameter twice.
    """
    text = value.decode("utf-8", "replace")
    found: dict[str, str] = {}
    try:
        position = skip_space(text, 0)
        main = _MEDIA_TYPE.match(text, position) or _TOKEN.match(text, position)
        position = skip_space(text, main.end() if main else position)
        while position < len(text):
            if text[position] != ";":
                raise HeaderError("there is text between parameters", "Content-Type")
            position = skip_space(text, position + 1)
            if position < len(text) and text[position] != ";":
                name, content, position = _parameter(text, position)
                if name in found:
                    raise HeaderError("a parameter occurs twice", "Content-Type")
                found[name] = content
                position = skip_space(text, position)
    except LexicalError as error:
        raise HeaderError(str(error), "Content-Type") from None
    return found


def _parameter(text: str, position: int) -> tuple[str, str, int]:
    name = _TOKEN.match(text, position)
    if name is None:
        raise HeaderError("a parameter has no name", "Content-Type")
    position = skip_space(text, name.end())
    if text[position : position + 1] != "=":
        raise HeaderError("a parameter has no value", "Content-Type")
    position = skip_space(text, position + 1)
    if text[position : position + 1] == '"':
        end = quoted_end(text, position)
        return name[0].lower(), unquote(text[position:end]), end
    # Lenient on purpose: unquoted boundaries with "=" or "/" are common and every receiver reads them.
    end = position
    while end < len(text) and text[end] not in '; \t("':
        end += 1
    if end == position:
        raise HeaderError("a parameter has no value", "Content-Type")
    return name[0].lower(), text[position:end], end
