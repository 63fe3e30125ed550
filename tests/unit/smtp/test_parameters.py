"""Arguments of MAIL and RCPT (C03, C12, D01, D12, D15, F07, F09, F14, G01, K03)."""

from __future__ import annotations

import pytest

from relay.mail.address import NULL_PATH, Address
from relay.mail.envelope import Notify, Recipient, Return
from relay.smtp.parameters import MailArguments, decode_xtext, encode_xtext, parse_mail, parse_rcpt
from relay.smtp.reply import Reply

ANN = Address("ann", "leak.example")
BOB = Address("bob", "example.org")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("FROM:<ann@leak.example>", MailArguments(ANN)),
        ("from: <ann@LEAK.example>", MailArguments(ANN)),  # C12: a space after the colon is tolerated
        ("FROM:<>", MailArguments(NULL_PATH)),  # C12
        ("FROM:<Ann@leak.example>", MailArguments(Address("Ann", "leak.example"))),
        ('FROM:<"a >b"@leak.example>', MailArguments(Address('"a >b"', "leak.example"))),
        ("FROM:<ann@leak.example> SIZE=12", MailArguments(ANN, size=12)),
        ("FROM:<ann@leak.example> size=0  body=8bitmime", MailArguments(ANN, size=0, eight_bit=True)),
        ("FROM:<ann@leak.example> BODY=7BIT", MailArguments(ANN)),
        ("FROM:<ann@leak.example> RET=hdrs", MailArguments(ANN, ret=Return.HEADERS)),
        ("FROM:<ann@leak.example> ENVID=QQ+2B31+20Az", MailArguments(ANN, envid="QQ+31 Az")),  # G01: xtext, case kept
        ("FROM:<ann@leak.example> AUTH=<>", MailArguments(ANN, auth=NULL_PATH)),  # F07
        (
            "FROM:<ann@leak.example> AUTH=e+3Dmc2@example.com",
            MailArguments(ANN, auth=Address("e=mc2", "example.com")),
        ),
        ("FROM:<jörg@leak.example> SMTPUTF8", MailArguments(Address("jörg", "leak.example"), smtputf8=True)),
        ("FROM:<ann@bücher.example> SMTPUTF8", MailArguments(Address("ann", "xn--bcher-kva.example"), smtputf8=True)),
    ],
)
def test_mail_arguments(argument: str, expected: MailArguments) -> None:
    assert parse_mail(argument) == expected


@pytest.mark.parametrize(
    ("argument", "code", "status"),
    [
        ("", 501, "5.5.4"),
        ("TO:<ann@leak.example>", 501, "5.5.4"),
        ("FROM:ann@leak.example", 501, "5.5.4"),  # C12: brackets are required
        ("FROM:<ann@leak.example", 501, "5.5.4"),
        ("FROM:<ann@leak.example>>", 501, "5.5.4"),
        ("FROM:< ann@leak.example>", 501, "5.5.4"),
        ("FROM:<ann@leak.example>SIZE=1", 501, "5.5.4"),
        ("FROM:<@hop.example:ann@leak.example>", 501, "5.1.7"),  # C12: source routes
        ("FROM:<ann@@leak.example>", 501, "5.1.7"),  # F14
        ("FROM:<a..b@leak.example>", 501, "5.1.7"),
        ("FROM:<ann@-leak.example>", 501, "5.1.7"),
        ("FROM:<(c)ann@leak.example>", 501, "5.1.7"),
        ("FROM:<ann@[192.0.2.1]>", 501, "5.1.7"),
        ("FROM:<ann@host>", 554, "5.1.8"),  # F09
        ("FROM:<jörg@leak.example>", 553, "5.6.7"),  # D15
        ("FROM:<ann@leak.example> SIZE=", 501, "5.5.4"),
        ("FROM:<ann@leak.example> SIZE=-1", 501, "5.5.4"),
        ("FROM:<ann@leak.example> SIZE=1²", 501, "5.5.4"),
        ("FROM:<ann@leak.example> SIZE=1 SIZE=1", 501, "5.5.4"),
        ("FROM:<ann@leak.example> SIZE=1=1", 501, "5.5.4"),
        ("FROM:<ann@leak.example> BODY=BINARYMIME", 501, "5.5.4"),  # D12
        ("FROM:<ann@leak.example> BODY", 501, "5.5.4"),
        ("FROM:<ann@leak.example> SMTPUTF8=YES", 501, "5.5.4"),
        ("FROM:<ann@leak.example> RET=ALL", 501, "5.5.4"),
        ("FROM:<ann@leak.example> RET=FULL RET=FULL", 501, "5.5.4"),
        ("FROM:<ann@leak.example> ENVID", 501, "5.5.4"),
        ("FROM:<ann@leak.example> ENVID=a+2g", 501, "5.5.4"),
        ("FROM:<ann@leak.example> ENVID=a+0D+0A", 501, "5.5.4"),
        (f"FROM:<ann@leak.example> ENVID={'e' * 101}", 501, "5.5.4"),
        ("FROM:<ann@leak.example> AUTH=nobody", 501, "5.5.4"),
        ("FROM:<ann@leak.example> REQUIRETLS", 555, "5.5.4"),  # K03
        ("FROM:<ann@leak.example> MT-PRIORITY=3", 555, "5.5.4"),  # C03
        ("FROM:<ann@leak.example> XTRA=1", 555, "5.5.4"),
    ],
)
def test_mail_refusals(argument: str, code: int, status: str) -> None:
    answer = parse_mail(argument)
    assert isinstance(answer, Reply)
    assert (answer.code, answer.status) == (code, status)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("TO:<bob@example.org>", Recipient(BOB)),
        ("to: <bob@example.org>", Recipient(BOB)),
        ("TO:<bob@example.org> NOTIFY=never", Recipient(BOB, Notify.NEVER)),
        ("TO:<bob@example.org> NOTIFY=SUCCESS,DELAY", Recipient(BOB, Notify.SUCCESS | Notify.DELAY)),
        (
            "TO:<bob@example.org> ORCPT=rfc822;Bob+2Bx@example.org NOTIFY=FAILURE",
            Recipient(BOB, Notify.FAILURE, "rfc822;Bob+x@example.org"),
        ),
        ("TO:<bob@example.org> ORCPT=utf-8;j\\x{F6}rg@example.org", Recipient(BOB, None, "utf-8;jörg@example.org")),
    ],
)
def test_rcpt_arguments(argument: str, expected: Recipient) -> None:
    assert parse_rcpt(argument) == expected


@pytest.mark.parametrize(
    ("argument", "code", "status"),
    [
        ("TO:<>", 501, "5.1.3"),
        ("TO:<a@@b>", 501, "5.1.3"),  # F14
        ("TO:<a@-x.example>", 501, "5.1.3"),
        ("TO:<a..b@x.example>", 501, "5.1.3"),
        ("TO:<@x.example:a@b.example>", 501, "5.1.3"),  # C12, S14
        ("TO:<a@b.example.>", 501, "5.1.3"),
        ("TO:<a@host>", 554, "5.1.2"),  # F09
        ("TO:<postmaster>", 501, "5.1.3"),
        ("TO:<bo\u0308b@example.org>", 553, "5.6.7"),
        ("TO:<bob@example.org> NOTIFY=NEVER,SUCCESS", 501, "5.5.4"),  # G01
        ("TO:<bob@example.org> NOTIFY=", 501, "5.5.4"),
        ("TO:<bob@example.org> NOTIFY=DELAY,DELAY", 501, "5.5.4"),
        ("TO:<bob@example.org> NOTIFY=DELAY NOTIFY=DELAY", 501, "5.5.4"),
        ("TO:<bob@example.org> ORCPT=bob@example.org", 501, "5.5.4"),
        ("TO:<bob@example.org> ORCPT=rfc822;", 501, "5.5.4"),
        ("TO:<bob@example.org> ORCPT=rfc822;a+0Ab", 501, "5.5.4"),
        ("TO:<bob@example.org> ORCPT=utf-8;a\\x{D800}", 501, "5.5.4"),
        ("TO:<bob@example.org> ORCPT=utf-8;a\\x{FFFFFF}", 501, "5.5.4"),
        (f"TO:<bob@example.org> ORCPT=rfc822;{'o' * 500}", 501, "5.5.4"),
        ("TO:<bob@example.org> SIZE=1", 555, "5.5.4"),
    ],
)
def test_rcpt_refusals(argument: str, code: int, status: str) -> None:
    answer = parse_rcpt(argument)
    assert isinstance(answer, Reply)
    assert (answer.code, answer.status) == (code, status)


def test_after_helo_there_are_no_parameters() -> None:
    answer = parse_mail("FROM:<ann@leak.example> SIZE=1", extended=False)
    assert isinstance(answer, Reply)
    assert answer.code == 555
    assert parse_mail("FROM:<ann@leak.example>", extended=False) == MailArguments(ANN)


def test_utf8_recipient_needs_smtputf8() -> None:  # D15
    assert parse_rcpt("TO:<jörg@example.org>", smtputf8=True) == Recipient(Address("jörg", "example.org"))
    assert isinstance(parse_rcpt("TO:<jörg@example.org>"), Reply)
    assert isinstance(parse_rcpt("TO:<bob@example.org> ORCPT=utf-8;jörg@example.org"), Reply)


def test_xtext_both_ways() -> None:
    assert encode_xtext("a+b=c d") == "a+2Bb+3Dc+20d"
    assert decode_xtext("a+2Bb+3Dc+20d") == "a+b=c d"
    with pytest.raises(ValueError, match="not xtext"):
        decode_xtext("a=b")
    with pytest.raises(ValueError, match="printable"):
        decode_xtext("a+00")
