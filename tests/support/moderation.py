"""One moderator for all that a test process reads: it keeps nothing of a letter, and loading it takes half a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from web import mounting
from web.moderation.moderator import Moderator, load_moderator


@cache
def the_moderator() -> Moderator:
    """The moderator of the packs that come along."""
    return load_moderator()


def moderator_of(folder: Path | None = None) -> Moderator:
    """As `load_moderator`; who has no packs of their own share one."""
    return load_moderator(folder) if folder is not None and (folder / "moderation").exists() else the_moderator()


@contextmanager
def sharing_moderator() -> Iterator[None]:
    """The fronts that are mounted meanwhile read with the one moderator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mounting, "load_moderator", moderator_of)
        yield
