"""The ways of alarms to a person, built from the settings. Stands between the settings and the engine's caller."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from relay.clock import Clock, SystemClock
from relay.engine.alarms import Alarms
from relay.engine.caller import Caller, Calling
from relay.errors import ConfigurationError
from relay.notify.call_book import CallBook
from relay.notify.poster import Lookup, Poster, PostRules, UrlError
from relay.notify.ways import CommandWay, NtfyWay, Smarthost, SmarthostWay, Way, WebhookWay
from relay.opening import Stores
from relay.private_file import read_private_file
from relay.resolver.policy_host import https_context
from relay.settings import Settings, parse_listen
from relay.sources import own_addresses, own_names


class Alarming:
    """The caller of a node and what it calls with; `start` and `stop` are called once each."""

    def __init__(self, settings: Settings, stores: Stores, alarms: Alarms, lookup: Lookup, clock: Clock) -> None:
        """Raises ConfigurationError."""
        self._poster = make_poster(settings, lookup, clock)
        ways = list(make_ways(settings, self._poster))
        self.calls_somebody = bool(ways)
        """Whether any way to a person is configured."""
        calling = Calling(settings.node.name, CallBook(stores.database), clock, settings.alarm.most_per_hour)
        self._caller = Caller(calling, ways, stores.spool, alarms)

    def start(self) -> None:
        """Begin to call."""
        self._caller.start()

    async def stop(self) -> None:
        """End."""
        await self._caller.stop()
        await self._poster.close()


def make_poster(settings: Settings, lookup: Lookup, clock: Clock) -> Poster:
    """Who posts to ntfy and webhook: to public addresses by https alone, unless the settings allow more."""
    ca_file = settings.path(settings.delivery.ca_file) if settings.delivery.ca_file else None
    private = settings.alarm.allow_private_addresses
    seconds = settings.alarm.timeout.total_seconds()
    return Poster(lookup, https_context(ca_file), clock, PostRules(seconds, private=private, clear=private))


def make_ways(settings: Settings, poster: Poster) -> Iterator[Way]:
    """Every way that is configured. Raises ConfigurationError naming the setting."""
    alarm, seconds = settings.alarm, settings.alarm.timeout.total_seconds()
    if alarm.command:
        try:
            words = shlex.split(alarm.command)
        except ValueError as error:
            raise ConfigurationError(f"alarm.command: {error}") from None
        if not words:
            raise ConfigurationError("alarm.command: names no program")
        yield CommandWay(alarm.command, seconds)
    if alarm.ntfy:
        _check(poster, "alarm.ntfy", alarm.ntfy)
        yield NtfyWay(poster, alarm.ntfy, _secret(settings, "alarm.ntfy_token_file", alarm.ntfy_token_file))
    if alarm.webhook:
        _check(poster, "alarm.webhook", alarm.webhook)
        token = _secret(settings, "alarm.webhook_token_file", alarm.webhook_token_file)
        yield WebhookWay(poster, alarm.webhook, token)
    if alarm.smarthost:
        ca_file = settings.path(settings.delivery.ca_file) if settings.delivery.ca_file else None
        yield SmarthostWay(_smarthost(settings), https_context(ca_file), settings.node.name, seconds)


def check_ways(settings: Settings) -> None:
    """Whether every way can be used, without using it. Raises ConfigurationError."""

    async def nobody(_: str) -> tuple[str, ...]:
        return ()

    list(make_ways(settings, make_poster(settings, nobody, SystemClock())))


def _smarthost(settings: Settings) -> Smarthost:
    alarm = settings.alarm
    server = parse_listen(alarm.smarthost)
    doors = {one.port for one in (*settings.submission.listen, *settings.inbound.listen)}
    ours = server.host in own_names(settings) | own_addresses(settings) | {"localhost"} or server.loopback
    if ours and server.port in doors:
        raise ConfigurationError("alarm.smarthost: this is the relay itself; an alarm must not need what it is about")
    return Smarthost(
        server.host,
        server.port,
        server.tls,
        alarm.mail_from or f"alarm@{settings.node.name}",
        alarm.mail_to,
        alarm.user,
        _secret(settings, "alarm.password_file", alarm.password_file),
    )


def _check(poster: Poster, setting: str, url: str) -> None:
    try:
        poster.check(url)
    except UrlError as error:
        raise ConfigurationError(f"{setting}: {error}") from None


def _secret(settings: Settings, setting: str, file: Path | None) -> str:
    if file is None:
        return ""
    try:
        text = read_private_file(settings.path(file)).decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {error}") from None
    if not text or not text.isprintable() or not text.isascii():
        raise ConfigurationError(f"{setting}: {file} must hold one line of visible ASCII characters")
    return text
