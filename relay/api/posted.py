"""From a posted document to a submission: parsed, checked, composed; or a problem that names the field.

Pure but for the entropy of MIME boundaries, so a large one can be made in a thread.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pydantic import ValidationError

from relay.api.mailbox import Mailbox
from relay.api.models import MessageRequest
from relay.api.problem import FieldError, Problem, from_validation, invalid
from relay.ids import Entropy
from relay.mail.address import Address
from relay.mail.compose import Attachment, Draft, compose
from relay.mail.envelope import Envelope, Recipient
from relay.mail.header import HeaderError

_BAD_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_COMPOSING = ("cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments")
_FIELDS = frozenset(field.alias or name for name, field in MessageRequest.model_fields.items())


@dataclass(frozen=True, slots=True)
class Posted:
    """What the caller wants sent. `digest` tells this request from any other under the same key."""

    request: MessageRequest
    envelope: Envelope
    content: bytes
    digest: bytes


def read_posted(body: bytes | bytearray, max_recipients: int, entropy: Entropy) -> Posted | Problem:
    """The message in a JSON body, or everything that is wrong with it."""
    try:
        request = MessageRequest.model_validate_json(body)
    except ValidationError as error:
        return from_validation(error)
    recipients = _recipients(request)
    errors = _contradictions(request, len(recipients), max_recipients)
    if errors:
        return invalid(*errors)
    try:
        content = _compose(request, entropy) if request.raw is None else request.raw
    except HeaderError as error:
        return invalid(FieldError(field_of(error.field, request) or "headers", error.reason))
    shown = [request.from_, *request.to, *request.cc, *([request.reply_to] if request.reply_to else [])]
    smtputf8 = any(a.needs_smtputf8 for a in [*(box.address for box in shown), *recipients])
    if request.raw is not None:
        smtputf8 = smtputf8 or not content.partition(b"\r\n\r\n")[0].isascii()
    return Posted(
        request,
        Envelope(request.from_.address, tuple(Recipient(address) for address in recipients), smtputf8=smtputf8),
        content,
        hashlib.sha256(request.model_dump_json(by_alias=True, exclude_defaults=True).encode()).digest(),
    )


def _recipients(request: MessageRequest) -> tuple[Address, ...]:
    """Everybody the envelope names, each mailbox once, in the order of the request."""
    distinct: dict[str, Address] = {}
    for box in (*request.to, *request.cc, *request.bcc):
        distinct.setdefault(box.address.key, box.address)
    return tuple(distinct.values())


def _contradictions(request: MessageRequest, recipients: int, most: int) -> list[FieldError]:
    errors: list[FieldError] = []
    if not recipients:
        errors.append(FieldError("to", "name at least one recipient"))
    if recipients > most:
        errors.append(FieldError("to", f"a message has at most {most} recipients, Cc and Bcc included"))
    if request.raw is None:
        if request.text is None and request.html is None and not request.attachments:
            errors.append(FieldError("text", "write text, html or attachments, or give the whole message as raw"))
        return errors
    errors += [
        FieldError(name, "this does not go together with raw, which is a whole message")
        for name in _COMPOSING
        if getattr(request, name) != MessageRequest.model_fields[name].default
    ]
    if wrong := _BAD_LINE_END.search(request.raw):
        line = request.raw.count(b"\r\n", 0, wrong.start()) + 1
        errors.append(FieldError("raw", f"line {line} does not end with CRLF; every line must (RFC 5322 §2.1)"))
    return errors


def _compose(request: MessageRequest, entropy: Entropy) -> bytes:
    draft = Draft(
        sender=_pair(request.from_),
        to=tuple(_pair(box) for box in request.to),
        cc=tuple(_pair(box) for box in request.cc),
        reply_to=(_pair(request.reply_to),) if request.reply_to else (),
        subject=request.subject,
        text=request.text or "",
        html=request.html or "",
        headers=request.headers,
        attachments=tuple(Attachment(a.filename, a.content_type, a.content) for a in request.attachments),
    )
    return compose(draft, entropy)


def _pair(box: Mailbox) -> tuple[str, Address]:
    return box.name, box.address


def field_of(complaint: str, request: MessageRequest) -> str:
    """The request's field behind what a check complained of: a header field's name, or a path into the request."""
    if request.raw is not None:
        return complaint if complaint in {"from", "to", "Idempotency-Key"} else "raw"
    if complaint in request.headers:
        return f"headers.{complaint}"
    name = complaint.lower().replace("-", "_")
    if complaint == "Idempotency-Key" or re.split(r"[.\[]", complaint)[0] in _FIELDS - {"raw"}:
        return complaint
    return name if name in _FIELDS - {"raw"} else ""
