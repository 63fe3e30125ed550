"""Words written without the spaces between them: taken apart, read by the rules, and held (S24)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.moderation import the_moderator
from web.moderation.ruling import Rule, Step

MODERATOR = the_moderator()


@pytest.mark.parametrize(
    ("letter", "words", "rule"),
    [
        ("Youareapatheticloser!", "Youareapatheticloser", Rule.BULLYING),
        ("Hello. iwillkillyou, see you", "iwillkillyou", Rule.THREAT),
        ("Bonjour, jevaistetuer ce soir.", "jevaistetuer", Rule.THREAT),
        ("JeVaisTeTuér", "JeVaisTeTuér", Rule.THREAT),
    ],
)
def test_what_is_run_together_is_read_and_held(letter: str, words: str, rule: Rule) -> None:
    ruling = MODERATOR.rule(letter)
    assert (ruling.step, ruling.rules[0]) == (Step.HOLD, rule)
    assert [text for text, marked in ruling.parts(letter) if marked] == [words]


@pytest.mark.parametrize(
    "letter",
    [
        "The locksmith and the ombudsman came to the launderette on Wednesday.",
        "La surveillante a perdu son attestation contractuelle à Concarneau.",
        "Love to everybody in Llanfairpwllgwyngyll and Bishopsworth, thank you for the photographs.",
        "Thankyouforeverything, seeyouonmonday!",
    ],
)
def test_long_words_and_kind_ones_run_together_pass(letter: str) -> None:
    assert MODERATOR.rule(letter).step is Step.PASS


@settings(max_examples=60)
@given(st.text(alphabet="abcdehiklmnorstuvwy", min_size=9, max_size=90))
def test_what_is_taken_apart_is_all_there(word: str) -> None:
    words = MODERATOR.disguises.spaces.split(word)
    assert "".join(words) in {word, ""}
    assert all(one in MODERATOR.disguises.spaces.likely for one in words)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(sorted(MODERATOR.disguises.spaces.likely)[::40]), min_size=1, max_size=5).map("".join))
def test_a_word_is_taken_apart_as_is_likeliest(word: str) -> None:
    likely = MODERATOR.disguises.spaces.likely
    best = [0.0] + [float("-inf")] * len(word)
    for end in range(1, len(word) + 1):
        best[end] = max(best[start] + likely.get(word[start:end], float("-inf")) for start in range(end))
    assert sum(map(likely.__getitem__, MODERATOR.disguises.spaces.split(word))) == pytest.approx(best[-1])
