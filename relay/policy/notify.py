"""Which recipients their sender is owed a report about, and which one (RFC 3461 §4.1, §5.2). Pure.

We relay and never deliver into a mailbox: a success is `relayed`, and only where the next hop does not take over the
duty to report. Without NOTIFY a sender hears of failures; of delays only if the operator says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.mail.envelope import Notify
from relay.policy.state import State
from relay.report.wording import Action


@dataclass(frozen=True, slots=True)
class NoticeRule:
    """When a delay is told: `delay` after the accept, never if it is zero; `unasked` also without NOTIFY."""

    delay: timedelta = timedelta(hours=4)
    unasked: bool = False


def owed(state: State, notify: Notify | None, *, confirms: bool) -> Action | None:
    """The report about a delivery that ended; `confirms`: the next hop took over the duty to report."""
    if state in (State.BOUNCED, State.EXPIRED):
        return Action.FAILED if notify is None or Notify.FAILURE in notify else None
    if state is State.DELIVERED and not confirms and notify is not None and Notify.SUCCESS in notify:
        return Action.RELAYED
    return None


def delay_owed(rule: NoticeRule, notify: Notify | None, accepted: datetime, now: datetime, due: datetime) -> bool:
    """Whether to tell now of a delivery that waits until `due`; its caller knows that it was not told before.

    In its second half the time counts as over if the next attempt lies behind it: late waits are hours long.
    """
    if rule.delay <= timedelta() or not (rule.unasked if notify is None else Notify.DELAY in notify):
        return False
    age = now - accepted
    return age >= rule.delay or (age >= rule.delay / 2 and due - accepted >= rule.delay)
