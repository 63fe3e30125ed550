"""The delivery status notification we write: what became of a mail, for its sender's eyes and programs.

Tenth step of the path. A multipart/report (RFC 6522) of three parts: a plain human text, one block per
recipient in message/delivery-status (RFC 3464), and the original's header or, where it was asked for and is
small, the whole original. The body is seven-bit, so any host takes it; if the sender's own mailbox is UTF-8
the forms of RFC 6533 are used. It leaves through intake, which adds Date and Message-ID, from the null path.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from relay.mail.address import Address
from relay.mail.date import format_date
from relay.mail.encoding import base64_lines, encode_text
from relay.mail.envelope import Return
from relay.mail.header import fold_field, format_address_field, format_field, split_content
from relay.report.wording import Action, subject, wording
from relay.smtp.reply import Reply, strip_enhanced

MAX_RETURNED: Final = 100_000
"""Octets of an original that is returned whole; above, only its header is."""

_MAX_VALUE: Final = 900
"""Octets; with the field's name this stays under the 998 of a line, even where nothing can be folded."""
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_UNPRINTABLE = re.compile(r"[^ -~\u00a0-\U0010ffff]")
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")  # RFC 6533 §3


@dataclass(frozen=True, slots=True)
class ReportRecipient:
    """One recipient and what became of the duty toward it.

    `status` is what `status_of` gives; `reply` the last answer, the far side's if `remote_mta` names who gave
    it, otherwise our own words; `orcpt` the decoded `type;text` of RFC 3461 §4.2.
    """

    address: Address
    action: Action
    status: str
    orcpt: str | None = None
    remote_mta: str = ""
    reply: Reply | None = None
    last_attempt: datetime | None = None
    will_retry_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one DSN says: `sender` is its From (name, address), `to` the reverse-path, `original` content as it left.

    An empty `original`, one that was forgotten already, leaves the third part out (RFC 6522 §3).
    """

    sender: tuple[str, Address]
    to: Address
    reporting_mta: str
    recipients: tuple[ReportRecipient, ...]
    original: bytes
    arrival: datetime | None = None
    envid: str | None = None
    """Decoded, as given in MAIL FROM."""
    ret: Return | None = None


def status_of(action: Action, reply: Reply | None) -> str:
    """The Status of a recipient: the reply's own enhanced code if valid, else what its code stands for.

    A temporary answer stays 4.x.x while we try; once we give up, the failure is 5.4.7, delivery time expired
    (RFC 3463 §3.5, RFC 3464 §2.3.4). An answer that contradicts the action counts for nothing.
    """
    if action is Action.FAILED and reply is not None and reply.transient:
        return "5.4.7"
    digit = {Action.FAILED: 5, Action.DELAYED: 4, Action.DELIVERED: 2, Action.RELAYED: 2}[action]
    if reply is None or reply.code // 100 != digit:
        return f"{digit}.0.0"
    return reply.status


def build_dsn(report: Report) -> bytes:
    """The DSN as content with CRLF line ends. ValueError without recipients; HeaderError for an unlawful name."""
    if not report.recipients:
        raise ValueError("a report needs a recipient")
    international = report.to.needs_smtputf8
    human = encode_text(wording(report.reporting_mta, [_story(one) for one in report.recipients]))
    parts = [
        f"Content-Type: text/plain; charset={human.charset}\r\n"
        f"Content-Transfer-Encoding: {human.encoding}\r\n\r\n".encode()
        + human.body,
        _status_part(report, international=international),
    ]
    if report.original:
        parts.append(_original_part(report))
    boundary = _boundary(parts)
    header = b"".join(
        (
            format_address_field("From", [report.sender]),
            format_address_field("To", [("", report.to)]),
            format_field("Subject", subject([one.action for one in report.recipients])),
            b"Auto-Submitted: auto-replied\r\n",  # RFC 3834 §5
            b"MIME-Version: 1.0\r\n",
            f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"\r\n'.encode(),
        )
    )
    mark = b"--" + boundary.encode()
    pieces = [mark + b"\r\n" + part + b"\r\n" for part in parts]
    return header + b"\r\n" + b"".join(pieces) + mark + b"--\r\n"


def _story(one: ReportRecipient) -> tuple[Action, str, str, str, str, datetime | None]:
    said = _said(one.reply) if one.reply else ""
    return one.action, str(one.address), one.status, one.remote_mta, said, one.will_retry_until


def _status_part(report: Report, *, international: bool) -> bytes:
    message = [_line("Reporting-MTA", f"dns; {report.reporting_mta}")]
    if report.envid:
        message.insert(0, _line("Original-Envelope-Id", report.envid))
    if report.arrival:
        message.append(_line("Arrival-Date", format_date(report.arrival)))
    blocks = [b"".join(message)]
    blocks += [_recipient_block(one, international=international) for one in report.recipients]
    body = b"\r\n".join(blocks)
    if not international:
        # A far side may name itself in any octets; what is no ASCII tells this reader nothing (RFC 3464 §2.1.1).
        body = _NOT_ASCII.sub(b"?", body)
        return b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + body
    if body.isascii():
        return b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + body
    return _encoded_part("message/global-delivery-status", body)


def _recipient_block(one: ReportRecipient, *, international: bool) -> bytes:
    fields: list[tuple[str, str]] = []
    if one.orcpt:
        kind, _, text = one.orcpt.partition(";")
        fields.append(("Original-Recipient", _typed(kind.strip(), text.strip(), international=international)))
    fields += [
        ("Final-Recipient", _typed("rfc822", str(one.address), international=international)),
        ("Action", one.action.value),
        ("Status", one.status),
    ]
    if one.remote_mta:
        fields.append(("Remote-MTA", f"dns; {one.remote_mta}"))
    if one.reply:
        diagnostic = f"{'smtp' if one.remote_mta else 'x-relay'}; {_said(one.reply)}"
        fields.append(("Diagnostic-Code", diagnostic if international else re.sub(r"[^\x00-\x7f]", "?", diagnostic)))
    if one.last_attempt:
        fields.append(("Last-Attempt-Date", format_date(one.last_attempt)))
    if one.will_retry_until and one.action is Action.DELAYED:  # RFC 3464 §2.3.9: for delayed recipients only
        fields.append(("Will-Retry-Until", format_date(one.will_retry_until)))
    return b"".join(_line(name, value) for name, value in fields)


def _said(reply: Reply) -> str:
    """A reply in one line, its enhanced code once."""
    first, *others = str(Reply(reply.code, reply.lines[:1], reply.enhanced)), *reply.lines[1:]
    return " ".join([first, *(strip_enhanced(line) for line in others)])[:_MAX_VALUE]


def _typed(kind: str, text: str, *, international: bool) -> str:
    """An address with its type; UTF-8 ones become `utf-8`, spelled in ASCII unless the reader takes UTF-8."""
    if text.isascii():
        return f"{kind}; {text}"
    return f"utf-8; {text if international else _NOT_QCHAR.sub(_embedded, text)}"


def _embedded(found: re.Match[str]) -> str:
    """A character as RFC 6533 §3 embeds it in ASCII."""
    return f"\\x{{{ord(found[0]):02X}}}"


def _line(name: str, value: str) -> bytes:
    """A field of a status block: nothing in it can begin another line."""
    shown = _UNPRINTABLE.sub("?", value).encode("utf-8", "replace")[:_MAX_VALUE].decode("utf-8", "ignore")
    return fold_field(name, shown)


def _original_part(report: Report) -> bytes:
    header, _ = split_content(report.original)
    failed = any(one.action is Action.FAILED for one in report.recipients)
    small = len(report.original) <= MAX_RETURNED and report.original.isascii()
    if report.ret is Return.FULL and failed and small:  # RFC 3461 §4.3: RET concerns failures only
        return b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + report.original
    if header.isascii():
        return b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + header
    return _encoded_part("message/global-headers", header)


def _encoded_part(kind: str, body: bytes) -> bytes:
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
    return head + base64_lines(body) + b"\r\n"


def _boundary(parts: list[bytes]) -> str:
    """A delimiter made from the parts themselves: no part can have been written with it in mind (RFC 2046 §5.1.1)."""
    digest = hashlib.sha256(b"\0".join(parts))
    while True:
        boundary = f"=_{digest.hexdigest()[:32]}"
        if not any(boundary.encode() in part for part in parts):
            return boundary
        digest.update(b"\0")
