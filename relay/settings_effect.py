"""The settings that are taken and do nothing yet: told by `leak check`, and by the node at its start.

A key is told when it was set to something that would change what the node does. Whoever brings one to life
deletes its line here, and the words "not in effect yet" in its description.
"""

from __future__ import annotations

from collections.abc import Iterator

from relay.listeners import wanted_listeners
from relay.log import Log
from relay.receiving import return_domains
from relay.settings import Settings


def inbound_listens(settings: Settings) -> bool:
    """Whether mail that comes back finds a door at this node."""
    return any(wanted.setting.startswith("inbound.") for wanted in wanted_listeners(settings))


def without_effect(settings: Settings) -> Iterator[str]:
    """Each setting that has no effect yet, as "key: why"."""
    yield from _inbound(settings)
    yield from _http(settings)


def warn_without_effect(settings: Settings, log: Log) -> None:
    """One warning a setting, so that nobody relies on it."""
    for text in without_effect(settings):
        key, _, why = text.partition(": ")
        log.warning("setting-without-effect", setting=key, why=why)


def _inbound(settings: Settings) -> Iterator[str]:
    if settings.inbound.listen and not inbound_listens(settings):
        yield "inbound.listen: has no effect here: the role inbound is not in node.roles"
    if inbound_listens(settings) and not return_domains(settings):
        yield "inbound.listen: has no effect on bounces: no signing domain has a return domain, so none comes here"


def _http(settings: Settings) -> Iterator[str]:
    for key, listen in (("api.listen", settings.api.listen), ("web.listen", settings.web.listen)):
        if listen is not None and listen.tls:
            yield f"{key}: /tls has no effect yet: HTTP is spoken in clear, behind a proxy that speaks HTTPS"
