"""The second reading: how words become pieces, what of a letter is read, and that its files are checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from relay.data_files import data_file
from relay.errors import ConfigurationError
from tests.support.moderation import NotAskedError, reads_once, the_moderator
from web.moderation.ruling import Rule, Ruling, Step
from web.moderation.second.pieces import SPECIAL, UNKNOWN, Pieces, load_pieces
from web.moderation.second.reader import (
    ABOUT_FILE,
    MOST_PIECES,
    NETWORK_FILE,
    SecondReader,
    load_second_reader,
)
from web.moderation.weighing import GAUGE_FILE, load_gauge

READER = load_second_reader()
PIECES = READER.pieces
TEXTS = {number: piece for piece, number in PIECES.numbers.items()}
THREAT = "I know where you live and I will burn your house down with you inside."


def spelled(text: str) -> str:
    return "".join(TEXTS[number] for number in PIECES.of(text)).replace("\u2581", " ").strip()


@pytest.mark.parametrize("text", ["you know where i live.", "où est-ce qu'il dort, déjà ?", "naïve œuvre", "😂 mdr"])
def test_pieces_spell_what_was_written(text: str) -> None:
    assert spelled(text) == text


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("LOOOOSER!!!", "loser!"),
        ("pa\u200bthetic", "pathetic"),
        ("раthetic", "pathetic"),
        ("ｐａｔｈｅｔｉｃ", "pathetic"),
        ("Mеnace", "menace"),
    ],
)
def test_a_disguise_is_folded_away(disguised: str, plain: str) -> None:
    assert PIECES.of(disguised) == PIECES.of(plain)


def test_words_are_cut_where_their_pieces_are_likeliest() -> None:
    scores = {"\u2581a": -1.0, "b": -1.0, "c": -1.0, "\u2581ab": -1.5, "bc": -4.0, "\u2581": -5.0}
    pieces = Pieces({piece: SPECIAL + at for at, piece in enumerate(scores)}, scores)
    names = {SPECIAL + at: piece for at, piece in enumerate(scores)}
    assert [names.get(number, "?") for number in pieces.of("abc")] == ["\u2581ab", "c"]
    assert pieces.of("a?") == [SPECIAL, UNKNOWN]


def test_only_words_that_are_pieces_are_remembered() -> None:
    pieces = load_pieces()
    assert pieces.of("zoltrimbek thank") == pieces.of("zoltrimbek thank") == PIECES.of("zoltrimbek thank")
    assert list(pieces._whole) == ["\u2581thank"]


def test_every_processor_reads_alike() -> None:
    """Two products of what passes between matrices, of eight bits, and of weights fit in sixteen bits."""
    constants = {one.name: numpy_helper.to_array(one) for one in onnx.load(data_file(NETWORK_FILE)).graph.initializer}
    dense = [name.removesuffix(".scales") for name in constants if name.endswith(".scales") and name != "word.scales"]
    assert len(dense) > 40
    for name in dense:
        weights = constants[f"{name}.weight"]
        assert weights.dtype == np.int8
        assert 2 * 255 * int(np.abs(weights.astype(np.int32)).max()) <= np.iinfo(np.int16).max


@settings(max_examples=100)
@given(st.text(max_size=400))
def test_any_text_has_pieces_and_an_opinion(text: str) -> None:
    assert len(PIECES.of(text)) <= 4 * len(text) + 2
    opinion = READER.read(text)
    assert opinion == READER.read(text)
    assert opinion.rule is not Rule.LANGUAGE


def test_of_a_long_letter_what_surrounds_the_worst_place_is_read() -> None:
    calm = "We met at the bakery, and you told me about the garden and the two cats. " * 12
    letter = calm + THREAT + " " + calm
    start = letter.index(THREAT)
    window = READER.window(letter, start, start + len(THREAT))
    assert len(window) == MOST_PIECES - 2
    told = "".join(TEXTS[number] for number in window).replace("\u2581", " ")
    assert THREAT.lower() in told
    before, after = told.split(THREAT.lower())
    assert "cats" in before
    assert after.startswith(" we met")
    assert READER.read(letter, start, start + len(THREAT)).stop > READER.read(letter).stop
    assert READER.window(calm, 0, 0) == PIECES.of(calm)[: len(READER.window(calm, 0, 0))]


def test_a_threat_reads_like_one_and_thanks_do_not() -> None:
    opinion = READER.read(THREAT)
    assert (opinion.rule, opinion.stop > 1) == (Rule.THREAT, True)
    assert READER.read("Thank you for the soup, it was the best evening of the whole winter.").stop < -2
    assert READER.read("Je n'en peux plus, je pense à en finir toutes les nuits.").care > 1


@pytest.mark.parametrize(
    "letter",
    [
        "Espèce d'idiot, tu m'as fait pleurer à ma propre fête. Je t'aime.",
        "I love you, you great goose.",
        "La dernière fois, j'ai crié. J'en ai honte.",
    ],
)
def test_a_rough_word_in_a_letter_that_reads_kindly_is_not_read_twice(letter: str) -> None:
    moderator = the_moderator()
    assert any(hit.weighed for hit in moderator.reader.read(letter).hits)
    assert reads_once(moderator).rule(letter) == Ruling(Step.PASS) == moderator.rule(letter)


@pytest.mark.parametrize(
    ("letter", "step"),
    [
        ("zxqv wqpl krtz bvnm plok qwxz " * 9, Step.PASS),  # it says too little for anything to follow
        ("zxqv table wяpl you kжtz window bvnm your plok house " * 6, Step.HOLD),  # a rule speaks of all of it
    ],
)
def test_a_letter_of_which_nothing_would_follow_is_not_read_twice(letter: str, step: Step) -> None:
    moderator = the_moderator()
    reading = moderator.reader.read(letter)
    score = moderator.trained.score(reading.tokens, list(reading.stretches()), moderator.gauge.first)
    assert max(score.stop, score.care) >= moderator.gauge.scale(score.words).thresholds.doubt
    assert reads_once(moderator).rule(letter) == moderator.rule(letter)
    assert moderator.rule(letter).step is step


@pytest.mark.parametrize("letter", ["J'ai cru mourir de rire à ton mariage, merci pour tout.", THREAT])
def test_a_cry_for_help_is_read_twice_however_kindly_it_reads_and_so_is_a_threat(letter: str) -> None:
    with pytest.raises(NotAskedError):
        reads_once(the_moderator()).rule(letter)


def test_threads_read_at_once_what_one_reads() -> None:
    letters = [f"Letter number {number}. {THREAT[: number * 3]}" for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(READER.read, letters)) == [READER.read(letter) for letter in letters]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("network.onnx", "nothing", r"network\.onnx: this is no network"),
        ("network.json", "{}", r"network\.json: .*labels"),
        ("network.json", '{"labels": ["pass"]}', r"network\.json: .*pass and care are missing"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    for whole in data_file(ABOUT_FILE).parent.iterdir():
        (tmp_path / whole.name).symlink_to(whole)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=complaint):
        load_second_reader(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a\t-1\nb\n", r"pieces\.txt:2: write a piece, a tab and a number"),
        ("a\tmany\n", r"pieces\.txt:1: write a piece, a tab and a number"),
    ],
)
def test_a_broken_table_of_pieces_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    place = tmp_path / "pieces.txt"
    place.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=complaint):
        load_pieces(place)


@pytest.mark.parametrize("scale", ["usual", "long"])
@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"hold": 1.0}},
        {"thresholds": "none"},
        {"stop": None},
        {"care": "many"},
        {"care": "letter"},
        {"stop": [1.0]},
        {"whole and worst": 3},
    ],
)
def test_a_broken_scale_of_the_gauge_is_named(tmp_path: Path, scale: str, change: dict[str, object]) -> None:
    told = json.loads(data_file(GAUGE_FILE).read_text(encoding="utf-8"))
    _refused(tmp_path, {**told, scale: {**told[scale], **change}})


@pytest.mark.parametrize("change", [{"usual": 1}, {"long": ...}, {"alone": "no"}, {"about": ...}])
def test_a_broken_gauge_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    told = {**json.loads(data_file(GAUGE_FILE).read_text(encoding="utf-8")), **change}
    _refused(tmp_path, {key: value for key, value in told.items() if value is not ...})


def _refused(tmp_path: Path, told: dict[str, object]) -> None:
    place = tmp_path / "gauge.json"
    place.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"gauge\.json: this is no gauge of the readings"):
        load_gauge(place)


def test_one_reader_is_a_plain_value() -> None:
    assert isinstance(READER, SecondReader)
    assert set(READER.labels) == {"pass", "care", *(rule.value for rule in Rule if rule is not Rule.LANGUAGE)}


def test_the_runtime_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    # SND 4. It would keep an identifier of the machine, and what it reports, below the user's cache.
    told = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH"}}
    program = "from web.moderation.second.reader import load_second_reader; load_second_reader().read('Hello.')"
    subprocess.run(
        [sys.executable, "-c", program],
        env=told | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "ORT_DISABLE_TELEMETRY": "0"},
        check=True,
    )
    assert list(tmp_path.iterdir()) == []
