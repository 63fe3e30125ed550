"""What the header of a message tells about its kind, before anything else is read.

The first look of `reading`: who sent it, to which path, under which subject. No single sign decides; a bounce
written as free text must show several (S22: a subject alone proves nothing).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from relay.report.decoding import decode_words
from relay.report.mime import Part
from relay.report.phrasebook import BOUNCE_SUBJECTS, DAEMON_NAMES
from relay.report.words import find_addresses

_DAEMON_LOCAL = re.compile(
    r"(?:mailer[-_. ]?daemon|mail[-_. ]?daemon|mdaemon|post[-_]?master\w{0,20}|mail(?:er)?-?errors?|mmdf|pmdf"
    r"|mailadm(?:in)?"
    r"|mail[-_. ]?delivery\w{0,20}|mail[-_]?(?:system|master|agent|server|gate|router|gateway)|postoffice|mailmarshal"
    r"|uucp"
    r"|mrouter|system[-_.]?administrator|microsoftexchange\w{0,60}|double-?bounce|smtpd?|imss|dsn|ndr|amavis|(?:\w{1,30}[-_.])?mta|smail|bounce-?daemon|post_?master)"
    r"(?:[+=-].{0,80})?$",
    re.IGNORECASE,
)
_REPLY_SUBJECT = re.compile(r"\s*(?:re|aw|sv|antw|odp|rif|res|回复|答复)\s?(?:\[\d{1,3}\])?\s?[:：]", re.IGNORECASE)
_FORWARD_SUBJECT = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|i|转发)\s?[:：]", re.IGNORECASE)
_LIST_PROGRAMS: Final = ("listserv", "lyris", "listmanager", "mlmmj", "sympa", "ezmlm", "majordomo", "fml")
_LIST_REFUSALS: Final = (
    "not member article",
    "reject mail notice",
    "rejected posting",
    "posting rejected",
    "was not sent",
)
_ANGLED = re.compile(r"<([^<>]{0,320})>")
_TO_FIELDS: Final = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to", "apparently-to")


@dataclass(frozen=True, slots=True)
class Signs:
    """The header's signs."""

    subject: str
    """Decoded, lower case."""
    sender: str
    """From as one line, decoded, lower case."""
    sender_addresses: tuple[str, ...]
    daemon: bool
    """The sender's address is that of a program that carries mail."""
    named: bool
    """Its display name is."""
    null_path: bool
    """It came from the null path, as reports must (RFC 3464 §2)."""
    bounce_subject: bool
    failed: tuple[str, ...]
    """X-Failed-Recipients and its kin."""
    auto_submitted: str
    """The keyword of Auto-Submitted in lower case (RFC 3834 §5), "" when absent."""
    conversation: bool
    """It answers or forwards as people do, or a list carries it."""
    listed: bool
    addressed_to: tuple[str, ...]

    @property
    def weight(self) -> int:
        """How much the header alone speaks for a bounce; 4 and more with a word of failure is one."""
        points = 3 if self.daemon else 2 * self.named
        points += 2 * self.null_path + 2 * self.bounce_subject + 4 * bool(self.failed)
        if self.conversation and not self.daemon:
            points -= 3
        if self.listed and not self.daemon:
            points -= 3
        return points


def read_signs(message: Part) -> Signs:
    """The signs in the header of `message`."""
    subject = " ".join(decode_words(message.first("subject")).lower().split())
    senders = [decode_words(value[:2000]) for value in message.every("from")] or [message.first("sender")]
    sender = " ".join(" ".join(senders).lower().split())
    addresses = [one for value in senders for one in find_addresses(value)]
    path = message.first("return-path").strip().lower()
    angled = _ANGLED.search(path)
    reverse = (angled[1] if angled else path).strip()
    failed: list[str] = []
    for name in ("x-failed-recipients", "x-failed-recipient", "x-bounced-recipient", "x-dsn-recipient"):
        for value in message.every(name):
            failed += [one for one in find_addresses(value) if one not in failed]
    reply = bool(_REPLY_SUBJECT.match(subject) or message.first("in-reply-to") or message.first("references"))
    return Signs(
        subject=subject,
        sender=sender,
        sender_addresses=tuple(addresses[:10]),
        daemon=_is_daemon(sender, addresses) or _is_ndr(message),
        named=any(known in sender.partition("<")[0] for known in DAEMON_NAMES),
        null_path=bool(path) and (not reverse or _is_daemon_local(reverse)),
        bounce_subject=any(phrase in subject for phrase in BOUNCE_SUBJECTS),
        failed=tuple(failed[:200]),
        auto_submitted=re.split(r"[\s;(]", message.first("auto-submitted").strip().lower() + " ")[0],
        conversation=reply or bool(_FORWARD_SUBJECT.match(subject)),
        listed=any(message.first(name) for name in ("list-id", "list-post", "list-unsubscribe", "x-mailman-version")),
        addressed_to=_addressed_to(message),
    )


def _is_ndr(message: Part) -> bool:
    return (
        bool(
            message.first("x-ms-exchange-message-is-ndr")
            or message.first("x-mailer-daemon-error")
            or _is_list_refusal(message)
        )
        or "delivery-status" in message.parameters.get("report-type", "").lower()
    )


def _is_list_refusal(message: Part) -> bool:
    """Whether a list's program writes in the list's name that it did not take a mail."""
    subject, sender = message.first("subject").lower(), message.first("from").lower()
    return (bool(message.first("x-mlserver")) or any(name in sender for name in _LIST_PROGRAMS)) and any(
        phrase in subject for phrase in _LIST_REFUSALS
    )


def _is_daemon(sender: str, addresses: list[str]) -> bool:
    if any(_is_daemon_local(address) for address in addresses):
        return True
    if not addresses and "<>" in sender:
        return True
    return not addresses and any(_is_daemon_local(word) for word in sender.replace("<", " ").split())


def _is_daemon_local(address: str) -> bool:
    return _DAEMON_LOCAL.match(address.rpartition("@")[0] or address) is not None


def _addressed_to(message: Part) -> tuple[str, ...]:
    found: list[str] = []
    for name in _TO_FIELDS:
        for value in message.every(name):
            found += [one for one in find_addresses(value[:4000]) if one not in found]
    return tuple(found[:50])
