"""What a DSN says to a person: plain English, kind, and with the far side's own words (RFC 6522 §3).

Used by `relay.report.dsn` only; the parts for programs are written there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

from relay.mail.date import format_date


class Action(StrEnum):
    """What was done about a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    """Handed to a host that does not confirm delivery itself."""


Story = tuple[Action, str, str, str, str, datetime | None]
"""Action, address, status, remote host, reply in one line, and until when we try."""

_MEANINGS: Final = (
    ("5.1.1", "The address does not exist there. Please check its spelling."),
    ("5.1.2", "The part after the '@' does not exist or takes no mail. Please check its spelling."),
    ("5.1.10", "The part after the '@' takes no mail. Please check its spelling."),
    ("5.2.1", "The mailbox is switched off."),
    ("5.2.2", "The mailbox is full. The recipient may be reached another way."),
    ("5.2.3", "The message is too large for this mailbox."),
    ("5.3.4", "The message is too large for the receiving side."),
    ("5.4.7", "The receiving side could not take the message for so long that we stopped trying."),
    ("5.7.", "The receiving side does not accept this message under its rules."),
)

_OPENING: Final = {
    Action.FAILED: "We are sorry: your message could not be delivered to the recipients named below, and we have "
    "stopped trying for them.",
    Action.DELAYED: "Your message has not reached the recipients named below yet. You need not do anything: we keep "
    "trying.",
    Action.DELIVERED: "Your message was delivered to the recipients named below.",
    Action.RELAYED: "Your message was handed on for the recipients named below, to a system that sends no "
    "confirmations. You may hear nothing more about it.",
}

_SUBJECTS: Final = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed; we keep trying",
    Action.RELAYED: "Your message was handed on",
    Action.DELIVERED: "Your message was delivered",
}
"""In the order in which one of several outcomes gives the subject."""


def subject(actions: Sequence[Action]) -> str:
    """The Subject for these outcomes: that of the gravest."""
    return next(text for action, text in _SUBJECTS.items() if action in actions)


def wording(node: str, stories: Iterable[Story]) -> str:
    """The text, lines of at most 78 where the addresses and replies allow it, with "\\n" line ends."""
    told = list(stories)
    paragraphs = [f"This is the mail system at {node}."]
    for action in _SUBJECTS:
        chosen = [story for story in told if story[0] is action]
        if chosen:
            paragraphs.append(_wrapped(_OPENING[action]))
            paragraphs += [_recipient(story) for story in chosen]
    paragraphs.append("The details for your mail administrator are attached.")
    return "\n\n".join(paragraphs) + "\n"


def _recipient(story: Story) -> str:
    action, address, status, host, reply, until = story
    lines = [f"  <{address}>"]
    match action:
        case Action.FAILED:
            lines += [f"    {text}" for prefix, text in _MEANINGS if _means(status, prefix)][:1]
        case Action.DELAYED:
            if until:
                lines.append(f"    We keep trying until {format_date(until)}.")
        case Action.DELIVERED | Action.RELAYED:
            pass
        case _:
            assert_never(action)
    if reply:
        who = f"{host} answered" if host else "The reason"
        lines += ["    " + line for line in _wrapped(f"{who}: {reply}", 72).split("\n")]
    return "\n".join(lines)


def _means(status: str, prefix: str) -> bool:
    return status.startswith(prefix) if prefix.endswith(".") else status == prefix


def _wrapped(text: str, width: int = 76) -> str:
    """`text` broken at spaces; never inside a word, so that addresses and links stay whole."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)
