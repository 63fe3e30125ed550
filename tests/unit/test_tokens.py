"""Signed tokens: one text for one subject, good in any case, for its time, under the keys of its time, and no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.engine.preparing import MAX_DELAY
from relay.engine.unsubscribe import LINK_LIFE
from relay.ids import SeededEntropy, base32, from_base32, new_spool_id
from relay.mail.address import MAX_LOCAL, parse_address
from relay.tokens import (
    KEY_LIFE,
    MAX_SUBJECT,
    Token,
    TokenFault,
    TokenKey,
    TokenKind,
    Tokens,
    delivery_subject,
    subject_delivery,
)
from tests.support.hand_clock import HandClock

NOW = HandClock().now()
OLD, NEW = TokenKey(b"a" * 32), TokenKey(b"b" * 32)
SUBJECT = bytes(range(18))
LATER = NOW + timedelta(days=30)


def tokens(*keys: TokenKey, clock: HandClock | None = None) -> Tokens:
    return Tokens(keys or (OLD,), clock or HandClock())


def test_a_token_says_what_it_was_given() -> None:
    text = tokens().mint(TokenKind.RETURN, SUBJECT, LATER)
    assert tokens().verify(text) == Token(TokenKind.RETURN, SUBJECT, LATER.date())
    assert text == tokens().mint(TokenKind.RETURN, SUBJECT, LATER), "constant over retries"
    assert text == text.lower()


def test_it_comes_back_in_any_case() -> None:
    text = tokens().mint(TokenKind.RETURN, SUBJECT, LATER)
    assert tokens().verify(text.upper()) == tokens().verify(text)


@pytest.mark.parametrize("kind", TokenKind)
def test_it_is_a_local_part(kind: TokenKind) -> None:
    text = tokens().mint(kind, b"\xff" * MAX_SUBJECT, LATER)
    assert len(text) <= MAX_LOCAL
    assert parse_address(f"{text}@bounces.leak.example").local == text
    with pytest.raises(ValueError, match="24 octets"):
        tokens().mint(kind, b"x" * (MAX_SUBJECT + 1), LATER)


def test_every_changed_letter_makes_it_forged() -> None:  # S22, N05
    text = tokens().mint(TokenKind.RETURN, SUBJECT, LATER)
    for place, letter in enumerate(text):
        for other in "0123456789abcdefghjkmnpqrstvwxyziluo-":
            if other != letter:
                assert tokens().verify(text[:place] + other + text[place + 1 :]) is TokenFault.FORGED


def test_one_kind_is_never_good_for_another() -> None:
    text = tokens().mint(TokenKind.RETURN, SUBJECT, LATER)
    assert tokens().verify(TokenKind.UNSUBSCRIBE + text[1:]) is TokenFault.FORGED


def test_its_last_day_counts() -> None:
    clock = HandClock()
    ours = tokens(clock=clock)
    text = ours.mint(TokenKind.RETURN, SUBJECT, NOW)
    clock.move(11 * 3600)
    assert isinstance(ours.verify(text), Token)
    clock.move(3600)
    assert ours.verify(text) is TokenFault.EXPIRED


def test_a_rotated_key_still_verifies_for_two_years() -> None:
    clock = HandClock()
    text = tokens(OLD).mint(TokenKind.RETURN, SUBJECT, NOW + timedelta(days=1000))
    rotated = tokens(NEW, TokenKey(OLD.secret, (NOW + KEY_LIFE).date()), clock=clock)
    assert isinstance(rotated.verify(text), Token)
    assert rotated.mint(TokenKind.RETURN, SUBJECT, LATER) != tokens(OLD).mint(TokenKind.RETURN, SUBJECT, LATER)
    clock.move(781 * 86400)
    assert rotated.verify(text) is TokenFault.FORGED


def test_a_key_outlives_every_link_it_signed() -> None:  # N06
    assert timedelta(days=365) < LINK_LIFE - timedelta(days=30)
    assert MAX_DELAY + LINK_LIFE <= KEY_LIFE


def test_a_stranger_cannot_mint() -> None:  # S22
    assert tokens(NEW).verify(tokens(OLD).mint(TokenKind.RETURN, SUBJECT, LATER)) is TokenFault.FORGED


def test_nothing_of_the_subject_can_be_read() -> None:
    # The same message's deliveries, and messages of one millisecond, must not look alike.
    first = tokens().mint(TokenKind.RETURN, bytes(18), LATER)
    second = tokens().mint(TokenKind.RETURN, bytes(17) + b"\x01", LATER)
    assert sum(a == b for a, b in zip(first[5:], second[5:], strict=True)) < 12


def test_a_delivery_is_named_and_found() -> None:
    message = new_spool_id(1_790_000_000_000, SeededEntropy(1))
    assert subject_delivery(delivery_subject(message, 65_535)) == (message, 65_535)
    with pytest.raises(ValueError, match="not the subject"):
        subject_delivery(b"short")


@given(st.text(max_size=80))
def test_no_text_makes_it_raise(text: str) -> None:
    assert tokens().verify(text) is TokenFault.FORGED


@given(st.binary(max_size=40))
def test_base32_has_one_form(data: bytes) -> None:
    text = base32(data)
    assert from_base32(text, len(data)) == data


@pytest.mark.parametrize(("text", "count"), [("z", 0), ("zz", 1), ("0", 1), ("0u", 1), ("000", 1)])
def test_other_texts_are_refused(text: str, count: int) -> None:
    with pytest.raises(ValueError, match=r"length|digit|bytes"):
        from_base32(text, count)
