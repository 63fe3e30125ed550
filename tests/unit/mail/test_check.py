"""Unlawful mail is refused with the right reply; lawful mail passes byte for byte but for what must not leave."""

from __future__ import annotations

import pytest

from relay.mail.check import ContentError, check_content

BASE = b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: Hi\r\n"


def refusal(raw: bytes, *, smtputf8: bool = False) -> tuple[int, str, str]:
    with pytest.raises(ContentError) as caught:
        check_content(raw, smtputf8=smtputf8)
    return caught.value.reply.code, caught.value.reply.status, caught.value.field


def test_lawful_mail_passes() -> None:
    raw = BASE + b"Date: x\r\nMessage-ID: <1@example.com>\r\n\r\nHello\r\n.\r\n"
    checked = check_content(raw, smtputf8=False)
    assert checked.header + b"\r\n" + checked.body == raw  # O10
    assert str(checked.author) == "ann@example.com"
    assert checked.sender is None
    assert (checked.has_date, checked.has_message_id, checked.message_id) == (True, True, "<1@example.com>")
    assert not checked.eight_bit
    assert not checked.utf8_header
    assert checked.removed == ()


def test_missing_date_and_message_id_are_told() -> None:  # F11
    checked = check_content(BASE + b"\r\n", smtputf8=False)
    assert (checked.has_date, checked.has_message_id, checked.message_id, checked.body) == (False, False, "", b"")


def test_private_fields_do_not_leave() -> None:  # F13, C10
    private = b"Bcc: x@y.example,\r\n z@y.example\r\nbcc : q@y.example\r\n"
    private += b"Resent-Bcc: r@y.example\r\nRETURN-PATH: <a@b.example>\r\n"
    received = b"Received: from a\r\n\tby b\r\n"
    checked = check_content(
        b"Return-Path: <>\r\n" + received + private + BASE + b"X: 1\r\n\r\nBcc: body\r\n", smtputf8=False
    )
    assert checked.header == received + BASE + b"X: 1\r\n"
    assert checked.body == b"Bcc: body\r\n"
    assert b"".join(field.raw for field in checked.fields) == checked.header
    assert checked.removed == ("Return-Path", "Bcc", "Bcc", "Resent-Bcc", "Return-Path")


@pytest.mark.parametrize("bad", [b"a\rb", b"a\nb", b"a\r\r\nb", b"a\n\r\nb", b"\n.\r\n", b"\r\n.\n", b"a\0b"])
def test_bare_cr_lf_and_nul_are_refused(bad: bytes) -> None:  # A10
    assert refusal(BASE + b"\r\n" + bad + b"\r\n") == (550, "5.6.11", "")
    assert refusal(BASE + b"X: " + bad + b"\r\n\r\n") == (550, "5.6.11", "")


@pytest.mark.parametrize("end", [b"\r\n", b""])
@pytest.mark.parametrize("before", [b"", b"x\r\n", b"y" * 700 + b"\r\n"])
def test_lines_are_at_most_998_octets(before: bytes, end: bytes) -> None:  # A11
    check_content(BASE + b"\r\n" + before + b"a" * 998 + end, smtputf8=False)
    assert refusal(BASE + b"\r\n" + before + b"a" * 999 + end) == (550, "5.6.0", "")
    assert refusal(BASE + b"\r\n" + before + b"a" * 1200 + end + b"\r\nb\r\n") == (550, "5.6.0", "")
    assert refusal(BASE + b"X: " + b"a" * 999 + b"\r\n\r\n") == (550, "5.6.0", "")


@pytest.mark.parametrize(
    "name",
    ["Date", "From", "Sender", "Reply-To", "To", "Cc", "Message-ID", "In-Reply-To", "References", "Subject"],
)
def test_singletons_occur_once(name: str) -> None:  # O01, F12
    one = f"{name}: ann@example.com\r\n".encode()
    base = b"" if name == "From" else b"From: ann@example.com\r\n"
    check_content(base + one + b"\r\n", smtputf8=False)
    twice = base + one + one.upper().replace(b":", b" :", 1) + b"\r\n"
    assert refusal(twice) == (550, "5.6.0", name)


def test_from_must_name_an_author() -> None:  # F12
    assert refusal(b"To: bob@example.org\r\n\r\n") == (550, "5.6.0", "From")
    assert refusal(b"From:\r\n\r\n") == (550, "5.6.0", "From")
    assert refusal(b"From: Nobody:;\r\n\r\n") == (550, "5.6.0", "From")
    assert refusal(b"From: a@x.example <b@y.example>\r\n\r\n") == (550, "5.6.0", "From")


def test_several_authors_need_a_sender_and_one_domain() -> None:  # M07, F12
    two = b"From: ann@example.com, bea@example.com\r\n"
    assert refusal(two + b"\r\n") == (550, "5.6.0", "From")
    checked = check_content(two + b"Sender: bea@example.com\r\n\r\n", smtputf8=False)
    assert list(map(str, checked.authors)) == ["ann@example.com", "bea@example.com"]
    assert str(checked.sender) == "bea@example.com"
    other = b"From: ann@example.com, eve@other.example\r\n"
    assert refusal(other + b"Sender: ann@example.com\r\n\r\n") == (550, "5.7.1", "From")
    assert refusal(other + b"\r\n") == (550, "5.7.1", "From")


def test_sender_is_one_mailbox() -> None:
    assert refusal(BASE + b"Sender: a@example.com, b@example.com\r\n\r\n") == (550, "5.6.0", "Sender")
    assert refusal(BASE + b"Sender:\r\n\r\n") == (550, "5.6.0", "Sender")


def test_loops_end() -> None:  # B16
    received = b"Received: from a by b; x\r\n"
    check_content(received * 50 + BASE + b"\r\n", smtputf8=False)
    assert refusal(received * 51 + BASE + b"\r\n") == (554, "5.4.6", "Received")
    check_content(received * 100 + BASE + b"\r\n", smtputf8=False, max_received=100)


def test_utf8_headers_need_smtputf8() -> None:
    raw = BASE + "X-Note: Grüße\r\n\r\n".encode()
    assert refusal(raw) == (550, "5.6.7", "")
    assert check_content(raw, smtputf8=True).utf8_header
    assert refusal(BASE + b"X: \xff\r\n\r\n", smtputf8=True) == (550, "5.6.0", "")


def test_eight_bit_bodies_are_told() -> None:
    assert check_content(BASE + b"\r\n\xff\r\n", smtputf8=False).eight_bit


@pytest.mark.parametrize(
    "raw", [b"", b"\r\n", b"hello\r\n\r\n", BASE + b"no field\r\n\r\n", b" x\r\n" + BASE + b"\r\n"]
)
def test_malformed_headers_are_refused(raw: bytes) -> None:
    assert refusal(raw)[:2] == (550, "5.6.0")


def test_too_many_fields_are_refused() -> None:  # S28
    assert refusal(BASE + b"X: y\r\n" * 20_000 + b"\r\n") == (550, "5.6.0", "")
