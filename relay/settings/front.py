"""The section of the Leak front: its pages, who runs it, and its relay where that is on another machine."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from relay.settings.values import (
    Duration,
    Flag,
    HostName,
    Listen,
    ListenAddress,
    Number,
    Section,
    Whole,
    check_networks,
)


class OperatorSettings(Section):
    name: str = Field("", description="Who runs the service: a person, an association, a company.")
    address: tuple[str, ...] = Field((), description="Their postal address, a line each.")
    mail: str = Field("", description="Where a person answers users, recipients and authorities.")
    phone: str = Field("", description="Their telephone number.")
    publisher: str = Field("", description="The director of publication.")
    registration: str = Field("", description="Number in the register of companies or associations.")
    host: str = Field("", description="Who houses the machine: name, address and telephone number.")

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys without which the legal pages do not say what they must."""
        return tuple(name for name in ("name", "address", "mail", "publisher", "host") if not getattr(self, name))


class RelaySettings(Section):
    """The relay of a front that stands alone: docs/front-elsewhere.md."""

    url: str = Field(
        "",
        description='Where the relay answers over HTTP, for a front on another machine; "" = the relay is in this '
        "process.",
        examples=["https://relay.leak.example"],
    )
    key_file: Path | None = Field(
        None,
        description="File (0600) with the key that `leak user add NAME --front` showed on the relay; read again by "
        "`leak reload`.",
        examples=["secrets/relay-key"],
    )
    ca_file: Path | None = Field(None, description="More trust anchors for its certificate, in PEM.")
    allow_http: Flag = Field(
        False, description="Also http:// to another machine: only through a tunnel that encrypts; the key is in clear."
    )

    @model_validator(mode="after")
    def _is_safe(self) -> RelaySettings:
        if not self.url:
            return self
        match = re.fullmatch(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+)(?::[0-9]{1,5})?", self.url)
        if match is None:
            raise ValueError("url: write https:// and a host, without a path")
        loopback = Listen(host=match[2].strip("[]"), port=0).loopback
        if match[1] == "http" and not loopback and not self.allow_http:
            raise ValueError("url: http:// would show key and letters to everybody on the way; write https://")
        if self.key_file is None:
            raise ValueError("key_file: missing; on the relay: leak user add NAME --front")
        return self


class WebSettings(Section):
    relay: RelaySettings = Field(
        default_factory=RelaySettings, description="The relay, where it is on another machine than the front."
    )
    operator: OperatorSettings = Field(
        default_factory=OperatorSettings, description="Who runs the service, as its legal pages tell it."
    )
    listen: ListenAddress | None = Field(None, description="Where the Leak front answers.")
    base_url: str = Field(
        "http://127.0.0.1:8080", description="The front's public address, without a slash at the end."
    )
    onion_url: str = Field(
        "",
        description="The front's onion service, if there is one: pages anybody may see name it in Onion-Location, and "
        "Tor Browser offers it. Without a slash at the end.",
        examples=["http://…56 letters and digits….onion"],
    )
    sender_domain: HostName | None = Field(
        None, description="Domain of the letters' From; default: the first signing domain."
    )
    trusted_proxies: tuple[str, ...] = Field((), description="Networks whose Forwarded / X-Forwarded-For is believed.")
    client_port_header: str = Field(
        "X-Forwarded-Port", description="Header in which such a proxy tells the client's port."
    )
    first_contact: Literal["direct", "doorbell"] = Field(
        "direct",
        description="What who never read a letter from here gets: the letter, or a mail that asks first.",
    )
    doorbell_domain: HostName | None = Field(
        None,
        description="Domain of the From of mails that only ask, with a `[[signing.domain]]` of its own: providers "
        "judge them apart from letters, and they warm up apart. Default: the letters' domain.",
        examples=["doorbell.leak.example"],
    )
    doorbells_per_day: Whole = Field(
        500,
        ge=0,
        description="Mails that only ask which leave for one provider on a day (UTC) at most, whatever letters do; "
        "0 = what warm-up allows.",
    )
    admission_per_day: Whole = Field(
        0, ge=0, description="Letters that leave on a day (UTC) at most; 0 = what warm-up allows."
    )
    school_domains: Literal["hold", "refuse", "deliver"] = Field(
        "hold",
        description="Letters to schools (a list of patterns, `web/words/schools.txt`): a person reads them first, the "
        "form refuses them, or they leave like others.",
    )
    most_waiting: Whole = Field(
        1000,
        ge=1,
        description="How many letters may wait for a moderator, how many notices of unlawful content, and how many "
        "replies; who finds no room is asked to try later, with their text kept, and a reply stays at the relay. "
        "Shared between kinds of network as a day is (`share_tor`); one network adds a fiftieth of it a day at most. "
        "At 80 % the alarm `pile` calls.",
    )
    domain_per_day: Whole = Field(
        20,
        ge=0,
        description="Letters a day to all people of one organisation (a registered domain with all below it) "
        "together, so that nobody besets a small one; 0 = no ceiling. Well-known mailbox providers and "
        "`large_domains` have none.",
    )
    large_domains: tuple[HostName, ...] = Field(
        (),
        description="Domains of many people who need no such ceiling; registered ones with all below them.",
        examples=[["univ.example"]],
    )
    sender_confirmation: Literal["off", "above_limit", "always"] = Field(
        "off",
        description="Whether writers confirm a mail address of their own, by a code: nobody, who comes by the slow "
        "lane, or everybody. A confirmed address goes into the sealed record alone.",
    )
    tor_lists: tuple[Path, ...] = Field(
        (),
        description="Files with the addresses of Tor's exits, one address or network a line; changed files are read "
        "again within a minute. A front behind an onion service names the service's own address here.",
    )
    data_centre_lists: tuple[Path, ...] = Field(
        (), description="Files with the networks of data centres, likewise; an address in no list comes directly."
    )
    share_tor: Number = Field(
        0.2, ge=0, le=1, description="Part of a day's letters (of the ceiling that binds) that is guaranteed to Tor."
    )
    share_data_centre: Number = Field(
        0.1, ge=0, le=1, description="The same for data centres; all others have what the two leave."
    )
    replies: Flag = Field(
        False,
        description="Recipients may answer a letter by mail, as it then says, and whoever wrote it sees the first "
        "reply on its page: words alone, moderated like letters. Needs `inbound.domain` at the relay. False: who "
        "answers is told that nobody can be reached.",
    )
    wall: Flag = Field(
        True, description="Writers may offer a letter for the wall; a moderator approves each. False: there is no wall."
    )
    wall_delay: Duration = Field(
        timedelta(days=7), description="How long after it was sent an offered letter comes to the moderators."
    )
    wall_indexed: Flag = Field(False, description="Whether search engines may list the wall.")
    weekly: Literal["off", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        "sunday", description="The day on which the weekly of the wall leaves, at nine (UTC); off without a wall too."
    )
    weekly_domain: HostName | None = Field(
        None,
        description="Domain of the From of the weekly, with a `[[signing.domain]]` of its own: providers judge it "
        "apart from letters, and it warms up apart. Default: the letters' domain.",
        examples=["weekly.leak.example"],
    )
    limits: Flag = Field(True, description="Limits per sender and recipient; off only in the lab and in tests.")
    cool_down: Duration = Field(
        timedelta(minutes=5), description="How long a letter waits before it leaves; its writer may take it back."
    )
    jitter: Duration = Field(
        timedelta(minutes=10),
        description="A letter leaves at a random moment within this time after the cool-down, so that its time says "
        "little about when it was written, and at the next full five minutes, together with others. 0: at once.",
    )
    time_zone: str = Field(
        "UTC",
        description="Where the service is at home, as `Europe/Paris`: whose time its pages tell, and where a letter "
        "that is to leave tomorrow morning leaves between seven and nine.",
    )
    failure_delay: Duration = Field(
        timedelta(minutes=30),
        description="A writer learns up to this much later that a letter could not be delivered, whether its address "
        "does not exist, was refused or wants no letters.",
    )
    sealed_keys: Path = Field(
        Path("config/sealed"),
        description="Folder of the public halves to which sender records are sealed (`leak sealed new-keys`); while it "
        "is empty or missing, no record is kept.",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            if value != "UTC":  # which needs no list of zones
                ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no time zone that this machine knows; write one as Europe/Paris") from None
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(value)

    @model_validator(mode="after")
    def _part_of_a_day(self) -> WebSettings:
        if self.share_tor + self.share_data_centre > 1:
            raise ValueError("share_tor and share_data_centre are more than 1 together")
        return self

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", value):
            raise ValueError("write http:// or https:// and a host, without a path")
        return value

    @field_validator("onion_url")
    @classmethod
    def _onion_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[a-z2-7]{56}\.onion(?::\d{1,5})?", value):
            raise ValueError("write http:// and an onion service's 56 characters with .onion, without a path")
        return value
