"""One moderator for all that a test process reads: it keeps nothing of a letter, and loading it takes half a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from web import mounting
from web.moderation.moderator import Moderator, load_moderator


@cache
def the_moderator() -> Moderator:
    """The moderator of the packs that come along."""
    return load_moderator()


class NotAskedError(Exception):
    """Raised where the network would be run."""


class Unasked:
    """A session of ONNX Runtime that nobody may ask."""

    def run(self, *_: object) -> object:
        """What the network answers: nothing, since it is not to be asked."""
        raise NotAskedError


def reads_once(moderator: Moderator) -> Moderator:
    """`moderator` with a second reading that raises when it is asked."""
    return replace(moderator, second=replace(moderator.second, session=Unasked()))


def moderator_of(folder: Path | None = None) -> Moderator:
    """As `load_moderator`; who has no packs of their own share one."""
    return load_moderator(folder) if folder is not None and (folder / "moderation").exists() else the_moderator()


@contextmanager
def sharing_moderator() -> Iterator[None]:
    """The fronts that are mounted meanwhile read with the one moderator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mounting, "load_moderator", moderator_of)
        yield
