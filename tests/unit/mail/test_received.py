"""The Received field in each mode, and what a client cannot put into it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from relay.ids import SpoolId
from relay.mail.address import Address, parse_address
from relay.mail.header import parse_fields
from relay.mail.received import Client, Received

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BOB = parse_address("bob@example.org")


def received(
    name: str = "client.example",
    address: str = "192.0.2.1",
    *,
    protocol: str = "ESMTPSA",
    recipient: Address | None = BOB,
    hide: bool = False,
) -> str:
    told = Received(
        client=None if hide else Client(name, address),
        by="mail.leak.example",
        protocol=protocol,
        spool_id=SpoolId("01j0000000000000000000000"),
        recipient=recipient,
        at=AT,
    )
    (parsed,) = parse_fields(told.field())
    assert parsed.name == b"Received"
    return parsed.value.decode()


def test_the_whole_field() -> None:  # C09
    assert received() == (
        "from client.example ([192.0.2.1])\tby mail.leak.example with ESMTPSA id 01j0000000000000000000000"
        "\tfor <bob@example.org>;\tWed, 04 Mar 2026 05:06:07 +0000"
    )


def test_no_for_clause_without_a_single_recipient() -> None:  # C09
    assert " for " not in received(recipient=None).replace("\t", " ")


def test_utf8_recipients_only_under_utf8smtp() -> None:
    jorg = parse_address("jörg@example.org")
    assert "jörg" not in received(recipient=jorg)
    assert "for <jörg@example.org>" in received(recipient=jorg, protocol="UTF8SMTPSA")


def test_the_client_can_be_hidden() -> None:  # C11
    value = received(hide=True)
    assert value.startswith("by mail.leak.example with ESMTPSA id ")
    assert "192.0.2.1" not in value
    assert "client" not in value


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("", "192.0.2.1", "from [192.0.2.1] ([192.0.2.1])"),
        ("[192.0.2.9]", "192.0.2.1", "from [192.0.2.9] ([192.0.2.1])"),
        ("[IPv6:2001:db8::9]", "2001:DB8::1", "from [IPv6:2001:db8::9] ([IPv6:2001:db8::1])"),
        ("host_1", "::ffff:192.0.2.1", "from host_1 ([192.0.2.1])"),
        ("host", "fe80::1%eth0", "from host ([IPv6:fe80::1])"),
        ("host", "", "from host\tby"),
        ("", "", "by "),
        ("", "/run/socket", "by "),
    ],
)
def test_clients_of_every_kind(name: str, address: str, expected: str) -> None:
    assert received(name, address).startswith(expected)


@pytest.mark.parametrize(
    "name", ["a\r\nBcc: x@y.example", "a b", "a;b", "a(b", "a\0", "é.example", "[1.2.3.4", "a" * 300, "[a]\r\nX: y"]
)
def test_nothing_can_be_injected(name: str) -> None:  # S07, S08
    assert received(name).startswith("from [192.0.2.1] ([192.0.2.1])\tby mail.leak.example")


def test_our_own_words_are_checked_too() -> None:
    with pytest.raises(ValueError, match="Received"):
        received(protocol="ESMTP\r\nX: y")
