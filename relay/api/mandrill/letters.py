"""From Mandrill's document to the mail it means: one letter for all, or one for each recipient. Pure.

Mandrill's default is that no recipient sees another (`preserve_recipients` false): then each gets a letter of his own,
with his own variables and metadata. An address that is none is answered for itself and hinders nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from relay.api.mandrill.documents import FileEntry, MessageEntry, RecipientEntry, SendRawCall
from relay.api.mandrill.fault import Fault, invalid
from relay.api.mandrill.merging import TooLongError, merge, variables
from relay.mail.address import Address, AddressError, parse_address
from relay.mail.author import parse_mailboxes
from relay.mail.compose import Attachment, Draft
from relay.mail.envelope import Envelope, Recipient
from relay.mail.header import HeaderError, parse_fields, split_content

MAX_TEXT: Final = 20_000_000
"""Characters of a body with its variables filled in."""
_TAG: Final = re.compile(r"[ -~]{1,50}")
_METADATA_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail and whom it is for; `named` is each recipient's address as the caller wrote it."""

    envelope: Envelope
    named: tuple[str, ...]
    draft: Draft | None
    raw: bytes
    tags: tuple[str, ...]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Known:
    """What all letters of a call share."""

    entry: MessageEntry
    sender: tuple[str, Address]
    reply_to: tuple[tuple[str, Address], ...]
    headers: Mapping[str, str]
    files: tuple[Attachment, ...]
    addresses: tuple[tuple[RecipientEntry, Address], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The letters of a call, made one at a time, and the addresses that are none."""

    known: _Known
    not_addresses: tuple[str, ...]

    @property
    def octets(self) -> int:
        """About how much all letters have together."""
        one = sum(len(file.content) for file in self.known.files) + len(self.known.entry.text + self.known.entry.html)
        return one * (1 if self.known.entry.preserve_recipients else len(self.known.addresses))

    def letters(self) -> Iterator[Letter | Fault]:
        """Each letter in turn, or why it cannot be made."""
        if not self.known.addresses:
            return
        if self.known.entry.preserve_recipients:
            yield _letter(self.known, self.known.addresses)
            return
        for one in self.known.addresses:
            yield _letter(self.known, (one,))


def plan_letters(entry: MessageEntry) -> Plan | Fault:
    """What messages/send asks for; or what is wrong with it."""
    fault = _check(entry)
    if fault is not None:
        return fault
    try:
        sender = (entry.from_name, parse_address(entry.from_email.strip()))
    except AddressError as error:
        return invalid("message.from_email", str(error))
    headers = dict(entry.headers)
    if entry.important:
        headers |= {"Importance": "high", "X-Priority": "1"}
    asked = [headers.pop(name) for name in list(headers) if name.lower() == "reply-to"]
    try:
        reply_to = tuple(("", one) for text in asked for one in parse_mailboxes(text.encode(), "Reply-To"))
    except HeaderError as error:
        return invalid("message.headers.Reply-To", error.reason)
    found: dict[str, tuple[RecipientEntry, Address]] = {}
    wrong: list[str] = []
    for one in entry.to:
        try:
            address = parse_address(one.email.strip())
        except AddressError:
            wrong.append(one.email)
        else:
            found.setdefault(address.key, (one, address))
    files = (*map(_file, entry.attachments), *map(_image, entry.images))
    return Plan(_Known(entry, sender, reply_to, headers, files, tuple(found.values())), tuple(wrong))


def _check(entry: MessageEntry) -> Fault | None:
    if not entry.to:
        return invalid("message.to", "name at least one recipient")
    if entry.subaccount:
        return Fault("Unknown_Subaccount", "There are no subaccounts here; leave the field out.")
    if not (entry.text or entry.html or entry.attachments):
        return invalid("message.text", "write text, html or attachments")
    if entry.merge_language == "handlebars" and (entry.global_merge_vars or entry.merge_vars):
        return invalid("message.merge_language", "only mailchimp is understood here")
    for tag in entry.tags:
        if not _TAG.fullmatch(tag) or tag.startswith("_"):
            return Fault("Invalid_Tag_Name", "A tag has 1 to 50 ASCII characters and does not begin with '_'.")
    for values in (entry.metadata, *(one.values for one in entry.recipient_metadata)):
        if any(not _METADATA_KEY.fullmatch(key) or len(value) > 500 for key, value in values.items()):
            return invalid("message.metadata", "names have letters, digits, '.', '_' and '-'; values 500 characters")
    return None


def _letter(known: _Known, to: tuple[tuple[RecipientEntry, Address], ...]) -> Letter | Fault:
    entry = known.entry
    alone = to[0] if not entry.preserve_recipients else None
    metadata = dict(entry.metadata)
    values: dict[str, str] = {}
    if entry.merge is not False:
        values = variables(entry.global_merge_vars)
    if alone is not None:
        mine = alone[1].key.lower()
        for some in entry.recipient_metadata:
            metadata |= some.values if _key(some.rcpt) == mine else {}
        for given in entry.merge_vars if entry.merge is not False else ():
            values |= variables(given.vars) if _key(given.rcpt) == mine else {}
    try:
        draft = Draft(
            sender=known.sender,
            to=tuple((one.name, address) for one, address in to if alone is not None or one.type == "to"),
            cc=tuple((one.name, address) for one, address in to if alone is None and one.type == "cc"),
            reply_to=known.reply_to,
            subject=merge(entry.subject, values, MAX_TEXT),
            text=merge(entry.text, values, MAX_TEXT),
            html=merge(entry.html, values, MAX_TEXT),
            headers=known.headers,
            attachments=known.files,
        )
    except TooLongError:
        return invalid("message.merge_vars", "the text grows too long")
    shown = [known.sender, *draft.to, *draft.cc, *draft.reply_to]
    addresses = tuple(address for _, address in to)
    return Letter(
        Envelope(
            known.sender[1],
            tuple(map(Recipient, addresses)),
            smtputf8=any(one.needs_smtputf8 for one in (*addresses, *(address for _, address in shown))),
        ),
        tuple(one.email for one, _ in to),
        draft,
        b"",
        tuple(entry.tags),
        metadata,
    )


def _key(text: str) -> str:
    """An address to compare by: Mandrill tells no case apart."""
    try:
        return parse_address(text.strip()).key.lower()
    except AddressError:
        return ""


def _file(entry: FileEntry) -> Attachment:
    return Attachment(entry.name or "file", entry.type or "application/octet-stream", entry.content)


def _image(entry: FileEntry) -> Attachment:
    return Attachment(entry.name or "image", entry.type or "image/png", entry.content, entry.name)


def plan_raw(call: SendRawCall) -> tuple[Letter, tuple[str, ...]] | Fault:
    """What messages/send-raw asks for, with the addresses that are none; or what is wrong with it."""
    raw = _LINE_END.sub(b"\r\n", call.raw_message.encode("utf-8", "replace"))
    try:
        fields = parse_fields(split_content(raw)[0])
        authors = [one for field in fields if field.key == b"from" for one in parse_mailboxes(field.value)]
        named = [
            str(one)
            for field in fields
            if not call.to and field.key in (b"to", b"cc", b"bcc")
            for one in parse_mailboxes(field.value, "To")
        ]
        sender = parse_address(call.from_email.strip()) if call.from_email else authors[0] if authors else None
    except HeaderError as error:
        return invalid("raw_message", error.reason)
    except AddressError as error:
        return invalid("from_email", str(error))
    if sender is None:
        return invalid("from_email", "neither this field nor the message names a sender")
    found: dict[str, tuple[str, Address]] = {}
    wrong: list[str] = []
    for text in call.to or named:
        try:
            addresses = parse_mailboxes(text.encode("utf-8", "replace"), "to")
        except HeaderError:
            wrong.append(text)
            continue
        for one in addresses:
            found.setdefault(one.key, (str(one) if len(addresses) > 1 or "<" in text else text, one))
    if not found and not wrong:
        return invalid("to", "name at least one recipient")
    everybody = tuple(address for _, address in found.values())
    utf8 = not split_content(raw)[0].isascii() or any(one.needs_smtputf8 for one in (sender, *everybody))
    envelope = Envelope(sender, tuple(map(Recipient, everybody)), smtputf8=utf8)
    return Letter(envelope, tuple(text for text, _ in found.values()), None, raw, (), {}), tuple(wrong)
