"""Composed mail reads back as it was meant, in every library, and nothing in it can become a field of its own."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest

from relay.ids import SeededEntropy, base32
from relay.mail.address import parse_address
from relay.mail.check import check_content
from relay.mail.compose import Attachment, Draft, compose
from relay.mail.header import HeaderError, parse_fields, split_content

ANN = ("Ann Lee", parse_address("ann@example.com"))
BOB = ("", parse_address("bob@example.org"))


def composed(draft: Draft) -> EmailMessage:
    """The mail as read by the standard library; every octet-level promise is checked on the way."""
    raw = compose(draft, SeededEntropy(1))
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")  # A10
    check_content(raw, smtputf8=False)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
        if part.is_multipart():
            assert part["Content-Transfer-Encoding"] in (None, "7bit")  # O08
    return message


def refused(draft: Draft) -> str:
    with pytest.raises(HeaderError) as caught:
        compose(draft, SeededEntropy(1))
    return caught.value.field


def file_of(attachment: Attachment) -> EmailMessage:
    (part,) = composed(Draft(ANN, (BOB,), text="x", attachments=(attachment,))).iter_attachments()
    assert isinstance(part, EmailMessage)
    return part


def test_a_plain_mail_is_bland() -> None:
    raw = compose(Draft(ANN, (BOB,), subject="Hi", text="Hello\n"), SeededEntropy(1))
    assert raw == (
        b"From: Ann Lee <ann@example.com>\r\nTo: bob@example.org\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\nHello\r\n"
    )


def test_both_bodies_make_an_alternative() -> None:
    message = composed(Draft(ANN, (BOB,), text="Grüße\n", html="<p>Grüße</p>" + "x" * 2000))
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().splitlines() == ["Grüße"]
    assert html.get_content().splitlines() == ["<p>Grüße</p>" + "x" * 2000]


def test_one_body_stands_alone() -> None:
    assert composed(Draft(ANN, (BOB,), html="<p>x</p>")).get_content_type() == "text/html"
    assert composed(Draft(ANN, (BOB,))).get_content_type() == "text/plain"


def test_files_make_it_mixed_and_images_related() -> None:
    logo = Attachment("logo.png", "image/png", b"\x89PNG", content_id="logo@x")
    paper = Attachment("paper.pdf", "application/pdf", bytes(range(256)))
    message = composed(Draft(ANN, (BOB,), text="a", html="<img src='cid:logo@x'>", attachments=(logo, paper)))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    (attached,) = message.iter_attachments()
    assert attached.get_content() == bytes(range(256))
    image = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == "<logo@x>"


def test_people_and_subjects_read_back() -> None:
    message = composed(
        Draft(
            ("Änn, 📬", ANN[1]),
            (BOB, ("Lee, Ann", ANN[1])),
            cc=(("Zoë", BOB[1]),),
            reply_to=(BOB,),
            subject="📬 " * 60,
            text="x",
        )
    )
    assert message["From"].addresses[0].display_name == "Änn, 📬"
    assert [a.display_name for a in message["To"].addresses] == ["", "Lee, Ann"]
    assert message["Cc"].addresses[0].display_name == "Zoë"
    assert message["Reply-To"].addresses[0].addr_spec == "bob@example.org"
    assert message["Subject"] == ("📬 " * 60).strip()


def test_hidden_recipients_are_not_named() -> None:
    assert composed(Draft(ANN, text="x"))["To"] == "undisclosed-recipients:;"


def test_custom_fields_are_written_as_given() -> None:
    url = "<https://example.com/u/" + "t" * 300 + ">"
    headers = {"List-Unsubscribe": url, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "X-Note": "für dich"}
    raw = compose(Draft(ANN, (BOB,), text="x", headers=headers), SeededEntropy(1))
    assert f"List-Unsubscribe: {url}\r\n".encode() in raw
    assert composed(Draft(ANN, (BOB,), text="x", headers=headers))["X-Note"] == "für dich"


@pytest.mark.parametrize(
    "name",
    [
        *("From", "TO", "cc", "Bcc", "Date", "Message-ID", "Received", "DKIM-Signature", "Return-Path", "MIME-Version"),
        *("Content-Type", "content-transfer-encoding", "Sender", "Subject", "Reply-To", "Resent-Bcc", "ARC-Seal"),
        *("X:Y", "X Y", "X\r\nBcc", "", "Xé", "X\0"),
    ],
)
def test_fields_of_ours_and_bad_names_are_refused(name: str) -> None:  # S08
    refused(Draft(ANN, (BOB,), text="x", headers={name: "value"}))


INJECTION = "a\r\nBcc: eve@other.example\r\n\r\nbody"


@pytest.mark.parametrize("payload", [INJECTION, "a\nBcc: e@x.example", "a\rBcc: e@x.example", "a\0b"])
def test_injection_is_refused_everywhere(payload: str) -> None:  # S08
    ok = Attachment("a", "text/plain", b"x")
    assert refused(Draft((payload, ANN[1]), (BOB,))) == "From"
    assert refused(Draft(ANN, ((payload, BOB[1]),))) == "To"
    assert refused(Draft(ANN, (BOB,), cc=((payload, BOB[1]),))) == "Cc"
    assert refused(Draft(ANN, (BOB,), reply_to=((payload, BOB[1]),))) == "Reply-To"
    assert refused(Draft(ANN, (BOB,), subject=payload)) == "Subject"
    assert refused(Draft(ANN, (BOB,), headers={"X-A": payload})) == "X-A"
    for number, bad in ((1, Attachment(payload, "text/plain", b"x")),):
        assert refused(Draft(ANN, (BOB,), attachments=(ok, bad))) == f"attachments[{number}].filename"
    assert refused(Draft(ANN, (BOB,), attachments=(Attachment("a", f"text/{payload}", b""),))).endswith("content_type")
    bad_id = Attachment("a", "image/png", b"", content_id=payload)
    assert refused(Draft(ANN, (BOB,), html="x", attachments=(bad_id,))).endswith("content_id")


def test_the_header_list_is_the_expected_one() -> None:  # S08
    raw = compose(Draft(ANN, (BOB,), subject="Bcc: x", text="Bcc: y\n", headers={"X-A": "Bcc: z"}), SeededEntropy(1))
    header, _ = split_content(raw)
    assert [field.name.decode() for field in parse_fields(header)] == [
        *("From", "To", "Subject", "X-A", "MIME-Version", "Content-Type", "Content-Transfer-Encoding")
    ]


def test_other_refusals_name_their_field() -> None:
    assert refused(Draft(ANN, (BOB,), text="a\0")) == "text"
    assert refused(Draft(ANN, (BOB,), html="\ud800")) == "html"
    assert refused(Draft(ANN, (BOB,), headers={"List-Id": "ü"})) == "List-Id"
    assert refused(Draft(ANN, (BOB,), headers={"X-A": "1", "x-a": "2"})) == "x-a"
    for kind in ("text", "multipart/mixed; boundary=x", "message/partial", "text/plain; a=1; a=2", "té/xt"):
        file = Attachment("a", kind, b"x")
        assert refused(Draft(ANN, (BOB,), attachments=(file,))) == "attachments[0].content_type"
    long_name = Attachment("x" * 256, "text/plain", b"x")
    assert refused(Draft(ANN, (BOB,), attachments=(long_name,))) == "attachments[0].filename"
    letter = Attachment("a.eml", "message/rfc822", "Subject: é\r\n\r\n".encode())
    assert refused(Draft(ANN, (BOB,), attachments=(letter,))) == "attachments[0].content"


@pytest.mark.parametrize(
    "filename",
    [
        "a.txt",
        "with space.pdf",
        "Rechnung März.pdf",
        "日本語の長い名前のファイル.docx",
        "📬" * 60 + ".png",
        'quo"te.txt',
        "back\\slash.txt",
        "semi;colon.txt",
        "per%cent.txt",
        "star*.txt",
        "apo'strophe.txt",
        "equals=.txt",
        "=?utf-8?q?x?=.txt",
        "x" * 255,
        "(paren).txt",
        "a,b.txt",
        "a/b.txt",
        "tilde~.txt",
        "é",
        "<b>.html",
    ],
)
def test_file_names_read_back(filename: str) -> None:  # O07
    part = file_of(Attachment(filename, "application/pdf", b"x"))
    assert part.get_filename() == filename
    assert part.get_content_disposition() == "attachment"
    raw = compose(Draft(ANN, (BOB,), text="x", attachments=(Attachment(filename, "a/b", b""),)), SeededEntropy(1))
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_files_of_every_kind() -> None:
    assert file_of(Attachment("", "", b"x")).get_content_type() == "application/octet-stream"
    text = file_of(Attachment("a.txt", "text/plain; charset=utf-8", "é\n".encode()))
    assert text.get_content() == "é\n"
    letter = file_of(Attachment("a.eml", "message/rfc822", b"Subject: within\r\n\r\nhello"))
    assert letter["Content-Transfer-Encoding"] == "7bit"
    assert letter.get_content()["Subject"] == "within"


class _Repeating:
    """An entropy whose first draws are known to the sender."""

    def __init__(self) -> None:
        self.draws = 0

    def bytes(self, count: int) -> bytes:
        self.draws += 1
        return bytes([self.draws // 3]) * count

    def uniform(self) -> float:
        return 0.0


def test_boundaries_occur_in_no_part() -> None:  # O09
    first = "=_" + base32(bytes([0]) * 15)
    entropy = _Repeating()
    raw = compose(Draft(ANN, (BOB,), text=f"--{first}\n", html="<p>x</p>"), entropy)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.get_boundary() != first
    assert len(message.get_boundary() or "") <= 70
    assert [part.get_content_type() for part in message.walk()][1:] == ["text/plain", "text/html"]
    assert entropy.draws >= 3


def test_utf8_mailboxes_are_written_as_they_are() -> None:
    raw = compose(Draft(ANN, (("", parse_address("jörg@example.org")),), text="x"), SeededEntropy(1))
    assert "To: jörg@example.org\r\n".encode() in raw
    assert check_content(raw, smtputf8=True).utf8_header
