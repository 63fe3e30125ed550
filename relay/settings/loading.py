"""The whole configuration, read from its file and the environment; every complaint names file, line and key."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError, model_validator

from relay.errors import ConfigurationError
from relay.settings.doors import ApiSettings, InboundSettings, SubmissionSettings
from relay.settings.front import WebSettings
from relay.settings.operating import (
    AlarmSettings,
    DoctorSettings,
    JournalSettings,
    LabSettings,
    LogSettings,
    NodeSettings,
    SpoolSettings,
    WebhookSettings,
)
from relay.settings.recipients import ComplaintSettings, SuppressionSettings, UnsubscribeSettings
from relay.settings.sending import DeliverySettings, EgressSettings, ResolverSettings, SigningSettings
from relay.settings.values import Section
from relay.settings_text import Missing, Places, expand, overlay, syntax_complaint

_NUL: Final = "the text holds a NUL byte, which nothing may be called by; take it out"


class Settings(Section):
    """The whole configuration. `folder` is where relative paths start."""

    node: NodeSettings = NodeSettings()
    spool: SpoolSettings = SpoolSettings()
    submission: SubmissionSettings = SubmissionSettings()
    api: ApiSettings = ApiSettings()
    inbound: InboundSettings = InboundSettings()
    resolver: ResolverSettings = ResolverSettings()
    delivery: DeliverySettings = DeliverySettings()
    signing: SigningSettings = SigningSettings()
    suppression: SuppressionSettings = SuppressionSettings()
    complaints: ComplaintSettings = ComplaintSettings()
    unsubscribe: UnsubscribeSettings = UnsubscribeSettings()
    web: WebSettings = WebSettings()
    doctor: DoctorSettings = DoctorSettings()
    alarm: AlarmSettings = AlarmSettings()
    webhooks: WebhookSettings = WebhookSettings()
    journal: JournalSettings = JournalSettings()
    egress: EgressSettings = EgressSettings()
    log: LogSettings = LogSettings()
    lab: LabSettings = LabSettings()
    folder: Path = Field(Path(), exclude=True, description="Set by the loader: the configuration's folder.")

    @model_validator(mode="after")
    def _routes_name_pools(self) -> Settings:
        known = {pool.name for pool in self.egress.pool} | {"default"}
        for route in self.delivery.route:
            if route.pool and route.pool not in known:
                raise ValueError(f"delivery.route: {route.domain}: no [[egress.pool]] is called {route.pool}")
        return self

    @model_validator(mode="after")
    def _a_front_alone_is_a_front(self) -> Settings:
        if not self.web.relay.url:
            return self
        if self.node.roles != ("web",):
            raise ValueError('web.relay.url: the relay is on another machine; write node.roles = ["web"]')
        if self.web.sender_domain is None:
            raise ValueError("web.sender_domain: missing; a front without a relay beside it has to say it")
        return self

    @model_validator(mode="after")
    def _replies_have_an_address(self) -> Settings:
        if self.web.replies and not self.web.relay.url and self.inbound.domain is None:
            raise ValueError(
                "web.replies: letters could not be answered; set inbound.domain, where replies would arrive"
            )
        return self

    def path(self, path: Path) -> Path:
        """`path`, taken from the configuration's folder if it is relative, without ".." where that changes nothing."""
        there = self.folder / path
        plain = Path(os.path.normpath(there))
        # Behind a link to a folder, ".." is another folder than the text says.
        return plain if plain.resolve() == there.resolve() else there

    @property
    def sqlite_path(self) -> Path | None:
        """The spool's file, None when the spool is not SQLite. `sqlite:///a/b` is absolute, `sqlite:a/b` relative."""
        scheme, colon, rest = self.spool.url.partition(":")
        if scheme != "sqlite" or not colon:
            return None
        return self.path(Path(rest.removeprefix("//")))


def load_settings(file: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in `file` with the environment's overrides; ConfigurationError lists every complaint."""
    environment = os.environ if environment is None else environment
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: no such file; name one with --config, or run `leak init`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {error}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(syntax_complaint(file, text, error)) from None
    missing: Missing = []
    data = expand(data, environment, missing)
    if missing:
        places = Places(Settings, file, text, {})
        raise ConfigurationError("\n".join(places.unset(location, name) for location, name in missing))
    origin = overlay(data, environment, Settings)
    return _validate(data, file, text, origin)


def settings_from(data: Mapping[str, Any], folder: Path) -> Settings:
    """Settings from a mapping of the file's shape, for programs that build a configuration themselves."""
    return _validate(dict(data), folder / "(built in)", "", {})


def _validate(data: dict[str, Any], file: Path, text: str, origin: Mapping[str, str]) -> Settings:
    places = Places(Settings, file, text, origin)
    complaints: list[str] = []
    cut = list(_with_nul(data))
    complaints += [places.complaint({"loc": location, "type": "value_error", "msg": _NUL}) for location in cut]
    if "folder" in data:
        del data["folder"]
        complaints.append(places.complaint({"loc": ("folder",), "type": "extra_forbidden", "msg": ""}))
    try:
        settings = Settings.model_validate({**data, "folder": file.resolve().parent})
    except ValidationError as error:
        complaints += [places.complaint(item) for item in error.errors() if item["loc"] not in cut]
    else:
        if not complaints:
            return settings
    raise ConfigurationError("\n".join(complaints)) from None


def _with_nul(value: object, location: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a text holds NUL, which no path, name or address may: files would be refused later, by an exception."""
    if isinstance(value, str):
        if "\0" in value:
            yield location
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _with_nul(inner, (*location, key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _with_nul(inner, (*location, place))
