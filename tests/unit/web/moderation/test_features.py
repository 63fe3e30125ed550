"""The numbers of the first reading, against their definition; what is remembered of words, against its bound."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.moderation import the_moderator
from web.moderation import vocabulary
from web.moderation.concepts import SENTENCE_END
from web.moderation.corpus import STRANGER, read_corpus
from web.moderation.features import features_of, hit_feature
from web.moderation.folding import BARRIER, Token, fold, fold_word, tokens_of
from web.moderation.runs import runs_of
from web.moderation.second.pieces import load_pieces
from web.moderation.vocabulary import MOST_CONCEPTS, Kind, Vocabulary, mix, number_of

MODERATOR = the_moderator()
TRAINED = MODERATOR.trained
CONCEPTS = TRAINED.concepts
CORPUS = Path(__file__).parents[3] / "data" / "moderation"
LEXICON = MODERATOR.reader.book.lexicon
MASKABLE = [word for word, classes in LEXICON.words.items() if classes & LEXICON.grave]
WORDS = sorted(sorted(CONCEPTS.families)[::400] + sorted(CONCEPTS.words)[::20])


def numbers_of(tokens: Sequence[Token]) -> set[int]:
    """The numbers of a letter, read off their definition one by one."""
    of = [number_of(token.word) for token in tokens]
    families = [CONCEPTS.families.get(token.word, 0) for token in tokens]
    concepts = [CONCEPTS.of(token.word)[:MOST_CONCEPTS] for token in tokens]
    found: set[int] = set()
    for at, token in enumerate(tokens):
        found |= {mix(Kind.RUN, number_of(run)) for run in _runs(f"<{token.word[:20]}>")}
        if token.word != BARRIER:
            found.add(mix(Kind.QUOTED if token.quoted else Kind.WORD, of[at]))
        if families[at]:
            found.add(mix(Kind.FAMILY, families[at]))
        found |= {mix(Kind.CONCEPT, concept) for concept in concepts[at] if concept != SENTENCE_END}
        for far in range(1, min(5, len(tokens) - at)):
            other = at + far
            if far < 4:
                found.add(mix(Kind.PAIR if far == 1 else Kind.SKIP, of[at], of[other]))
                if families[at]:
                    found.add(mix(Kind.FAMILIES, families[at], families[other] or of[other]))
            if far == 1:
                found |= {mix(Kind.AFTER, of[at], concept) for concept in concepts[other]}
                found |= {mix(Kind.BEFORE, of[other], concept) for concept in concepts[at]}
                found |= {mix(Kind.NEXT, one, two) for one in concepts[at] for two in concepts[other]}
                if families[other] and not families[at]:
                    found.add(mix(Kind.INTO, of[at], families[other]))
            if far == 2:
                found.add(mix(Kind.THREE, of[at] * 31 + of[at + 1], of[other]))
            if all(between.word != BARRIER for between in tokens[at + 1 : other]):
                found |= {mix(Kind.FOLLOW, one, two) for one in concepts[at] for two in concepts[other]}
    return found


def _runs(marked: str) -> Iterator[str]:
    for size in 3, 4:
        yield from (marked[at : at + size] for at in range(len(marked) - size + 1))


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*WORDS, ".", ".", '"', "xyzzy", "a" * 50]), max_size=40).map(" ".join) | st.text())
@example("He said “I hate you all”. You? Go away, idiot! Kill 2 birds; not me.")
def test_the_numbers_of_a_letter_and_of_its_stretches_are_as_defined(text: str) -> None:
    tokens = tokens_of(text)
    parts = [(range(len(tokens)), {5, 7}), (range(len(tokens) // 2), ()), (range(len(tokens) // 3, len(tokens)), (1,))]
    parts = [(places, more) for places, more in parts if places]
    for (places, more), row in zip(parts, features_of(tokens, TRAINED.vocabulary).rows(parts), strict=True):
        assert row.tolist() == sorted(numbers_of(tokens[places.start : places.stop]) | set(more))


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(), max_size=30), min_size=1, max_size=9))
@example(["", "a", "é", "漢字", "😀", "\ud800", "x" * 30])
def test_the_runs_of_many_words_are_those_of_each(words: list[str]) -> None:
    checksums, sizes = runs_of(words)
    runs = [sorted(map(number_of, _runs(f"<{word[:20]}>"))) for word in words]
    assert sizes.tolist() == list(map(len, runs))
    assert [sorted(some.tolist()) for some in np.split(checksums, sizes.cumsum()[:-1])] == runs


def letters() -> list[str]:
    return [line.letter for line in read_corpus(CORPUS / STRANGER)]


def test_a_stretch_has_what_the_rules_found_in_it() -> None:
    letter = "You are a loser, and I told you. " * 3 + "Thank you for the soup. You bitch, I will hurt you. " * 4
    reading = MODERATOR.reader.read(letter)
    weighed = [hit for hit in reading.hits if hit.weighed]
    found = [(one.start, one.end, one.feature) for one in reading.clues]
    found += [(hit.start, hit.end, hit_feature(hit.rule, hit.step)) for hit in weighed]
    parts = list(reading.stretches())
    assert len({frozenset(more) for _, more in parts}) > 3
    for places, more in parts:
        start, end = reading.tokens[places[0]].start, reading.tokens[places[-1]].end
        assert set(more) == {feature for begin, stop, feature in found if begin < end and start < stop}


@pytest.mark.parametrize("together", [1, 20])
def test_the_whole_of_a_letter_is_all_that_its_stretches_have(together: int) -> None:
    reading = MODERATOR.reader.read(" ".join(letters()[:together]))
    parts = list(reading.stretches())
    rows = features_of(reading.tokens, TRAINED.vocabulary).rows(parts)
    every = np.unique(np.concatenate(rows))
    bias, scale = TRAINED.header["biases"]["stop"], TRAINED.header["scales"]["stop"]
    whole, *stops = (
        bias + scale / len(row) ** 0.5 * int(TRAINED.weights[row, 0].sum(dtype=int)) for row in (every, *rows)
    )
    score = TRAINED.score(reading.tokens, parts, MODERATOR.gauge.first)
    assert [stop for _, stop in score.stretches] == pytest.approx(stops)
    assert score.columns[0] == pytest.approx(whole)


def test_several_letters_are_scored_at_once_as_each_is_alone() -> None:
    some = letters()
    texts = [
        *some[::300],
        "Stay there! " * 3 + "C'est nul.",
        " ".join(some[:20]),
        "cul dog best",
        "« You idiot », he said.",
    ]
    readings = [MODERATOR.reader.read(text) for text in texts]
    stretched = [(reading.tokens, list(reading.stretches())) for reading in readings]
    joint = MODERATOR.gauge.first
    assert TRAINED.scores(stretched, joint) == [TRAINED.score(*one, joint) for one in stretched]
    assert TRAINED.scores([], joint) == []


@settings(max_examples=100)
@given(st.text(st.characters(), max_size=40))
@example("ÉﷺA\u200b\u0301œ \u3164Ⓐ\ud800")
def test_each_folded_letter_has_the_place_that_it_came_from(text: str) -> None:
    folded, places = fold(latin := f"é{text}{'a' * len(text)}")
    assert folded == fold_word(latin)
    assert list(places) == [at for at, character in enumerate(latin) for _ in fold_word(character)]


def test_what_is_remembered_of_words_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_MOST_KEPT", 10)
    small = Vocabulary(CONCEPTS)
    for word in [*WORDS[:25], "kill", *WORDS[:25], "x" * 41]:
        token = Token(word, 0, 0)
        assert small.of([token]) == small.of([token]) == TRAINED.vocabulary.of([token])
        assert len(small._known) <= 10


def test_no_word_of_a_letter_stays_in_memory_that_is_in_no_list_of_ours() -> None:
    moderator = the_moderator()
    moderator.rule("Dear Zoltrimbek, I saw mum-zoltrimbeks and killzoltrimbek at zoltrimbek@a.example. You idiot. 🥔")
    vocabulary_words = {word for word, _ in moderator.trained.vocabulary._known}
    known = moderator.reader.book.lexicon.known
    for listed in ("idiot", "🥔"):
        assert listed in vocabulary_words
        assert listed in known
    assert not [word for word in (*vocabulary_words, *known) if "zoltrim" in word]


def test_a_word_of_our_lists_of_words_is_worked_out_once() -> None:
    moderator = the_moderator()
    moderator.rule("Thank you for the rhubarb scones.")
    assert {"rhubarb", "scones"} <= {word for word, _ in moderator.trained.vocabulary._known}


@settings(max_examples=200)
@given(st.sampled_from(MASKABLE), st.randoms(use_true_random=False))
def test_behind_marks_stands_the_first_word_that_they_fit(word: str, source: Random) -> None:
    """As an expression would find it, in which marks stand for one letter to four more than there are marks."""
    masked = word[0] + "".join(source.choice([c, c, "*", "#", "", "x"]) for c in word[1:])
    parts = [re.escape(part) for part in re.split(r"[*#]+", masked)]
    sizes = [len(marks) + 4 for marks in re.findall(r"[*#]+", masked)]
    expression = parts[0] + "".join(f".{{1,{size}}}{part}" for size, part in zip(sizes, parts[1:], strict=True))
    found = next((LEXICON.words[one] for one in MASKABLE if re.fullmatch(expression, one)), frozenset())
    if sizes and not LEXICON._exact(masked):  # "retard*d" begins like a stem of the lists, whatever stands behind it
        assert LEXICON.classes(masked) == found


def test_of_an_endless_word_the_table_of_pieces_reads_the_beginning() -> None:
    pieces = load_pieces()
    assert pieces.of("y" + "es" * 900) == pieces.of("y" + "es" * 20)


def test_no_pattern_that_matches_is_left_unasked() -> None:
    reader = MODERATOR.reader
    every = [one for asked in reader.book.by_class.values() for one in asked]
    for letter in letters()[::90]:
        of = [reader.book.lexicon.classes(token.word) for token in reader.read(letter).tokens]
        places = reader._places(of, [pattern for *_, pattern in every])
        matching = sorted(number for number, _, pattern in every if pattern.matches(places))
        asked = reader.book.asked_of(set(of))
        assert [number for number, _, pattern in asked if pattern.matches(places)] == matching
