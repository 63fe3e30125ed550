"""DSNs read with another library: structure, fields, what is returned, and UTF-8 mailboxes."""

from __future__ import annotations

import base64
import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from typing import Any

import pytest

from relay.mail.address import parse_address
from relay.mail.check import check_content
from relay.mail.envelope import Return
from relay.report.dsn import MAX_RETURNED, Report, ReportRecipient, build_dsn, status_of
from relay.report.wording import Action, subject
from relay.smtp.reply import Reply, remote_reply, reply

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HEADER = b"From: ann@example.com\r\nSubject: the original\r\n"
ORIGINAL = HEADER + b"\r\nsecret body\r\n"
UNKNOWN = remote_reply(550, ("5.1.1 No such user", "5.1.1 here"))
BOB = ReportRecipient(
    parse_address("bob@example.org"),
    Action.FAILED,
    "5.1.1",
    remote_mta="mx.example.org",
    reply=UNKNOWN,
    last_attempt=AT,
)
REPORT = Report(
    sender=("Mail Delivery System", parse_address("postmaster@mail.leak.example")),
    to=parse_address("ann@example.com"),
    reporting_mta="mail.leak.example",
    recipients=(BOB,),
    original=ORIGINAL,
    arrival=AT,
)


def parts_of(report: Report) -> tuple[EmailMessage, list[EmailMessage]]:
    raw = build_dsn(report)
    check_content(raw, smtputf8=report.to.needs_smtputf8)
    _, _, body = raw.partition(b"\r\n\r\n")
    assert body.isascii()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    parts = list(message.iter_parts())
    assert len(parts) == 3
    return message, [part for part in parts if isinstance(part, EmailMessage)]


def blocks_of(part: EmailMessage) -> list[Message]:
    """The blocks of the second part: the message's, then one a recipient."""
    payload = part.get_payload()
    assert isinstance(payload, list)
    return [block for block in payload if isinstance(block, Message)]


def test_structure() -> None:  # G07
    message, parts = parts_of(REPORT)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["To"] == "ann@example.com"
    assert message["From"].addresses[0].addr_spec == "postmaster@mail.leak.example"
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]


def test_fields_of_a_failure() -> None:  # G07
    ada = replace(
        BOB, address=parse_address("ada@example.org"), orcpt="rfc822;Ada@EXAMPLE.org", remote_mta="", reply=None
    )
    _, parts = parts_of(replace(REPORT, recipients=(BOB, ada), envid="QQ=1 2"))
    first, bob, other = blocks_of(parts[1])
    assert dict(first.items()) == {
        "Original-Envelope-Id": "QQ=1 2",
        "Reporting-MTA": "dns; mail.leak.example",
        "Arrival-Date": "Wed, 04 Mar 2026 05:06:07 +0000",
    }
    assert dict(bob.items()) == {
        "Final-Recipient": "rfc822; bob@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.org",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
        "Last-Attempt-Date": "Wed, 04 Mar 2026 05:06:07 +0000",
    }
    assert other["Original-Recipient"] == "rfc822; Ada@EXAMPLE.org"
    assert "Diagnostic-Code" not in other


def test_a_delay_says_until_when() -> None:  # G08
    greylisted = remote_reply(451, ("4.7.1 Greylisted",))
    late = replace(BOB, action=Action.DELAYED, status="4.7.1", reply=greylisted, will_retry_until=AT)
    message, parts = parts_of(replace(REPORT, recipients=(late,), ret=Return.FULL))
    _, block = blocks_of(parts[1])
    assert (block["Action"], block["Status"], block["Will-Retry-Until"]) == (
        "delayed",
        "4.7.1",
        "Wed, 04 Mar 2026 05:06:07 +0000",
    )
    assert "delayed" in message["Subject"]
    assert "keep trying until" in parts[0].get_content()
    assert parts[2].get_content_type() == "text/rfc822-headers"  # RFC 3461 §4.3: RET is about failures


def test_the_human_text_is_plain() -> None:
    _, parts = parts_of(REPORT)
    text = parts[0].get_content()
    assert "<bob@example.org>" in text
    assert "does not exist" in text
    assert "mx.example.org answered: 550 5.1.1 No such user here" in text
    assert max(map(len, text.split("\n"))) <= 78


def test_only_the_header_comes_back_by_default() -> None:  # G05
    for ret in (None, Return.HEADERS):
        raw = build_dsn(replace(REPORT, ret=ret))
        assert b"the original" in raw
        assert b"secret body" not in raw


def test_the_whole_comes_back_if_asked_and_small() -> None:  # G05
    _, parts = parts_of(replace(REPORT, ret=Return.FULL))
    assert parts[2].get_content_type() == "message/rfc822"
    assert ORIGINAL in build_dsn(replace(REPORT, ret=Return.FULL))
    for original in (HEADER + b"\r\n" + b"x\r\n" * MAX_RETURNED, HEADER + b"\r\n\xff\r\n"):
        _, parts = parts_of(replace(REPORT, ret=Return.FULL, original=original))
        assert parts[2].get_content_type() == "text/rfc822-headers"
        assert b"Subject: the original" in bytes(parts[2])


def test_utf8_recipients_are_spelled_in_ascii_for_an_ascii_sender() -> None:  # D20
    jorg = replace(BOB, address=parse_address("jörg+a@example.org"), orcpt="rfc822;jörg+a@example.org")
    _, parts = parts_of(replace(REPORT, recipients=(jorg,), original="Subject: Grüße\r\n\r\nx\r\n".encode()))
    assert parts[1].get_content_type() == "message/delivery-status"
    _, block = blocks_of(parts[1])
    assert block["Final-Recipient"] == r"utf-8; j\x{F6}rg\x{2B}a@example.org"
    assert block["Original-Recipient"] == r"utf-8; j\x{F6}rg\x{2B}a@example.org"
    assert "jörg+a@example.org" in parts[0].get_content()
    assert parts[2].get_content_type() == "message/global-headers"


def test_utf8_senders_get_the_global_form() -> None:  # D20
    jorg = replace(BOB, address=parse_address("jörg@example.org"))
    raw = build_dsn(replace(REPORT, to=parse_address("zoë@example.com"), recipients=(jorg,)))
    message = email.message_from_bytes(raw)
    status = message.get_payload(1)
    assert isinstance(status, Message)
    assert status.get_content_type() == "message/global-delivery-status"
    assert "To: zoë@example.com\r\n".encode() in raw
    encoded = raw.split(b"global-delivery-status", 1)[1].split(b"\r\n\r\n", 1)[1].split(b"--=_", 1)[0]
    assert "Final-Recipient: utf-8; jörg@example.org\r\n".encode() in base64.b64decode(encoded)
    plain = build_dsn(replace(REPORT, to=parse_address("zoë@example.com")))
    assert b"message/global-delivery-status\r\nContent-Transfer-Encoding: 7bit" in plain


def test_hostile_replies_stay_in_their_field() -> None:  # S08
    evil = Reply(550, ("5.1.1 no\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; x", "é" * 50, "y" * 5000))
    nasty = replace(BOB, reply=evil, remote_mta="mx\r\nAction: delivered", orcpt="rfc822;a\r\nStatus: 2.0.0")
    _, parts = parts_of(replace(REPORT, recipients=(nasty,), envid="x\r\n\r\nAction: delivered"))
    first, block = blocks_of(parts[1])
    assert first.keys() == ["Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"]
    assert block.get_all("Action") == ["failed"]
    assert block.get_all("Status") == ["5.1.1"]
    assert len(blocks_of(parts[1])) == 2


@pytest.mark.parametrize("to", ["ann@example.com", "änn@example.com"])
@pytest.mark.parametrize("field", ["orcpt", "remote_mta", "reply"])
@pytest.mark.parametrize("words", ["中" * 3000, "é\r\nBcc: eve@example.net\r\n\r\n--b", "a" * 3000])
def test_what_strangers_say_never_costs_the_report(to: str, field: str, words: str) -> None:  # S08
    said: dict[str, Any] = {"orcpt": f"rfc822;{words}", "remote_mta": words, "reply": Reply(550, (words,))}
    report = replace(REPORT, to=parse_address(to), recipients=(replace(BOB, **{field: said[field]}),))
    raw = build_dsn(report)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\nBcc:" not in raw
    assert b"\n--b\r\n" not in raw
    assert raw.partition(b"\r\n\r\n")[2].isascii()


def test_several_outcomes_in_one_report() -> None:
    done = replace(BOB, address=parse_address("c@example.org"), action=Action.DELIVERED, status="2.1.5", reply=None)
    relayed = replace(done, address=parse_address("d@example.org"), action=Action.RELAYED, status="2.0.0")
    message, parts = parts_of(replace(REPORT, recipients=(done, relayed, BOB)))
    assert message["Subject"] == subject([Action.FAILED])
    assert [block["Action"] for block in blocks_of(parts[1])[1:]] == ["delivered", "relayed", "failed"]
    text = parts[0].get_content()
    assert text.index("<bob@") < text.index("<d@") < text.index("<c@")


def test_a_forgotten_original_is_left_out() -> None:
    message = email.message_from_bytes(build_dsn(replace(REPORT, original=b"", ret=Return.FULL)))
    kinds = [part.get_content_type() for part in message.walk() if part.get_content_maintype() != "multipart"]
    assert kinds[:2] == ["text/plain", "message/delivery-status"]
    assert "rfc822" not in " ".join(kinds)


def test_a_report_about_nobody_is_none() -> None:
    with pytest.raises(ValueError, match="recipient"):
        build_dsn(replace(REPORT, recipients=()))


def test_an_original_that_was_made_to_break_out_does_not() -> None:  # O09
    _, parts = parts_of(replace(REPORT, ret=Return.FULL, original=build_dsn(REPORT)))
    assert parts[2].get_content_type() == "message/rfc822"


@pytest.mark.parametrize(
    ("action", "answer", "status"),
    [
        (Action.FAILED, remote_reply(550, ("5.1.1 x",)), "5.1.1"),
        (Action.FAILED, remote_reply(550, ("No such user",)), "5.0.0"),
        (Action.FAILED, remote_reply(550, ("4.2.2 contradiction",)), "5.0.0"),
        (Action.FAILED, remote_reply(452, ("4.2.2 full",)), "5.4.7"),
        (Action.FAILED, reply(451, "4.4.7", "expired"), "5.4.7"),
        (Action.FAILED, None, "5.0.0"),
        (Action.DELAYED, remote_reply(421, ("4.7.0 later",)), "4.7.0"),
        (Action.DELAYED, remote_reply(421, ("later",)), "4.0.0"),
        (Action.DELAYED, None, "4.0.0"),
        (Action.DELAYED, remote_reply(550, ("5.1.1 x",)), "4.0.0"),
        (Action.DELIVERED, remote_reply(250, ("2.6.0 ok",)), "2.6.0"),
        (Action.RELAYED, remote_reply(250, ("ok",)), "2.0.0"),
    ],
)
def test_status_is_the_remote_one_or_derived(action: Action, answer: Reply | None, status: str) -> None:  # G09
    assert status_of(action, answer) == status
