"""The sections of the relay's doors: submission, the HTTP API, mail from outside."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from relay.settings.values import (
    Duration,
    Flag,
    HostName,
    Listen,
    ListenAddress,
    ListenAddresses,
    Section,
    Size,
    TlsFiles,
    Whole,
    check_networks,
)

ANSWER_ENGLISH: Final = (
    "Nobody reads mail to this address: it only sends. Your message was not passed on to anybody, and whoever wrote to "
    "you through us cannot be reached.\n"
    "To get no more of such mail, or to report it, use the links at its end.\n"
    "To reach a person, write to the postmaster of this domain."
)
ANSWER_FRENCH: Final = (
    "Personne ne lit le courrier de cette adresse : elle ne fait qu'envoyer. Votre message n'a été transmis à "
    "personne, et qui vous a écrit par nous ne peut pas être joint.\n"
    "Pour ne plus recevoir de tels messages, ou pour en signaler un, prenez les liens à sa fin.\n"
    "Pour joindre quelqu'un, écrivez au postmaster de ce domaine."
)


_SmtpDoor = TypeVar("_SmtpDoor", "SubmissionSettings", "InboundSettings")


def with_certificate(door: _SmtpDoor) -> _SmtpDoor:
    """The settings of a door, which has a certificate if it takes TLS at once; else ValueError."""
    if door.tls is None and any(address.tls for address in door.listen):
        raise ValueError("a /tls address needs tls = { certificate, key }")
    return door


class SubmissionSettings(Section):
    listen: ListenAddresses = Field((), description='"host:port"; "/tls" after it means implicit TLS.')
    require_auth: Flag = Field(True, description="False: AUTH is optional; strangers still get 550 5.7.1.")
    trusted_networks: tuple[str, ...] = Field(
        (),
        description="Networks that may relay without AUTH and with any sender.",
        examples=[["127.0.0.1/32"]],
    )
    max_message_size: Size = Field(25_000_000, description="Largest message taken, in octets with CRLF.")
    max_recipients: Whole = Field(1000, ge=100, le=10_000, description="Recipients a message may have.")
    max_connections: Whole = Field(1000, ge=1, description="Open sessions a worker; more get 421.")
    max_connections_per_address: Whole = Field(100, ge=1, description="Open sessions a client address and worker.")
    idle_timeout: Duration = Field(timedelta(minutes=5), description="Silence after which a session gets 421.")
    hide_client: Flag = Field(False, description="Leave the client's address and name out of Received.")
    tls: TlsFiles | None = Field(None, description="Certificate and key; none: no STARTTLS, AUTH only if trusted.")

    @field_validator("trusted_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(value)

    _certified = model_validator(mode="after")(with_certificate)


class ApiSettings(Section):
    listen: ListenAddress | None = Field(None, description="Where the HTTP API answers.")
    admin_listen: ListenAddress | None = Field(
        None,
        description="Where the operator's pages answer (`/admin`), and on nodes with the role web the moderators' desk "
        "(`/desk`); loopback only. None: there are neither.",
        examples=["127.0.0.1:8081"],
    )
    max_body: Size = Field(40_000_000, description="Largest request body (a 25 MB message in base64 is 34 MB).")
    max_connections: Whole = Field(
        1000, ge=1, description="Open HTTP connections a worker, the front's too; more get 503."
    )
    max_connections_per_address: Whole = Field(
        200, ge=1, description="Those of one client address; `web.trusted_proxies` speak for many and have no cap."
    )

    @field_validator("admin_listen")
    @classmethod
    def _admin_on_loopback(cls, value: Listen | None) -> Listen | None:
        if value is not None and (not value.loopback or value.tls):
            raise ValueError("these pages answer on loopback only, in clear: write 127.0.0.1:PORT")
        return value


class InboundSettings(Section):
    listen: ListenAddresses = Field(
        (), description="Where bounces, complaints and reports arrive; needs the domain.", examples=[["0.0.0.0:25"]]
    )
    domain: HostName | None = Field(
        None,
        description="The domain of return tokens, unless a signing domain names its own; none: return paths are kept.",
        examples=["bounces.leak.example"],
    )
    tls: TlsFiles | None = Field(None, description="Certificate and key for STARTTLS; none: it is not offered.")
    max_message_size: Size = Field(
        25_000_000, description="Largest mail taken; some hosts return the whole of what they bounce."
    )
    max_connections: Whole = Field(200, ge=1, description="Open sessions a worker; more get 421.")
    max_connections_per_address: Whole = Field(20, ge=1, description="Open sessions a client address and worker.")
    max_per_minute: Whole = Field(
        200, ge=1, description="Mails a minute, client address and worker; more get 451 and come later."
    )
    room: Size = Field(
        1_000_000_000,
        ge=1_000_000,
        description="Octets that mail from outside may fill; the oldest that waits for nobody makes room, else 452. "
        "Half of it is for mail to return paths and unsubscribe addresses of ours.",
    )
    mta_sts: Literal["none", "testing", "enforce"] = Field(
        "testing",
        description="The MTA-STS policy that HTTP serves as `mta-sts.` of the return domains; its MX is the node.",
    )
    answer_english: str = Field(
        ANSWER_ENGLISH,
        max_length=4000,
        description='What a person who writes to a From address is told, once in 7 days; "" = not in this language.',
    )
    answer_french: str = Field(
        ANSWER_FRENCH, max_length=4000, description="The same in French; with both empty nobody is answered."
    )
    keep: Duration = Field(
        timedelta(days=30), description="How long mail that came in is kept; events stay, stored reports 400 days."
    )

    _certified = model_validator(mode="after")(with_certificate)
