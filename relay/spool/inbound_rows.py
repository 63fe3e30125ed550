"""Rows of what came in from outside, as values: the columns are those of the statements in `relay.spool.inbound`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from relay.clock import from_millis
from relay.ids import SpoolId
from relay.mail.envelope import Notify, Return
from relay.policy.hearing import Purpose
from relay.policy.state import State
from relay.spool.inbound_values import InboundAddress, InboundItem, InboundView, SentDelivery
from relay.spool.rows import column_path, load
from relay.spool.work import Door


def moment(value: int | None) -> datetime | None:
    """A stored moment, None for NULL."""
    return None if value is None else from_millis(value)


def item_of(row: tuple[Any, ...]) -> InboundItem:
    """An item as work."""
    number, at, peer, helo, path, address, purpose, message, n, content, detail = row
    delivery = None if message is None else (SpoolId(message), n)
    subject = load(detail).get("token")
    return InboundItem(
        number,
        from_millis(at),
        peer,
        helo,
        path or "",
        InboundAddress(address, Purpose(purpose), delivery, bytes.fromhex(subject) if subject else None),
        None if content is None else bytes(content),
    )


def view_of(row: tuple[Any, ...]) -> InboundView:
    """An item as shown."""
    number, at, peer, address, purpose, message, n, kind, followed, shown, done_at, detail, size = row
    delivery = "" if message is None else message if n is None else f"{message}.{n}"
    return InboundView(
        number,
        from_millis(at),
        peer,
        address,
        Purpose(purpose),
        delivery,
        kind or "",
        followed or "",
        bool(shown),
        moment(done_at),
        load(detail),
        size,
    )


def delivery_of(row: tuple[Any, ...]) -> SentDelivery:
    """The delivery a token names."""
    seq, message, n, tenant, door, stream, path, smtputf8, envid, ret, prelude, accepted, state, domain, *who = row
    recipient, notify, orcpt, deliveries = who
    return SentDelivery(
        seq=seq,
        message=SpoolId(message),
        n=n,
        tenant=tenant,
        door=Door(door),
        stream=stream,
        reverse_path=column_path(path),
        smtputf8=bool(smtputf8),
        envid=envid,
        ret=None if ret is None else Return(ret),
        prelude=None if prelude is None else bytes(prelude),
        accepted_at=from_millis(accepted),
        state=State(state),
        domain=domain,
        recipient=recipient,
        notify=None if notify is None else Notify(notify),
        orcpt=orcpt,
        siblings=deliveries - 1,
    )
