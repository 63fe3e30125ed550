"""Delivery reports as many programs write them: a plain one, and the ways in which real ones differ from it."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

Block = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The pieces of a multipart/report; `blocks` are the recipients' fields."""

    blocks: tuple[Block, ...]
    message: Block = (("Reporting-MTA", "dns; mx.near.example"), ("Arrival-Date", "Tue, 12 Mar 2019 10:00:00 +0100"))
    human: str = "Your message could not be delivered. See below.\n"
    original: str = (
        "Return-Path: <b-token@bounces.leak.example>\nFrom: sender@leak.example\nTo: ann@far.example\n"
        "Message-ID: <original@leak.example>\nSubject: Hello\n"
    )
    header: str = (
        "Return-Path: <>\nFrom: MAILER-DAEMON@near.example\nTo: b-token@bounces.leak.example\nSubject: Undelivered\n"
    )

    def build(self) -> bytes:
        """The report with LF line ends."""
        status = "\n".join(_lines(block) for block in (self.message, *self.blocks))
        return self.around("message/delivery-status", status.encode())

    def around(self, kind: str, status: bytes, encoding: str = "") -> bytes:
        """The report with this body as its second part."""
        transfer = f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
        return (
            (
                f"{self.header}MIME-Version: 1.0\n"
                'Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"\n\n'
                f"--=_b\nContent-Type: text/plain\n\n{self.human}\n--=_b\nContent-Type: {kind}\n{transfer}\n"
            ).encode()
            + status
            + f"\n--=_b\nContent-Type: message/rfc822\n\n{self.original}\nHello\n--=_b--\n".encode()
        )


def _lines(block: Block) -> str:
    return "".join(f"{name}: {value}\n" for name, value in block)


def failed(
    address: str = "ann@far.example", status: str = "5.1.1", said: str = "550 5.1.1 <ann@far.example>: user unknown"
) -> Block:
    """A recipient that failed."""
    return (
        ("Final-Recipient", f"rfc822; {address}"),
        ("Action", "failed"),
        ("Status", status),
        ("Remote-MTA", "dns; mx.far.example"),
        ("Diagnostic-Code", f"smtp; {said}"),
    )


PLAIN = Report((failed(),))


def _status(report: Report = PLAIN) -> str:
    return "\n".join(_lines(block) for block in (report.message, *report.blocks))


def _without(name: str) -> bytes:
    return replace(PLAIN, blocks=(tuple(pair for pair in PLAIN.blocks[0] if pair[0] != name),)).build()


def _mapped(change: Callable[[str, str], tuple[str, str]]) -> bytes:
    return replace(PLAIN, blocks=(tuple(change(*pair) for pair in PLAIN.blocks[0]),)).build()


def variants() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of reports that all say: ann@far.example failed, 5.1.1, nobody of that name."""
    plain = PLAIN.build()
    yield "plain", plain
    yield "crlf", plain.replace(b"\n", b"\r\n")
    yield "cr", plain.replace(b"\n", b"\r")
    yield "mbox line", b"From MAILER-DAEMON Tue Mar 12 10:00:00 2019\n" + plain
    yield "leading blank lines", b"\r\n\n" + plain
    yield (
        "types in capitals",
        plain.replace(b"message/delivery-status", b"MESSAGE/DELIVERY-STATUS").replace(
            b"multipart/report; report-type=delivery-status", b"Multipart/REPORT; Report-Type=Delivery-Status"
        ),
    )
    yield "report-type missing", plain.replace(b"report-type=delivery-status; ", b"")
    yield "multipart/mixed", plain.replace(b"multipart/report; report-type=delivery-status", b"multipart/mixed")
    yield "no third part", plain[: plain.index(b"\n--=_b\nContent-Type: message/rfc822")] + b"\n--=_b--\n"
    yield "no first part", plain.replace(b"--=_b\nContent-Type: text/plain\n\n" + PLAIN.human.encode() + b"\n", b"", 1)
    yield "unclosed", plain.replace(b"--=_b--\n", b"")
    yield "boundary missing", plain.replace(b'; boundary="=_b"', b"")
    yield "boundary wrong", plain.replace(b'boundary="=_b"', b'boundary="other"')
    yield "base64", PLAIN.around("message/delivery-status", base64.encodebytes(_status().encode()), "base64")
    yield (
        "quoted-printable",
        PLAIN.around("message/delivery-status", quopri.encodestring(_status().encode()), "quoted-printable"),
    )
    yield (
        "Base64 in capitals",
        PLAIN.around("message/delivery-status", base64.encodebytes(_status().encode()), "BASE64"),
    )
    yield (
        "folded",
        plain.replace(b"smtp; 550 5.1.1", b"smtp;\n    550\n\t5.1.1").replace(b"rfc822; ann", b"rfc822;\n ann"),
    )
    yield "folded without white space", plain.replace(b": user unknown", b"\nuser unknown in our list")
    yield (
        "empty lines between all fields",
        PLAIN.around("message/delivery-status", _status().replace("\n", "\n\n").encode()),
    )
    yield "no empty line at all", PLAIN.around("message/delivery-status", _status().replace("\n\n", "\n").encode())
    yield (
        "white space on the empty line",
        PLAIN.around("message/delivery-status", _status().replace("\n\n", "\n \t\n").encode()),
    )
    yield "fields in capitals", _mapped(lambda name, value: (name.upper(), value))
    yield "fields in small", _mapped(lambda name, value: (name.lower(), value))
    yield "no white space after colon", plain.replace(b": ", b":")
    yield "white space before colon", PLAIN.around("message/delivery-status", _status().replace(": ", " : ").encode())
    yield "Action in capitals", plain.replace(b"Action: failed", b"Action: FAILED")
    yield "Action with a comment", plain.replace(b"Action: failed", b"Action: failed (fatal)")
    yield "Action as another word", plain.replace(b"Action: failed", b"Action: failure")
    yield "Action: error", plain.replace(b"Action: failed", b"Action: error")
    yield "Action missing", _without("Action")
    yield "Status missing", _without("Status")
    yield "Status with words", plain.replace(b"Status: 5.1.1", b"Status: 5.1.1 (bad destination mailbox address)")
    yield "Status of the class only", plain.replace(b"Status: 5.1.1", b"Status: 5.0.0")
    yield "Diagnostic missing", _without("Diagnostic-Code")
    yield "Diagnostic without type", plain.replace(b"smtp; 550", b"550")
    yield "Remote-MTA missing", _without("Remote-MTA")
    yield "Final-Recipient missing", _without("Final-Recipient")
    yield "Original-Recipient instead", plain.replace(b"Final-Recipient", b"Original-Recipient")
    yield (
        "both recipients",
        plain.replace(b"Final-Recipient", b"Original-Recipient: rfc822;ann@far.example\nFinal-Recipient"),
    )
    yield (
        "forwarded to another address",
        plain.replace(
            b"Final-Recipient: rfc822; ann@far.example",
            b"Original-Recipient: rfc822;ann@far.example\nFinal-Recipient: rfc822;other@else.example",
        ),
    )
    yield "Final-Recipient without type", plain.replace(b"rfc822; ann@far.example", b"ann@far.example")
    yield "Final-Recipient in brackets", plain.replace(b"rfc822; ann@far.example", b"RFC822; <ann@far.example>")
    yield "Final-Recipient with a comment", plain.replace(b"rfc822; ann@far.example", b"rfc822; ann@far.example (Ann)")
    yield (
        "local name, actual recipient",
        plain.replace(
            b"Final-Recipient: rfc822; ann@far.example",
            b"Final-Recipient: X-LOCAL; ann\nX-Actual-Recipient: rfc822; ann@far.example",
        ),
    )
    yield "local name only", plain.replace(b"Final-Recipient: rfc822; ann@far.example", b"Final-Recipient: LOCAL;ann")
    yield "xtext left encoded", plain.replace(b"rfc822; ann@far.example", b"rfc822; ann+40far.example")
    yield "X-Display-Name between", plain.replace(b"Action: failed", b"X-Display-Name: Ann\nAction: failed")
    yield "global delivery status", plain.replace(b"message/delivery-status", b"message/global-delivery-status")
    yield "as text/plain", plain.replace(b"Content-Type: message/delivery-status", b"Content-Type: text/plain")
    yield (
        "with a name",
        plain.replace(b"message/delivery-status\n", b'message/delivery-status; name="details.txt"; charset="x-none"\n'),
    )
    yield (
        "in a forward",
        (
            b"From: forward@leak.example\nTo: ops@leak.example\nSubject: fwd\nMIME-Version: 1.0\n"
            b"Content-Type: multipart/mixed; boundary=outer\n\n--outer\nContent-Type: text/plain\n\nSee below.\n"
            b"--outer\nContent-Type: message/rfc822\n\n" + plain + b"\n--outer--\n"
        ),
    )
    yield (
        "as whole body of message/rfc822",
        (b"From: forward@leak.example\nTo: ops@leak.example\nSubject: fwd\nContent-Type: message/rfc822\n\n" + plain),
    )
    yield (
        "without multipart",
        (PLAIN.header.encode() + b"MIME-Version: 1.0\nContent-Type: message/delivery-status\n\n" + _status().encode()),
    )
    yield "returned header only", plain.replace(b"Content-Type: message/rfc822", b"Content-Type: text/rfc822-headers")
    yield "charset in human part", plain.replace(b"text/plain\n", b"text/plain; charset=iso-2022-jp\n", 1)
    yield "reply fields", b"In-Reply-To: <original@leak.example>\nReferences: <original@leak.example>\n" + plain
    yield "Auto-Submitted", b"Auto-Submitted: auto-replied\nPrecedence: bulk\n" + plain
    yield (
        "from a person",
        plain.replace(b"MAILER-DAEMON@near.example", b"ann@near.example").replace(b"Return-Path: <>\n", b""),
    )
