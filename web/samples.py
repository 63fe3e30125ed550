"""What stands beside the compose form: how the latest letters of the wall begin. Read from the wall for every page.

Nothing is remembered in between, so a letter that its recipient takes off the wall is off this page at once. The form
does not need them: without the database, or with an empty wall, it stands alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.catalogue import Language
from web.plain_text import beginning
from web.wall import Post, WallStore

SHOWN: Final = 3
LONGEST: Final = 220
"""Characters of each; the whole page has to fit into 14 kB."""
_TIMEOUT: Final = 1.0

_log = Log("front")


@dataclass(frozen=True, slots=True)
class Sample:
    """A post, and its first words on one line."""

    post: Post
    words: str
    cut: bool


async def read_samples(wall: WallStore, language: Language) -> tuple[Sample, ...]:
    """The latest in a language, the newest first; none if they cannot be read just now."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            posts = await wall.latest(language.value, SHOWN)
    except (SpoolUnavailableError, TimeoutError) as error:
        _log.warning("samples-not-read", why=str(error) or "timed out")
        return ()
    begun = [(post, beginning(post.shown, LONGEST)) for post in posts]
    return tuple(Sample(post, words, cut=words != " ".join(post.shown.split())) for post, words in begun)
