from __future__ import annotations

import pytest

from relay.egress.capabilities import NO_CAPABILITIES, Capabilities, parse_capabilities
from relay.egress.commands import UnsafeCommandError, encode_command, mail_parameters, rcpt_parameters, xtext
from relay.egress.masking import RecipientMask
from relay.egress.needs import Needs, needs_of, waives_policies
from relay.mail.address import Address
from relay.mail.envelope import Notify, Recipient, Return
from relay.smtp.reply import MAX_REPLY_BYTES, Reply, remote_reply
from tests.support.egress import message

DSN = Capabilities(dsn=True)


@pytest.mark.parametrize("octet", [*map(chr, range(32)), "\x7f", "é", "\u2028", "\udc80"])
def test_nothing_unsafe_leaves_in_a_command(octet: str) -> None:  # S07
    with pytest.raises(UnsafeCommandError):
        encode_command(f"RCPT TO:<a{octet}b@example.org>")


@pytest.mark.parametrize("octet", ["\r", "\n", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\udc80"])
def test_utf8_lifts_the_bar_for_letters_only(octet: str) -> None:  # S07
    assert encode_command("RCPT TO:<é@example.org>", utf8=True) == "RCPT TO:<é@example.org>\r\n".encode()
    with pytest.raises(UnsafeCommandError):
        encode_command(f"RCPT TO:<a{octet}b@example.org>", utf8=True)


def test_capabilities_are_read_without_case_and_nonsense() -> None:
    offered = parse_capabilities(Reply(250, ("host", "pipelining", "SIZE 1000", "STARTTLS", "", "x y", "8bitmime")))
    assert offered == Capabilities(pipelining=True, starttls=True, eightbit=True, takes_size=True, size=1000)


@pytest.mark.parametrize(("line", "size"), [("SIZE", None), ("SIZE 0", None), ("SIZE x", None), ("SIZE -1", None)])
def test_no_size_is_no_limit(line: str, size: int | None) -> None:  # D04
    offered = parse_capabilities(Reply(250, ("host", line)))
    assert (offered.takes_size, offered.size) == (True, size)


def test_the_first_line_names_no_extension() -> None:
    assert parse_capabilities(Reply(250, ("PIPELINING",))) == NO_CAPABILITIES


@pytest.mark.parametrize(
    ("recipient", "words"),
    [
        (Recipient(Address("a", "x.org")), ""),
        (Recipient(Address("a", "x.org"), Notify.NEVER), " NOTIFY=NEVER"),
        (Recipient(Address("a", "x.org"), Notify.FAILURE | Notify.SUCCESS), " NOTIFY=SUCCESS,FAILURE"),
        (Recipient(Address("a", "x.org"), orcpt="rfc822;a+b=c@x.org"), " ORCPT=rfc822;a+2Bb+3Dc@x.org"),
        (Recipient(Address("a", "x.org"), orcpt="rfc822;é@x.org"), ""),
        (Recipient(Address("a", "x.org"), orcpt="utf-8;é@x.org"), r" ORCPT=utf-8;\x{E9}@x.org"),
        (Recipient(Address("a", "x.org"), orcpt="rfc822;" + "a" * 600), ""),
    ],
)
def test_dsn_parameters(recipient: Recipient, words: str) -> None:
    assert rcpt_parameters(recipient, DSN) == words
    assert rcpt_parameters(recipient, NO_CAPABILITIES) == ""


def test_xtext_hides_what_would_split_a_command() -> None:  # S07
    assert xtext("a b+c=d\r\n") == "a+20b+2Bc+3Dd+0D+0A"


@pytest.mark.parametrize(
    ("content", "options", "needs"),
    [
        ([b"A: b\r\n\r\ntext"], {}, Needs(False, False)),
        ([b"A: b\r\n\r\nt\xc3\xa9"], {}, Needs(True, False)),  # D14
        ([b"A: \xc3\xa9\r\n\r\ntext"], {}, Needs(True, True)),  # D15
        ([b"A: b\r\n\r", b"\nt\xc3\xa9"], {}, Needs(True, False)),
        ([b"A: b\r\n", b"B: \xc3\xa9\r\n\r\n", b"t"], {}, Needs(True, True)),
        ([b"\r\n\xc3\xa9"], {}, Needs(True, False)),
        ([b"A: b\r\n\r\ntext"], {"smtputf8": True}, Needs(False, False)),  # D15: asked for, not needed
        ([b"A: b\r\n\r\nt\xc3\xa9"], {"smtputf8": True}, Needs(True, True)),
        ([b"A: b\r\n\r\ntext"], {"sender": "é@example.org"}, Needs(False, True)),
        ([b"A: b\r\n\r\ntext"], {"sender": ""}, Needs(False, False)),
    ],
)
def test_what_a_message_needs(content: list[bytes], options: dict[str, object], needs: Needs) -> None:
    assert needs_of(message("ann@example.org", content=content, **options)) == needs  # type: ignore[arg-type]


def test_an_idn_domain_needs_nothing() -> None:  # D17
    transaction = message("user@bücher.example")
    assert needs_of(transaction) == Needs(False, False)
    assert str(transaction.recipients[0].address) == "user@xn--bcher-kva.example"


def test_kept_replies_hold_no_recipient() -> None:
    mask = RecipientMask([Address("Joe.Q", "example.org"), Address('"q"', "example.org")])
    kept = mask.reply(remote_reply(550, ("5.1.1 <joe.q@EXAMPLE.org>: no", "JOE.Q@example.org q@example.org x@y.org")))
    assert kept.lines == ("5.1.1 <recipient>: no", "<recipient> <recipient> x@y.org")
    assert kept.enhanced == (5, 1, 1)


def test_kept_replies_are_short() -> None:  # A08
    kept = RecipientMask(()).reply(remote_reply(550, ("é" * 3000, "x" * 3000)))
    assert sum(len(line.encode()) for line in kept.lines) <= MAX_REPLY_BYTES


def test_the_longest_commands_stay_within_what_extensions_add() -> None:  # A12
    everything = Capabilities(eightbit=True, smtputf8=True, dsn=True, takes_size=True)
    longest = Address("l" * 64, ".".join(["d" * 60] * 4)[:180])
    transaction = message(
        Recipient(longest, notify=Notify.SUCCESS | Notify.FAILURE | Notify.DELAY, orcpt="rfc822;" + "o" * 480),
        sender=str(longest),
        ret=Return.HEADERS,
        envid="e" * 100,
    )
    mail = f"MAIL FROM:<{longest}>{mail_parameters(transaction, everything, eightbit=True, utf8=True)}"
    rcpt = f"RCPT TO:<{longest}>{rcpt_parameters(transaction.recipients[0], everything)}"
    # SIZE adds 26 (RFC 1870 §3), 8BITMIME 17 (RFC 6152 §2), SMTPUTF8 10 (RFC 6531 §3.4),
    # DSN 107 to MAIL and 500 to RCPT (RFC 3461 §4).
    assert len(encode_command(mail, utf8=True)) <= 512 + 26 + 17 + 10 + 107
    assert len(encode_command(rcpt)) <= 512 + 500
    bare = Capabilities()
    plain = mail_parameters(transaction, bare, eightbit=True, utf8=False) + rcpt_parameters(
        transaction.recipients[0], bare
    )
    assert plain == ""
    assert len(encode_command(f"MAIL FROM:<{longest}>")) <= 512


@pytest.mark.parametrize(
    ("header", "waived"),
    [
        (b"TLS-Required: No\r\n", True),
        (b"A: b\r\ntls-required:no \r\nC: d\r\n", True),
        (b"TLS-Required: Yes\r\n", False),
        (b"TLS-Required: No, thanks\r\n", False),
        (b"TLS-Required: No\r\nTLS-Required: No\r\n", False),
        (b"X-TLS-Required: No\r\n", False),
        (b"A: b\r\n", False),
    ],
)
def test_a_message_may_waive_its_domains_policies(header: bytes, waived: bool) -> None:  # K02
    assert waives_policies([b"Received: x\r\n", header + b"\r\nTLS-Required: No\r\n"]) is waived
    assert waives_policies([b"Received: x\r\n" + header[:5], header[5:], b"\r\nbody"]) is waived
    assert not waives_policies([])
    assert not waives_policies([b"Subject: x\r\n\r\n" + header])
