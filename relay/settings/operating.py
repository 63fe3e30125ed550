"""The sections of the node itself: its spool, roles, logs, doctor, alarms, webhooks, journal, and the lab."""

from __future__ import annotations

import ipaddress
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from relay.mail.address import AddressError, parse_address
from relay.settings.values import (
    Duration,
    Flag,
    HostName,
    Listen,
    ListenAddress,
    Section,
    ServerAddresses,
    Size,
    Whole,
    parse_listen,
    refuse_twice,
)

TARGETS: Final = (
    "gmail-smtp-in.l.google.com:25",
    "mx-eu.mail.am0.yahoodns.net:25",
    "outlook-com.olc.protection.outlook.com:25",
)
ADDRESS_LISTS: Final = (
    "zen.spamhaus.org",
    "bl.spamcop.net",
    "b.barracudacentral.org",
    "psbl.surriel.com",
    "bl.mailspike.net",
)
DOMAIN_LISTS: Final = ("dbl.spamhaus.org",)

Role = Literal["web", "api", "submission", "inbound", "delivery"]


class NodeSettings(Section):
    name: HostName = Field(
        default_factory=lambda: socket.gethostname() if "." in socket.gethostname() else "localhost.localdomain",
        description="The node's public host name: EHLO, Received, reporting name of DSNs.",
        examples=["mail.leak.example"],
    )
    workers: Whole = Field(0, ge=0, le=256, description="Worker processes; 0 = one a core, 1 = no supervisor.")
    watchdog: Duration = Field(
        timedelta(seconds=60),
        description="How long a worker's loop may stand still before its supervisor kills it and starts another; "
        'five times as long while it loads; "0s" = for ever.',
    )
    roles: tuple[Role, ...] = Field(
        ("web", "api", "submission", "inbound", "delivery"),
        description="What this node does.",
    )
    secrets: Path = Field(
        Path("secrets"),
        description="Folder of secret keys (0600), made at first start; the same on all nodes.",
    )
    uvloop: Flag = Field(True, description="Use uvloop's event loop where it is installed.")


class SpoolSettings(Section):
    url: str = Field(
        "sqlite:///var/lib/leak/spool.db",
        description="sqlite:///PATH (relative: sqlite:PATH) for one machine, or postgresql://user@host1,host2/database "
        "for any number of nodes; of several hosts the writable one is used.",
    )
    minimum_free: Size = Field(
        100_000_000,
        description="Free bytes on the spool's disk below which new mail is refused with 452 or 507.",
    )
    lease: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=3),
        description="For how long a worker may be silent before the others take over what it holds, at most 5 s later: "
        "where a machine vanished, its mail goes on after that. A worker that died is replaced at once.",
    )
    keep_content: Duration = Field(
        timedelta(days=7), description="How long a message's content is kept after its last delivery ended."
    )


class SeedSettings(Section):
    """A mailbox of your own elsewhere: `leak doctor --seeds` sends it a letter and reads by IMAP where that arrived."""

    address: str = Field(description="Where the letter goes.", examples=["me@gmail.example"])
    imap: ListenAddress = Field(
        description='Its IMAP server, "host:993/tls", or "host:143" for STARTTLS. Nothing is said without TLS.',
        examples=["imap.gmail.example:993/tls"],
    )
    user: str = Field("", description='Name for the login; "" = the address.')
    password_file: Path = Field(description="File with the password, mostly one for programs alone, 0600.")
    name: str = Field(
        "", description='What findings and history call it; "" = the domain of the address.', max_length=60
    )
    remove: Flag = Field(False, description="Delete the letter once it was read; false leaves it there, unread.")

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return _address(value)

    @field_validator("imap")
    @classmethod
    def _is_server(cls, value: Listen) -> Listen:
        if not value.port:
            raise ValueError('write "host:993/tls"')
        return value

    @model_validator(mode="after")
    def _printable_name(self) -> SeedSettings:
        if not all(character.isprintable() for character in self.called):
            raise ValueError("name holds control characters")
        return self

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.address.rpartition("@")[2]


class DoctorSettings(Section):
    """What `leak doctor` looks at, on the command line and inside the node: docs/doctor.md."""

    every: Duration = Field(
        timedelta(hours=1), description='How often the node looks by itself, its findings being alarms; "0s" = never.'
    )
    timeout: Duration = Field(timedelta(seconds=30), ge=timedelta(seconds=1), description="Time for one check.")
    addresses: tuple[str, ...] = Field(
        (),
        description="The public addresses mail leaves from, where no egress source tells them (behind NAT); "
        "none: those of the EHLO name.",
        examples=[["203.0.113.5"]],
    )
    targets: ServerAddresses = Field(
        tuple(parse_listen(text) for text in TARGETS),
        description='Mail hosts that are greeted to see whether port 25 is open outward, "host:port" each.',
    )
    blocklists: tuple[HostName, ...] = Field(
        ADDRESS_LISTS, description="Lists of addresses that are asked about ours; [] = none."
    )
    domain_blocklists: tuple[HostName, ...] = Field(
        DOMAIN_LISTS, description="Lists of domains that are asked about ours; [] = none."
    )
    spamhaus_key_file: Path | None = Field(
        None, description="File with the key of Spamhaus' Data Query Service, 0600; none: its public servers are asked."
    )
    time_server: str = Field(
        "", description='A time server to compare the clock with; "" = none.', examples=["pool.ntp.org:123"]
    )
    signed_name: HostName | None = Field(
        "ietf.org", description="A domain signed with DNSSEC, to see whether the resolver validates."
    )
    seed_sender: str = Field(
        "", description='From of letters to the seeds; "" = postmaster at the first signing domain.'
    )
    seed_wait: Duration = Field(
        timedelta(minutes=10), ge=timedelta(seconds=1), description="How long a letter to a seed is looked for."
    )
    seeds: tuple[SeedSettings, ...] = ()

    @field_validator("seeds")
    @classmethod
    def _told_apart(cls, value: tuple[SeedSettings, ...]) -> tuple[SeedSettings, ...]:
        refuse_twice([seed.called for seed in value])
        return value

    @field_validator("seed_sender")
    @classmethod
    def _seed_sender(cls, value: str) -> str:
        return _address(value) if value else value

    @field_validator("addresses")
    @classmethod
    def _ip_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ipaddress.ip_address(text)) for text in value)
        except ValueError as error:
            raise ValueError(f"{error}; write IP addresses") from None

    @field_validator("time_server")
    @classmethod
    def _time_server(cls, value: str) -> str:
        if value and (parse_listen(value).tls or not parse_listen(value).port):
            raise ValueError(f'{value!r} is no time server; write "host:port"')
        return value


class AlarmSettings(Section):
    """The ways alarms take to a person, none of them through the relay's own queue: docs/alarms.md."""

    command: str = Field(
        "",
        description="Run for each alarm and each end, with it as JSON on standard input; words are split as a shell "
        "does, but no shell runs.",
        examples=["/usr/local/bin/page-me --urgent"],
    )
    ntfy: str = Field("", description="Topic of a ntfy server to publish to.", examples=["https://ntfy.sh/my-topic"])
    ntfy_token_file: Path | None = Field(None, description="File with the access token of that server, 0600.")
    webhook: str = Field("", description="URL that gets a JSON object by POST.", examples=["https://chat.example/hook"])
    webhook_token_file: Path | None = Field(
        None, description="File with a token that goes with it as `Authorization: Bearer`, 0600."
    )
    smarthost: str = Field(
        "",
        description='Another mail server, "host:port", that takes the alarm as mail; "/tls" = TLS at once, else '
        "STARTTLS wherever it is offered, and always with a user.",
        examples=["smtp.example:587"],
    )
    mail_to: tuple[str, ...] = Field((), description="Who gets that mail.", examples=[["ops@example.org"]])
    mail_from: str = Field("", description='Its From; "" = alarm@ and the node\'s name.')
    user: str = Field("", description="Name for AUTH at the smarthost, only ever sent inside TLS.")
    password_file: Path | None = Field(None, description="File with the password of `user`, 0600.")
    allow_private_addresses: Flag = Field(
        False, description="Let ntfy and webhook be on loopback, private addresses or http://, as a server of your own."
    )
    most_per_hour: Whole = Field(
        30, ge=2, le=1000, description="Calls an hour and way; what is more comes together in one."
    )
    timeout: Duration = Field(
        timedelta(seconds=30), ge=timedelta(seconds=1), description="Time for one call; a command is killed after it."
    )
    queue_age: Duration = Field(
        timedelta(minutes=30), ge=timedelta(minutes=1), description="How long mail may be due and not leave."
    )

    @field_validator("ntfy")
    @classmethod
    def _has_topic(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/?#]+/[A-Za-z0-9_-]{1,64}", value):
            raise ValueError('write the topic\'s URL, as in "https://ntfy.sh/my-topic"')
        return value

    @field_validator("smarthost")
    @classmethod
    def _is_server(cls, value: str) -> str:
        if value and not parse_listen(value).port:
            raise ValueError(f'{value!r} is no server; write "host:port" or "host:port/tls"')
        return value

    @field_validator("mail_to")
    @classmethod
    def _recipients(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_address(text) for text in value)

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        return _address(value) if value else value

    @model_validator(mode="after")
    def _belong_together(self) -> AlarmSettings:
        if bool(self.smarthost) != bool(self.mail_to):
            raise ValueError("smarthost and mail_to belong together")
        if bool(self.user) != (self.password_file is not None):
            raise ValueError("user and password_file belong together")
        return self


def _address(text: str) -> str:
    try:
        return str(parse_address(text))
    except AddressError as error:
        raise ValueError(f"{text!r}: {error}") from None


class WebhookSettings(Section):
    """Where events are posted to, which tenants ask for over the HTTP API: docs/events.md."""

    allow_private_addresses: Flag = Field(
        False, description="Post to loopback and private addresses too: only where every tenant is trusted."
    )
    allow_http: Flag = Field(False, description="Post to http:// URLs too: what is told can be read on the way.")
    timeout: Duration = Field(timedelta(seconds=15), description="Time for one post as a whole.")
    give_up_after: Duration = Field(
        timedelta(days=5), description="A webhook that took nothing for so long is disabled, with an alarm."
    )
    max_per_tenant: Whole = Field(20, ge=0, le=1000, description="Webhooks a tenant may have.")


class JournalSettings(Section):
    """Events as lines of JSON in a file, for log shippers: docs/events.md."""

    file: Path | None = Field(
        None,
        description="Where every event of the spool, of all tenants, is written by this node; none: nowhere.",
        examples=["/var/log/leak/events.jsonl"],
    )

    @field_validator("file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class LabSettings(Section):
    inbox: ListenAddress = Field(
        Listen(host="127.0.0.1", port=8025), description="Where the lab's inbox answers; loopback only."
    )
    subnet: Whole = Field(1, ge=1, le=254, description="N of the addresses 127.0.N.x of the lab's mail hosts.")


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe line written.")
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people.")
