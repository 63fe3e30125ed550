"""Tokens: nothing but what was signed here comes back, and one preview is one letter."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ConfigurationError
from relay.ids import SeededEntropy
from tests.support.front import OPTIONS
from tests.support.hand_clock import HandClock
from web.catalogue import Language
from web.draft import Draft
from web.options import FrontOptions
from web.preview import Preview, PreviewTokens
from web.signature import Signature
from web.token import TokenSigner

SHOWN = Preview(Draft("ann@example.org", Signature.FRIEND, "", "Héllo\n\n🦊"), Language.FR, "nonce")


def _tokens(clock: HandClock) -> PreviewTokens:
    return PreviewTokens(OPTIONS, clock, SeededEntropy(1))


def test_a_preview_comes_back_as_it_went_with_its_age() -> None:
    clock = HandClock()
    token = _tokens(clock).sign(SHOWN)
    clock.move(90)
    assert _tokens(clock).open(token) == (SHOWN, timedelta(seconds=90))


def test_any_changed_character_voids_a_token() -> None:  # S41
    signer = TokenSigner(b"k" * 32, HandClock())
    token = signer.sign("preview", {"a": "b"})
    for place in range(len(token)):
        for other in "AB.=":
            if token[place] != other:
                assert signer.open("preview", token[:place] + other + token[place + 1 :]) is None


@given(st.text(max_size=300))
def test_strange_tokens_are_nothing(text: str) -> None:
    assert TokenSigner(b"k" * 32, HandClock()).open("preview", text) is None


def test_purpose_and_key_belong_to_a_token() -> None:
    clock = HandClock()
    signer = TokenSigner(b"k" * 32, clock)
    token = signer.sign("compose", {"nonce": "x"})
    assert signer.open("preview", token) is None
    assert TokenSigner(b"o" * 32, clock).open("compose", token) is None
    assert signer.open("compose", token) is not None


def test_one_form_and_one_text_are_one_letter() -> None:
    tokens = _tokens(HandClock())
    names = tokens.names(SHOWN)
    assert tokens.names(SHOWN.in_language(Language.EN)) == names
    assert len(names.secret) == 32  # 160 bits in base32
    other = Preview(SHOWN.draft, SHOWN.language, "another form")
    changed = Preview(Draft("ann@example.org", Signature.FRIEND, "", "Other"), Language.FR, "nonce")
    assert len({names, tokens.names(other), tokens.names(changed)}) == 3


def test_the_secret_does_not_follow_from_the_id() -> None:  # SND 11
    clock = HandClock()
    elsewhere = FrontOptions("http://x", "x.test", form_key=OPTIONS.form_key, link_key=b"m" * 32, block_key=b"b" * 32)
    here, there = _tokens(clock).names(SHOWN), PreviewTokens(elsewhere, clock, SeededEntropy(1)).names(SHOWN)
    assert here.id == there.id
    assert here.secret != there.secret


def test_a_compose_token_carries_its_nonce_for_a_day() -> None:
    clock = HandClock()
    tokens = _tokens(clock)
    token = tokens.new_form("abc")
    assert tokens.nonce(token) == "abc"
    assert tokens.nonce("") != tokens.nonce("")
    clock.move(86401)
    assert tokens.nonce(token) != "abc"


def test_short_keys_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="link key"):
        FrontOptions("http://x", "x.test", form_key=b"f" * 32, link_key=b"short", block_key=b"b" * 32)
