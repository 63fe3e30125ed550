"""The filter of the queue commands: which deliveries are meant, from options to a value."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.output import UsageError

if TYPE_CHECKING:
    from relay.spool.inquiry import QueueFilter

Domain = Annotated[str, typer.Option("--domain", help="Deliveries to this domain.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Deliveries of this tenant.")]
Sender = Annotated[str, typer.Option("--sender", help="Deliveries with this envelope sender.")]
To = Annotated[str, typer.Option("--recipient", help="Deliveries to this address.")]
OlderThan = Annotated[str, typer.Option("--older-than", help='Accepted longer ago than this, as in "2h".')]
MessageId = Annotated[str, typer.Option("--id", help="Deliveries of this message.")]
Site = Annotated[str, typer.Option("--site", help="Deliveries whose domain's mail goes to this site.")]


def make_filter(names: tuple[str, str, str, str], older_than: str, message: str, limit: int) -> QueueFilter:
    """The filter of a queue command; `names` are domain, tenant, sender and recipient. UsageError for nonsense."""
    from relay.ids import SpoolId, is_spool_id
    from relay.spool.inquiry import QueueFilter
    from relay.units import parse_duration

    domain, tenant, sender, recipient = names
    bare = message.partition(".")[0].lower()
    if message and not is_spool_id(bare):
        raise UsageError(f"{message!r} is not a message's id; it has 26 letters and digits, as `leak queue list` shows")
    try:
        since = now() - parse_duration(older_than) if older_than else None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--older-than: {error}") from None
    return QueueFilter(
        domain=a_label(domain),
        tenant=tenant,
        sender=sender,
        recipient=recipient,
        message=SpoolId(bare) if message else None,
        older_than=since,
        limit=limit,
    )


def a_label(domain: str) -> str:
    """A domain option as the spool keeps it; UsageError if it is none."""
    from relay.mail.address import AddressError, parse_domain

    if not domain or domain.startswith("["):
        return domain
    try:
        return parse_domain(domain, require_fqdn=False)
    except AddressError as error:
        raise UsageError(f"--domain {domain!r}: {error}") from None


def now() -> datetime:
    """The time."""
    from relay.clock import SystemClock

    return SystemClock().now()
