"""Who a message is from: read as every receiver reads it, or refused."""

from __future__ import annotations

import contextlib
import time

import pytest

from relay.mail.author import MAX_VALUE, parse_mailboxes
from relay.mail.header import HeaderError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ann@example.com", ["ann@example.com"]),
        ("<ann@example.com>", ["ann@example.com"]),
        ("Ann Lee <ann@EXAMPLE.com>", ["ann@example.com"]),
        ('"Lee, Ann (home) <x@y.example>" <ann@example.com>', ["ann@example.com"]),
        ("=?utf-8?q?J=C3=B6rg?= <joerg@example.com>", ["joerg@example.com"]),
        ("Jörg <joerg@example.com>", ["joerg@example.com"]),
        ("ann@example.com (Ann Lee)", ["ann@example.com"]),
        ("(a (nested \\) comment) here) ann@example.com", ["ann@example.com"]),
        ("ann (c) @ (d) example . com (e)", ["ann@example.com"]),
        ("Dr. A. Lee <ann@example.com>", ["ann@example.com"]),
        ("<@relay.example,@b.example:ann@example.com>", ["ann@example.com"]),
        ('"ann lee"@example.com', ['"ann lee"@example.com']),
        ('"eve@other.example"@example.com', ['"eve@other.example"@example.com']),
        ("ann@example.com, , bob@example.org,", ["ann@example.com", "bob@example.org"]),
        ("Team: ann@example.com, Bob <bob@example.org>;", ["ann@example.com", "bob@example.org"]),
        ("Undisclosed:;", []),
        ("", []),
        ("ann@bücher.example", ["ann@xn--bcher-kva.example"]),
        ("jörg@example.com", ["jörg@example.com"]),
    ],
)
def test_authors_are_read(value: str, expected: list[str]) -> None:  # O05
    assert [str(address) for address in parse_mailboxes(value.encode())] == expected


@pytest.mark.parametrize(
    "value",
    [
        "ann@example.com <eve@other.example>",  # an address as a display name
        "<ann@example.com> <eve@other.example>",
        "<ann@example.com> eve@other.example",
        "ann@example.com eve@other.example",
        "ann@example.com eve",
        "ann lee@example.com",
        "ann@example.com@other.example",
        '"ann" lee@example.com',
        '"ann".lee@example.com',
        "=?utf-8?q?eve=40other.example?=@example.com",
        "=?utf-8?q?a,_b?= <ann@example.com>",
        "ann",
        "Ann Lee",
        "<>",
        "Ann <>",
        "<ann@example.com",
        "ann@example.com>",
        "Ann <ann@example.com>>",
        "Ann <<ann@example.com>>",
        "(ann@example.com",
        '"ann@example.com',
        "ann@example.com)",
        "Team: ann@example.com",
        "Team: Inner: ann@example.com;;",
        "Team: ann@example.com; eve@other.example",
        ": ann@example.com;",
        "ann@example.com;",
        "ann@[192.0.2.1]",
        "ann@localhost",
        "ann@example.com.",
        'ann@"example.com"',
        "ann@exa mple.com",
        "ann@",
        "@example.com",
        "<@:ann@example.com>",
        "<@relay.example ann@example.com>",
        "a..b@example.com",
        "ann\\@eve@example.com",
        "ann\x01@example.com",
        "ann@example.com\r\nBcc: x@y.example",
        "ann@example.com\0",
        "[ann]@example.com",
    ],
)
def test_doubt_is_refused(value: str) -> None:  # S09, F10
    with pytest.raises(HeaderError) as caught:
        parse_mailboxes(value.encode(), "Sender")
    assert caught.value.field == "Sender"
    assert "other.example" not in str(caught.value)


def test_invalid_utf8_is_refused() -> None:
    with pytest.raises(HeaderError):
        parse_mailboxes(b"J\xf6rg <joerg@example.com>")


@pytest.mark.parametrize(
    "unit", ["(", "a@a@a@", ";", "=?=?=?", ",", "()", "<", '"', '""', "\\", "a:", ".", "a ", "@a,", "(\\"]
)
def test_hostile_values_take_linear_time(unit: str) -> None:  # S29
    for size in (MAX_VALUE, 1 << 20):
        value = (unit * (size // len(unit))).encode()
        for form in (value, b"<" + value, b"a:" + value, b"(" + value):
            started = time.process_time()
            with contextlib.suppress(HeaderError):
                parse_mailboxes(form)
            assert time.process_time() - started < 1
