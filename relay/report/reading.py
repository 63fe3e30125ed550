"""What came back: any message → a `Reading` that says what it is and whom it concerns (G12–G16).

The first step of hearing back, after the inbound door took a message and before anybody believes it. Pure, and
never raises for what a message contains. The order decides: notifications in JSON, complaints and aggregate reports
carry their own type; then the machine-readable delivery report (RFC 3464); then automatic answers, which are never
bounces; then free text, by our reader first and flufl.bounce where it finds nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from relay.report.aggregate import read_document
from relay.report.automatic import Automatic, read_automatic
from relay.report.classifier import Classifier, Refusal
from relay.report.delivery_status import Block, DeliveryStatus, find_status
from relay.report.feedback import Complaint, read_complaint
from relay.report.freetext import TextBounce, read_notice
from relay.report.mime import Part, parse
from relay.report.notification import read_notification
from relay.report.result import Kind, Means, Original, Reading, Recipient, Said
from relay.report.returned import addressees, returned_part
from relay.report.rules import load_rules
from relay.report.second import second_opinion
from relay.report.signs import Signs, read_signs
from relay.report.words import find_addresses, find_code, find_enhanced

ENOUGH: Final = 5
"""Points of header and text together that make free text a bounce."""

MAX_RECIPIENTS: Final = 500
_DAEMON_WEIGHT: Final = 3
_OPENING: Final = 3
"""Points of a text that begins as reports do."""
_NOBODY: Final = frozenset({"unknown-host", "unknown-user"})
_WORDLESS: Final = frozenset({"unmatched"})


@lru_cache(maxsize=4)
def shared_classifier(path: Path | None = None) -> Classifier:
    """The classifier of a rules file, or of the rules that came with the program. Raises ConfigurationError."""
    return Classifier(load_rules(path))


def read_report(raw: bytes, classifier: Classifier | None = None) -> Reading:
    """What the message in `raw` says. Raises nothing for its content; ConfigurationError without rules."""
    message = parse(raw)
    signs = read_signs(message)
    reading = _Reader(raw, message, signs, classifier or shared_classifier()).read()
    return replace(reading, addressed_to=signs.addressed_to, returned_to=_returned_to(reading.original))


def _returned_to(original: Original) -> tuple[str, ...]:
    found: list[str] = []
    for name in ("return-path", "x-envelope-from", "envelope-from", "errors-to", "sender", "from"):
        found += [one for one in find_addresses(original.first(name)[:1000]) if one not in found]
    return tuple(found[:20])


class _Reader:
    """One message on its way through the readers."""

    __slots__ = ("_classifier", "_message", "_raw", "_signs")

    def __init__(self, raw: bytes, message: Part, signs: Signs, classifier: Classifier) -> None:
        self._raw = raw
        self._message = message
        self._signs = signs
        self._classifier = classifier

    def read(self) -> Reading:
        notification = read_notification(self._message)
        if isinstance(notification, tuple):
            recipients = tuple(self._recipient(one, one.diagnostic) for one in notification)
            return Reading(Kind.BOUNCE, recipients, Means.STATUS, detail="notification in JSON")
        complaint = notification or read_complaint(self._message, self._signs)
        if complaint is not None:
            return _complained(complaint)
        document = read_document(self._message, self._signs)
        if document is not None:
            return Reading(Kind.REPORT, document=document, detail=f"aggregate report: {document.form}")
        status = find_status(self._message, loosely=self._signs.weight >= _DAEMON_WEIGHT)
        if status is not None:
            return self._reported(status)
        automatic = read_automatic(self._message, self._signs)
        if automatic is not None and automatic.certain and self._signs.weight < _DAEMON_WEIGHT:
            return _answered(automatic)
        bounce = self._text_bounce() if self._signs.weight >= _DAEMON_WEIGHT else None
        if (bounce is None or self._wordless()) and (status := find_status(self._message, enclosed=True)):
            return self._reported(status)
        bounce = bounce or self._text_bounce()
        if bounce is not None:
            return bounce
        return _answered(automatic) if automatic is not None else Reading(Kind.OTHER)

    def _reported(self, status: DeliveryStatus) -> Reading:
        """A delivery report by RFC 3464; what its blocks leave out is taken from the text beside them."""
        container = _container_of(self._message)
        original = returned_part(container) or Original()
        text: TextBounce | None = None
        if any(not _is_address(block.address) or not block.diagnostic for block in status.blocks):
            text = read_notice(container, self._signs, container=container)
            original = original if original.fields else text.original or original
        spare = self._spare_addresses(status.blocks, text, original)
        recipients: dict[str, Recipient] = {}
        for block in status.blocks[:MAX_RECIPIENTS]:
            address = block.address if _is_address(block.address) or not spare else spare.pop(0)
            recipient = self._from_block(replace(block, address=address), text)
            known = recipients.get(address.lower())
            if known is None or (recipient.failed and not known.failed):
                recipients[address.lower()] = recipient
        return Reading(
            Kind.BOUNCE,
            tuple(recipients.values()),
            Means.STATUS,
            reporting_mta=status.reporting_mta,
            envid=status.envid,
            original=original,
            detail="delivery-status part (RFC 3464)",
        )

    def _spare_addresses(self, blocks: Sequence[Block], text: TextBounce | None, original: Original) -> list[str]:
        """Addresses for blocks that name none: told elsewhere and in no other block."""
        named = {block.address.lower() for block in blocks}
        told = [*self._signs.failed, *((one.address for one in text.recipients) if text else ())]
        told += addressees(original)
        return [one for one in dict.fromkeys(told) if one.lower() not in named]

    def _from_block(self, block: Block, text: TextBounce | None) -> Recipient:
        words = block.diagnostic
        if text is not None and not words and block.status[-2:] in ("", ".0"):  # a finer Status needs no words
            words = next((one.diagnostic for one in text.recipients if one.address == block.address), "") or text.notice
        recipient = self._recipient(
            Recipient(block.address, block.action, block.status, diagnostic=block.diagnostic, code=block.code),
            words,
            host=block.remote_mta,
        )
        return replace(recipient, remote_mta=block.remote_mta, final_address=block.final_address)

    def _recipient(self, known: Recipient, words: str, *, host: str = "", notice: str = "") -> Recipient:
        """`known` with its reason; `notice` is asked when its own words say nothing to any rule."""
        if known.action in (Said.DELIVERED, Said.RELAYED, Said.EXPANDED):
            return replace(known, reason=known.action.value)
        provider = self._classifier.provider_of(host, known.address.rpartition("@")[2])
        code = known.code if known.code is not None else find_code(words)
        status = known.status
        if status == "5.0.0" and code is not None and code < 500:
            status = ""  # a class only, and the far side said "later": its word counts
        elif status == "4.0.0" and code is None and known.failed and self._hopeless(words, provider):
            status = ""  # given up, and the words say that there is nobody: a class without a reply says less
        bare = bool(notice) and find_code(words) is None and not find_enhanced(words)
        refusal = Refusal(words, None, "", provider) if bare else Refusal(words, code, status, provider)
        meaning = self._classifier.classify(refusal)
        if meaning.rule in _WORDLESS and notice:
            meaning = self._classifier.classify(Refusal(notice, code, status, provider))
        elif bare and known.status[:1] == "4":
            meaning = replace(meaning, permanent=False)
        permanent = known.action is Said.FAILED and meaning.permanent
        if meaning.rule in _WORDLESS and not known.status and code is None:
            permanent = known.action is Said.FAILED
        return replace(
            known, reason=meaning.reason, scope=meaning.scope, rule=meaning.rule, permanent=permanent, code=code
        )

    def _hopeless(self, words: str, provider: str) -> bool:
        return self._classifier.classify(Refusal(words, None, "", provider)).reason in _NOBODY

    def _wordless(self) -> bool:
        """Whether the mail itself says nothing, and only what it encloses may."""
        return read_notice(self._message, self._signs).evidence == 0

    def _text_bounce(self) -> Reading | None:
        weight = self._signs.weight
        if weight < 1 and not (weight >= -1 and self._message.kind.startswith(("text/", "multipart/"))):
            return None
        text = read_notice(self._message, self._signs)
        if weight + text.evidence < ENOUGH:
            return None
        if (
            text.evidence == 0
            and self._message.first("return-path")
            and not (self._signs.null_path or self._signs.failed)
        ):
            return None  # a program's name and a subject, and not a word of failure: a postmaster answers
        means, found = self._found(text)
        if not found and (weight < 2 or (weight < ENOUGH and text.evidence < _OPENING)):
            return None  # a postmaster is also a person, who may write about a refusal
        recipients = [self._from_words(*one, text) for one in found[:MAX_RECIPIENTS]]
        return Reading(
            Kind.BOUNCE,
            tuple(recipients),
            means,
            original=text.original or Original(),
            detail=f"signs of the header {weight}, of the text {text.evidence}; {ENOUGH} are needed",
        )

    def _found(self, text: TextBounce) -> tuple[Means, list[tuple[str, str, Said]]]:
        """Address, words and action of each recipient: ours, unless flufl.bounce finds fewer of them or others."""
        words = {one.address.lower(): one.diagnostic for one in text.recipients}
        ours = [(one.address, one.diagnostic, text.action) for one in text.recipients]
        named = [
            one
            for one in dict.fromkeys(address for part in second_opinion(self._raw) for address in part)
            if one.lower() in words or one.lower() not in text.others
        ]
        theirs = {one.lower() for one in named}
        plain = {one.address.lower() for one in text.recipients if one.plain}
        if not named or (ours and (theirs | plain >= words.keys() or theirs.isdisjoint(words))):
            return Means.TEXT, ours
        order = list(words)
        named.sort(key=lambda one: order.index(one.lower()) if one.lower() in words else len(order))
        return Means.SECOND, [(one, words.get(one.lower(), ""), text.action) for one in named]

    def _from_words(self, address: str, words: str, action: Said, text: TextBounce) -> Recipient:
        notice = f"{self._signs.subject} {text.notice}"
        own = len(text.recipients) > 1 or find_code(words) is not None or bool(find_enhanced(words))
        source = words if own else f"{words} {text.notice}"
        known = Recipient(
            address, action, find_enhanced(source), diagnostic=words or text.notice[:400], code=find_code(source)
        )
        if not known.status and known.code is not None:
            known = replace(known, status=f"{known.code // 100}.0.0")
        return self._recipient(known, words or notice, notice=notice)


def _container_of(message: Part) -> Part:
    """The entity whose child is the delivery-status part: the report itself, also where a mail wraps it."""
    for part in message.walk():
        if any(child.kind.endswith("delivery-status") for child in part.children):
            return part
    return message


def _is_address(text: str) -> bool:
    return "@" in text


def _complained(complaint: Complaint) -> Reading:
    recipients = tuple(
        Recipient(
            address,
            Said.COMPLAINED,
            reason=complaint.feedback_type,
            permanent=complaint.standing,
            rule="feedback-report",
            scope="recipient",
        )
        for address in complaint.recipients
    )
    return Reading(
        Kind.COMPLAINT,
        recipients,
        Means.FEEDBACK,
        envid=complaint.envid,
        original=complaint.original,
        feedback_type=complaint.feedback_type,
        reported_domain=complaint.reported_domain,
        source_ip=complaint.source_ip,
        detail="feedback report (RFC 5965)",
    )


def _answered(automatic: Automatic) -> Reading:
    return Reading(automatic.kind, means=Means.HEADER if automatic.certain else Means.TEXT, detail=automatic.sign)
