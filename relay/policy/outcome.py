"""What an attempt gave: one `Outcome` per recipient, with how far it reaches, where it happened and who decided.

One bad recipient must not stop a site, and one dead host must not fail a message: so every failure says its
scope, its phase and its author, and only this value travels from the session to the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from relay.smtp.reply import Reply


class Result(StrEnum):
    """What is known about the recipient after the attempt."""

    DELIVERED = "delivered"
    """The far side answered 2xx to the final dot."""
    TEMPORARY = "temporary"
    """Not now."""
    PERMANENT = "permanent"
    """Not ever."""
    UNKNOWN = "unknown"
    """The content was sent and no answer came: retried, marked, perhaps a duplicate (RFC 5321 §4.5.3.2.6)."""


class Scope(StrEnum):
    """How far an outcome reaches."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    HOST = "host"
    SITE = "site"
    SOURCE = "source"


class Phase(StrEnum):
    """The step at which it happened; every error and every time-out names one."""

    INTAKE = "intake"
    SIGN = "sign"
    ROUTE = "route"
    PERMIT = "permit"
    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    QUIT = "quit"


class DecidedBy(StrEnum):
    """Who decided: the far side's reply, our own rule, the network, or the DNS."""

    REMOTE = "remote"
    RELAY = "relay"
    NETWORK = "network"
    DNS = "dns"


@dataclass(frozen=True, slots=True)
class Host:
    """The host that was tried: exchanger name and IP address as text."""

    exchanger: str
    address: str


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What was demanded of a host's TLS and what was had: protocol ("TLSv1.3", "" in clear), cipher, verified or not.

    The rest is what TLS reports count (RFC 8460 §4): which policy spoke, whose it is, and what went wrong.
    """

    protocol: str
    cipher: str
    verified: bool
    demand: str = "may"
    error: str = ""
    """Why TLS was not had or the certificate did not verify; empty when all was well."""
    policy: str = "no-policy-found"
    """"tlsa", "sts" or "no-policy-found"."""
    domain: str = ""
    """The policy's domain; empty without a policy."""
    testing: bool = False
    """The policy was watched only: what fell short of it did not stop the mail."""
    failure: str = ""
    """What fell short, as a result type of RFC 8460 §4.3; empty when nothing did."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A host that was passed over in this attempt because it fell short of a TLS policy."""

    host: Host
    tls: TlsFacts


class Course(StrEnum):
    """What a diagnosis says to do next."""

    AS_SAID = "as-said"
    """As the reply's code says: 4xx waits, 5xx bounces."""
    WAIT = "wait"
    """The delivery waits, also after a 5xx."""
    BOUNCE = "bounce"
    """The delivery ends, also after a 4xx."""
    REST = "rest"
    """It waits, and so does all mail of its path (source and site): the refusal is about us, not about a letter."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a reply means, how far that reaches, what we do next, and the rule that says so."""

    meaning: str
    """A `[meaning.…]` of `config/diagnosis.toml`: "rate-limit", "unknown-user", …"""
    scope: Scope
    verdict: Course
    rule: str
    """The id of a rule of `diagnosis.toml`, else of `bounces.toml`; "unmatched" when none fits."""
    rest: timedelta | None = None
    """How long the path rests; None = as long as a site rests whose hosts cannot be reached."""
    patience: timedelta | None = None
    """How long after its acceptance a letter waits out a 5xx; None = until it expires."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's result for one recipient; `reply` is the far side's or, where it said nothing, our own words."""

    result: Result
    scope: Scope
    phase: Phase
    decided_by: DecidedBy
    reply: Reply
    host: Host | None = None
    tls: TlsFacts | None = None
    passed: tuple[Passed, ...] = ()
    """Hosts tried before `host` in the same attempt whose TLS failed their policy: TLS reports count them too."""
    diagnosis: Diagnosis | None = None
    """What a failure means; None for a delivery, and where nobody asked."""
    confirms: bool = False
    """The host that took it was told the sender's wishes for reports, and is to fulfil them (RFC 3461 §5.2.1)."""
