"""The five ways to sign a letter. Their words are in the catalogue, under `signature.<value>`."""

from __future__ import annotations

from enum import StrEnum


class Signature(StrEnum):
    """Who the writer says they are; the value is what the form posts and the table keeps."""

    FRIEND = "friend"
    COLLEAGUE = "colleague"
    FAMILY = "family"
    FRIEND_OF_FRIEND = "friend-of-friend"
    SOMEONE = "someone"
