"""What comes back is read for what it is: reports in all varieties, free text, answers of programs, complaints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.mail.address import parse_address
from relay.report.dsn import Report, ReportRecipient, build_dsn
from relay.report.reading import read_report
from relay.report.result import Kind, Means, Said
from relay.report.wording import Action
from relay.smtp.reply import remote_reply
from tests.support.delivery_reports import PLAIN, failed, variants

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "bounces"
EXPECTED: dict[str, dict[str, Any]] = json.loads((SAMPLES / "expected.json").read_text(encoding="utf-8"))
VARIANTS = dict(variants())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_sample(name: str) -> None:  # G15, N01, N02
    reading = read_report((SAMPLES / f"{name}.eml").read_bytes())
    said = [
        {"address": one.address, "reason": one.reason, "permanent": one.permanent, "action": one.action.value}
        for one in reading.recipients
    ]
    assert (reading.kind.value, said) == (EXPECTED[name]["kind"], EXPECTED[name]["recipients"]), reading.detail


def test_every_sample_is_expected() -> None:
    assert {file.stem for file in SAMPLES.glob("*.eml")} == set(EXPECTED)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name: str) -> None:  # G12
    reading = read_report(VARIANTS[name])
    assert reading.kind is Kind.BOUNCE
    [recipient] = reading.recipients
    assert recipient.address.lower() == "ann@far.example"
    assert recipient.action is Said.FAILED
    assert recipient.status in ("5.1.1", "5.0.0")
    assert recipient.reason == "unknown-user"
    assert recipient.permanent
    assert recipient.rule


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("line_end", [b"\r\n"])
def test_variant_with_crlf(name: str, line_end: bytes) -> None:  # G12
    plain = VARIANTS[name].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert read_report(plain.replace(b"\n", line_end)).recipients == read_report(plain).recipients


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_only_failed_is_a_failure(action: str) -> None:  # G13
    raw = PLAIN.build().replace(b"Action: failed", f"Action: {action}".encode())
    [recipient] = read_report(raw).recipients
    assert recipient.action.value == action
    assert not recipient.failed
    assert not recipient.permanent


def test_a_temporary_failure_is_not_permanent() -> None:
    raw = replace(PLAIN, blocks=(failed(status="4.4.7", said="delivery temporarily suspended"),)).build()
    [recipient] = read_report(raw).recipients
    assert (recipient.action, recipient.status, recipient.permanent) == (Said.FAILED, "4.4.7", False)


def test_a_full_mailbox_may_be_emptied() -> None:
    raw = replace(PLAIN, blocks=(failed(status="5.2.2", said="552 5.2.2 over quota"),)).build()
    [recipient] = read_report(raw).recipients
    assert (recipient.reason, recipient.permanent, recipient.scope) == ("mailbox-full", False, "recipient")


def test_each_recipient_has_its_own_fate() -> None:
    blocks = (
        failed(),
        failed("bob@far.example", "4.2.2", "452 4.2.2 mailbox full"),
        failed("eve@else.example", "5.7.1", "554 5.7.1 rejected as spam"),
    )
    reading = read_report(replace(PLAIN, blocks=blocks).build())
    assert [(one.address, one.reason, one.permanent) for one in reading.recipients] == [
        ("ann@far.example", "unknown-user", True),
        ("bob@far.example", "mailbox-full", False),
        ("eve@else.example", "spam-content", True),
    ]


def test_several_recipients_without_empty_lines_between() -> None:
    raw = replace(PLAIN, blocks=(failed(), failed("bob@far.example"))).build()
    head, _, rest = raw.partition(b"Content-Type: message/delivery-status\n\n")
    status, mark, tail = rest.partition(b"\n--=_b")
    squeezed = head + b"Content-Type: message/delivery-status\n\n" + status.replace(b"\n\n", b"\n") + mark + tail
    assert [one.address for one in read_report(squeezed).recipients] == ["ann@far.example", "bob@far.example"]


def test_what_matches_a_report_to_a_delivery() -> None:  # G14
    raw = replace(PLAIN, message=(*PLAIN.message, ("Original-Envelope-Id", "envid-17"))).build()
    reading = read_report(raw)
    assert reading.envid == "envid-17"
    assert reading.message_id == "<original@leak.example>"
    assert reading.addressed_to == ("b-token@bounces.leak.example",)
    assert reading.returned_to[0] == "b-token@bounces.leak.example"
    assert reading.original.first("subject") == "Hello"
    assert reading.reporting_mta == "mx.near.example"
    [recipient] = reading.recipients
    assert recipient.remote_mta == "mx.far.example"
    assert recipient.code == 550
    assert recipient.diagnostic == "550 5.1.1 <ann@far.example>: user unknown"
    assert reading.means is Means.STATUS


def test_a_forwarded_address_names_whom_we_sent_to() -> None:
    [recipient] = read_report(VARIANTS["forwarded to another address"]).recipients
    assert recipient.address == "ann@far.example"
    assert recipient.final_address == "other@else.example"


@pytest.mark.parametrize(
    ("field", "address"),
    [
        (rb"utf-8; \x{E9}milie@far.example", "émilie@far.example"),
        ("utf-8; émilie@far.example".encode(), "émilie@far.example"),
        (b"rfc822; =?utf-8?q?=C3=A9milie?=@far.example", "émilie@far.example"),
    ],
)
def test_utf8_addresses(field: bytes, address: str) -> None:  # G12, RFC 6533
    raw = PLAIN.build().replace(b"rfc822; ann@far.example", field)
    [recipient] = read_report(raw).recipients
    assert recipient.address == address


@pytest.mark.parametrize("domain", ["far.example", "xn--bcher-kva.example"])
@pytest.mark.parametrize("action", list(Action))
def test_our_own_reports_are_read(domain: str, action: Action) -> None:  # G07
    address = parse_address(f"ann@{domain}")
    digit = {Action.FAILED: 5, Action.DELAYED: 4}.get(action, 2)
    raw = build_dsn(
        Report(
            sender=("Mail", parse_address("mailer-daemon@leak.example")),
            to=parse_address("sender@leak.example"),
            reporting_mta="mail.leak.example",
            recipients=(
                ReportRecipient(
                    address,
                    action,
                    f"{digit}.1.1",
                    remote_mta=f"mx.{domain}",
                    reply=remote_reply(digit * 100 + 50, (f"{digit}.1.1 no such user",)),
                ),
            ),
            original=b"From: sender@leak.example\r\nMessage-ID: <own@leak.example>\r\n\r\nHello\r\n",
            envid="e1",
        )
    )
    reading = read_report(raw)
    [recipient] = reading.recipients
    assert (recipient.address, recipient.action.value) == (str(address), action.value)
    assert recipient.permanent is (action is Action.FAILED)
    assert (reading.envid, reading.message_id) == ("e1", "<own@leak.example>")


def test_policy_replies_concern_no_address() -> None:  # P05
    for detail in ("5.7.26", "5.7.27", "5.7.30", "4.7.32", "5.7.515"):
        said = f"{detail[0]}50 {detail} refused, see the help page"
        raw = replace(PLAIN, blocks=(failed("ann@gmail.com", detail, said),)).build()
        [recipient] = read_report(raw).recipients
        assert recipient.scope in ("source", "message", "site"), detail
        assert recipient.reason not in ("unknown-user", "mailbox-full", "inactive"), detail


def test_an_answer_that_quotes_a_report_is_no_bounce() -> None:  # G15
    raw = PLAIN.build()
    quoted = b"\n".join(b"> " + line for line in raw.split(b"\n")[:30])
    answer = b"From: Ann <ann@far.example>\nSubject: Re: Undelivered\nIn-Reply-To: <1@x.example>\n\nWhat is this?\n\n"
    assert read_report(answer + quoted).kind is Kind.OTHER


def test_a_bounce_names_the_rule_that_decided() -> None:
    from relay.report.rules import load_rules

    known = {rule.id for rule in load_rules().rules}
    for name in sorted(EXPECTED):
        for one in read_report((SAMPLES / f"{name}.eml").read_bytes()).recipients:
            assert one.rule in known | {"unmatched", "feedback-report"} or not one.failed, name


def test_what_a_report_returns_is_not_the_report() -> None:
    complaint = (SAMPLES / "arf-abuse.eml").read_bytes()
    aggregate = (SAMPLES / "dmarc-report.eml").read_bytes()
    inner = PLAIN.build().replace(b"ann@far.example", b"other@inner.example").replace(b"=_b", b"=_inner")
    for original in (complaint, aggregate, inner):
        outer = replace(PLAIN, original=original.decode() + "\n").build()
        assert [one.address for one in read_report(outer).recipients] == ["ann@far.example"]
        text = (
            b"Return-Path: <>\nFrom: MAILER-DAEMON@near.example\nSubject: failure notice\n"
            b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nThis is the mail system at host near.example.\n\n"
            b"<ann@far.example>: host mx said: 550 5.1.1 user unknown\n\n--x\nContent-Type: message/rfc822\n\n"
        )
        assert [one.address for one in read_report(text + original + b"\n--x--\n").recipients] == ["ann@far.example"]
