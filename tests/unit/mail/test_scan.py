"""Content looked at in pieces is refused for what the whole would be refused for, wherever it is cut."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from relay.mail.check import ContentError, check_content
from relay.mail.scan import ContentScan

_HEADER = b"From: ann@sender.example\r\nSubject: x\r\n"
_PARTS = [b"a" * 400, b"\r\n", b"b", b"\xc3\xa9", b" ", b"\r\n\r\n"]
_BAD = [b"\r", b"\n", b"\0"]


def scan(content: bytes, cuts: random.Random) -> tuple[bytes, bytes, bool]:
    """Header, body, and whether that is 8-bit."""
    looked, body, at = ContentScan(), b"", 0
    while at < len(content):
        size = cuts.randrange(1, 500)
        body += looked.feed(content[at : at + size])
        at += size
    return looked.finish(), body, looked.eight_bit


def of_whole(content: bytes) -> tuple[bytes, bytes, bool]:
    checked = check_content(content, smtputf8=False)
    return checked.header, checked.body, checked.eight_bit


def answer(look: Callable[[], tuple[bytes, bytes, bool]]) -> object:
    """What was found, or the code of the refusal."""
    try:
        return look()
    except ContentError as refused:
        return refused.reply.code


def test_the_checks_of_the_whole_hold_for_its_pieces() -> None:  # F03
    chance = random.Random(3)
    for _ in range(2000):
        parts = [chance.choice(_PARTS) for _ in range(chance.randrange(10))]
        if chance.random() < 0.2:
            parts.insert(chance.randrange(len(parts) + 1), chance.choice(_BAD))
        content = _HEADER + b"\r\n" + b"".join(parts)
        assert answer(lambda: scan(content, chance)) == answer(lambda: of_whole(content)), content  # noqa: B023


def test_a_header_without_end_is_refused_before_it_is_held() -> None:  # S31
    looked = ContentScan()
    fields = [b"X-%d: %s\r\n" % (n, b"y" * 400) for n in range(2000)]
    with pytest.raises(ContentError, match="longer than"):
        list(map(looked.feed, fields))


def test_content_without_an_empty_line_is_all_header() -> None:
    looked = ContentScan()
    assert looked.feed(_HEADER) == b""
    assert looked.finish() == _HEADER
    empty = ContentScan()
    assert (empty.feed(b"\r\nbody\r\n"), empty.finish()) == (b"body\r\n", b"")
