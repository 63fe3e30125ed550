"""The readings that were learned: they belong to this corpus, their figures are of today, their work is bounded.

Of the letters for measuring, the sampled eighth is ruled on again; all of them with LEAK_FIGURES=all (half a minute).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import ConfigurationError
from tests.support.moderation import the_moderator
from web.moderation.corpus import CARE, GAUGE, NEXT, PASS, STRANGER, corpus_digest, read_corpus
from web.moderation.features import SIZE, features_of, stretches
from web.moderation.figures import SAMPLE, letters_for_measuring, measure, published_figures, share, told_as_text
from web.moderation.folding import MOST_TOKENS, tokens_of
from web.moderation.trained import load_trained

CORPUS = Path(__file__).parents[3] / "data" / "moderation"
MODERATOR = the_moderator()
VOCABULARY = MODERATOR.trained.vocabulary
FEATURES_A_WORD = 100
EVERYTHING = os.environ.get("LEAK_FIGURES") == "all"


def test_both_readings_were_trained_on_this_corpus_and_not_on_what_is_held_out() -> None:
    lines = list(read_corpus(CORPUS))
    assert len(lines) > 30_000
    learned = [line for line in lines if not line.held_out]
    assert MODERATOR.second.about["corpus"] == corpus_digest(learned)
    assert MODERATOR.trained.header["corpus"] == corpus_digest([*learned, *read_corpus(CORPUS / NEXT)])
    dealt = [line for line in lines if not line.all_learned]
    assert 0.13 < sum(line.held_out for line in dealt) / len(dealt) < 0.2


def test_the_gauge_was_made_of_these_readings_by_letters_that_they_never_saw() -> None:
    learned = {line.letter for line in read_corpus(CORPUS, CORPUS / NEXT)}
    gauge = list(read_corpus(CORPUS / GAUGE))
    about = MODERATOR.gauge.about
    assert about["corpus"] == corpus_digest(gauge)
    assert about["learned from"] == MODERATOR.trained.header["corpus"]
    assert about["second reading learned from"] == MODERATOR.second.about["corpus"]
    assert sum(line.label == PASS for line in gauge) > 1000
    assert not learned & {line.letter for line in gauge}


def test_what_was_learned_is_not_measured() -> None:
    learned = {line.letter for line in read_corpus(CORPUS, CORPUS / NEXT) if not line.held_out}
    measured = letters_for_measuring(CORPUS)
    assert not learned & {line.letter for lines in measured.values() for line in lines}
    # Only what everybody writes is left out: "Bitch."
    written = len(list(read_corpus(CORPUS / STRANGER)))
    assert written - len(measured[STRANGER]) < written / 300


def test_the_published_figures_are_those_of_the_letters_for_measuring(capsys: pytest.CaptureFixture[str]) -> None:
    figures = published_figures()
    for name, measured in letters_for_measuring(CORPUS).items():
        published = figures[name] if EVERYTHING else figures[SAMPLE][name]
        told = measure(MODERATOR, [line for line in measured if EVERYTHING or line.sampled])
        with capsys.disabled():
            print("\n" + told_as_text({"measured": {name: told["both"]}}))
        assert list(_counts(published, "of")) == list(_counts(told, "of"))
        assert list(_counts(published, "hits")) == pytest.approx(
            list(_counts(told, "hits")), abs=3 if EVERYTHING else 1
        )
    assert figures["trained on"]["corpus"] == MODERATOR.trained.header["corpus"]


def test_the_published_figures_count_every_letter_for_measuring() -> None:
    figures = published_figures()
    for name, measured in letters_for_measuring(CORPUS).items():
        for language in ("en", "fr"):
            labels = Counter(line.label for line in measured if line.language == language)
            told = figures[name][language]
            assert told["to pass"]["stopped"]["of"] == labels.pop(PASS, 0)
            assert told["care"]["helped"]["of"] == labels.pop(CARE, 0)
            assert {label: shares["stopped"]["of"] for label, shares in told["by rule"].items()} == labels
            assert told["to stop"]["stopped"]["of"] == labels.total()


def _counts(told: Any, what: str) -> Iterator[int]:
    """The counts of a table of figures; a processor that rounds otherwise may turn a letter at the edge."""
    if isinstance(told, dict):
        if what in told:
            yield told[what]
        for key in sorted(told):
            yield from _counts(told[key], what)


def test_a_share_has_the_wilson_interval() -> None:
    assert (share(17, 20).low, share(17, 20).high) == (0.6396, 0.9476)
    assert (share(0, 0).low, share(0, 0).high) == (0.0, 1.0)


@settings(max_examples=60)
@given(st.text(max_size=2000) | st.lists(st.sampled_from(("tu", "kill", "ta", ".", "sale", "x" * 60))).map(" ".join))
def test_the_work_grows_with_the_words_only(text: str) -> None:
    tokens = tokens_of(text)
    parts = list(stretches(tokens))
    assert len(tokens) <= MOST_TOKENS + 2
    assert sum(len(part) for part in parts) <= 6 * len(tokens) + 60
    for part, features in zip(parts, features_of(tokens, VOCABULARY).rows([(part, ()) for part in parts]), strict=True):
        assert len(features) <= FEATURES_A_WORD * len(part)
        assert all(0 <= one < SIZE for one in features)
        alone = tokens[part.start : part.stop]
        (as_a_letter,) = features_of(alone, VOCABULARY).rows([(range(len(alone)), ())])
        assert features.tolist() == as_a_letter.tolist() == sorted(set(as_a_letter.tolist()))


def test_every_word_is_in_a_stretch() -> None:
    tokens = tokens_of("One two three. " * 40 + "word " * 90)
    seen = {tokens[at].start for part in stretches(tokens) for at in part}
    assert {token.start for token in tokens} <= seen


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "weights.bin"
    for content in (b"", b"{}", b'{"form": 1}\nxx'):
        place.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"weights\.bin"):
            load_trained(place)


def test_a_corpus_line_without_a_label_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "en_own.txt").write_text("pass\tHello.\nnothing\tHello.\n")
    with pytest.raises(ConfigurationError, match=r"en_own\.txt:2: write a label"):
        list(read_corpus(tmp_path))
