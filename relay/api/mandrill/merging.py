"""Merge tags in Mailchimp's language, as far as plain variables go: `*|NAME|*`. Pure and bounded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from relay.api.mandrill.documents import Var

_TAG: Final = re.compile(r"\*\|([A-Za-z0-9_.:]{1,64})\|\*")


class TooLongError(ValueError):
    """The text would grow past what a message may have."""


def variables(*sets: Sequence[Var]) -> dict[str, str]:
    """The variables of all sets by upper-case name; later ones stand."""
    return {one.name.upper(): one.content for some in sets for one in some}


def merge(text: str, values: Mapping[str, str], most: int) -> str:
    """`text` with the tags of known variables replaced, others as they are. TooLongError past `most` characters."""
    if not values or "*|" not in text:
        return text
    room = most - len(text)

    def put(found: re.Match[str]) -> str:
        nonlocal room
        value = values.get(found[1].upper())
        if value is None:
            return found[0]
        room -= len(value)
        if room < 0:
            raise TooLongError
        return value

    return _TAG.sub(put, text)
