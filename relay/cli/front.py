"""The web front, loaded by name: the relay's packages know nothing of it, and it nothing of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from relay.client.faces import Faces
    from relay.fronting import Front, FrontParts


def load_front(parts: FrontParts) -> Faces:
    """The front of these parts."""
    mount = cast("Front", import_module("web.mounting").mount)
    return mount(parts)
