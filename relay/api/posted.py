"""From a posted document to a submission: parsed, checked, composed; or a problem that names the field.

Pure but for the entropy of MIME boundaries, so a large one can be made in a thread. A message that is the body of its
request has its content read by `relay.api.raw_message`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from relay.api.mailbox import Mailbox
from relay.api.models import MessageRequest
from relay.api.problem import FieldError, Problem, from_validation, invalid
from relay.ids import Entropy
from relay.mail.address import Address
from relay.mail.compose import Attachment, Draft, compose
from relay.mail.envelope import Envelope, Recipient
from relay.mail.header import HeaderError
from relay.spool.work import StoredBody

_BAD_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_COMPOSING = ("cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments")
_RECIPIENTS = ("to", "cc", "bcc")
_COMPOSED = frozenset({"from", "to", *_COMPOSING, "tags", "metadata", "send_at", "expires_at", "stream", "unsubscribe"})


@dataclass(frozen=True, slots=True)
class Posted:
    """What the caller wants sent. `digest` tells this request from any other under the same key."""

    envelope: Envelope
    content: bytes
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    send_at: datetime | None
    expires_at: datetime | None
    digest: bytes
    is_raw: bool
    stream: str
    unsubscribe: bool | None
    own_headers: frozenset[str]
    """The names in `headers`, as the caller wrote them."""
    body: StoredBody | None = None
    """Of a large message that was written to the spool while it was read; `content` is then its header."""

    def field_of(self, complaint: str) -> str:
        """The request's field behind what intake complained of ("" = none of them)."""
        return _field_of(complaint, self.own_headers, is_raw=self.is_raw)


def read_posted(body: bytes | bytearray, max_recipients: int, entropy: Entropy) -> Posted | Problem:
    """The message in a JSON body, or everything that is wrong with it."""
    try:
        request = MessageRequest.model_validate_json(body)
    except ValidationError as error:
        return _complete(from_validation(error), error)
    recipients = _recipients(request)
    errors = [*_miscounted(len(recipients), max_recipients), *_contradictions(request)]
    if errors:
        return invalid(*errors)
    try:
        content = _compose(request, entropy) if request.raw is None else request.raw
    except HeaderError as error:
        field = _field_of(error.field, request.headers, is_raw=False)
        return invalid(FieldError(field or "headers", error.reason))
    posted = _posted(request, recipients, content)
    return posted if request.raw is None else with_content(posted, content)


def read_envelope(document: str, max_recipients: int) -> Posted | Problem:
    """What goes with a message that is the request's body, of which nothing was read yet; or what is wrong with it."""
    try:
        request = MessageRequest.model_validate_json(document)
    except ValidationError as error:
        return _complete(from_validation(error), error)
    recipients = _recipients(request)
    errors = [*_miscounted(len(recipients), max_recipients), *_written(request, (*_COMPOSING, "raw"), "the body")]
    return invalid(*errors) if errors else replace(_posted(request, recipients, b""), is_raw=True)


def with_content(posted: Posted, content: bytes) -> Posted:
    """The same with a whole message, or its header."""
    end = content.find(b"\r\n\r\n")
    smtputf8 = posted.envelope.smtputf8 or not content[: len(content) if end < 0 else end].isascii()
    return replace(posted, content=content, envelope=replace(posted.envelope, smtputf8=smtputf8))


def _posted(request: MessageRequest, recipients: tuple[Address, ...], content: bytes) -> Posted:
    shown = [request.from_, *request.to, *request.cc, *([request.reply_to] if request.reply_to else [])]
    smtputf8 = any(a.needs_smtputf8 for a in [*(box.address for box in shown), *recipients])
    return Posted(
        envelope=Envelope(
            request.from_.address, tuple(Recipient(address) for address in recipients), smtputf8=smtputf8
        ),
        content=content,
        tags=tuple(request.tags),
        metadata=request.metadata,
        send_at=request.send_at,
        expires_at=request.expires_at,
        digest=hashlib.sha256(request.model_dump_json(by_alias=True, exclude_defaults=True).encode()).digest(),
        is_raw=request.raw is not None,
        stream=request.stream,
        unsubscribe=request.unsubscribe,
        own_headers=frozenset(request.headers),
    )


def _recipients(request: MessageRequest) -> tuple[Address, ...]:
    """Everybody the envelope names, each mailbox once, in the order of the request."""
    distinct: dict[str, Address] = {}
    for box in (*request.to, *request.cc, *request.bcc):
        distinct.setdefault(box.address.key, box.address)
    return tuple(distinct.values())


def _complete(problem: Problem, error: ValidationError) -> Problem:
    """`problem` with the complaint of nobody in `to`, which is otherwise found only in a document without faults."""
    if not problem.errors or problem.errors[0].field != "from":
        return problem
    document = error.errors(include_url=False, include_context=False)[0]["input"]  # the whole of it, of what is missing
    if not isinstance(document, dict) or any(document.get(name) for name in _RECIPIENTS):
        return problem
    return replace(problem, errors=(*problem.errors, *_miscounted(0, 1)))


def _miscounted(recipients: int, most: int) -> list[FieldError]:
    if not recipients:
        return [FieldError("to", "name at least one recipient")]
    if recipients > most:
        return [FieldError("to", f"a message has at most {most} recipients, Cc and Bcc included")]
    return []


def _contradictions(request: MessageRequest) -> list[FieldError]:
    if request.raw is None:
        if request.text is None and request.html is None and not request.attachments:
            return [FieldError("text", "write text, html or attachments, or give the whole message as raw")]
        return []
    errors = _written(request, _COMPOSING, "raw")
    if (line := _bad_line(request.raw)) is not None:
        errors.append(FieldError("raw", f"line {line} does not end with CRLF; every line must (RFC 5322 §2.1)"))
    return errors


def _written(request: MessageRequest, names: Collection[str], whole: str) -> list[FieldError]:
    """Complaints of the fields that were written although `whole` is the message."""
    return [
        FieldError(name, f"this does not go together with {whole}, which is a whole message")
        for name in names
        if getattr(request, name) != MessageRequest.model_fields[name].default
    ]


def _bad_line(raw: bytes) -> int | None:
    """The number of the first line that ends with a bare CR or LF."""
    pairs = raw.count(b"\r\n")
    if raw.count(b"\r") == raw.count(b"\n") == pairs:  # ten times faster than the search, and the usual case
        return None
    wrong = _BAD_LINE_END.search(raw)
    return None if wrong is None else raw.count(b"\r\n", 0, wrong.start()) + 1


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


def _field_of(complaint: str, own_headers: Collection[str], *, is_raw: bool) -> str:
    """The request's field behind a complaint that names a header field, or a path into the request."""
    if complaint == "Idempotency-Key" or not complaint:
        return complaint
    if is_raw:
        return complaint if complaint in {"from", "to", "send_at", "expires_at"} else "raw"
    if complaint in own_headers:
        return f"headers.{complaint}"
    if re.split(r"[.\[]", complaint)[0] in _COMPOSED:
        return complaint
    name = complaint.lower().replace("-", "_")
    return name if name in _COMPOSED else ""
