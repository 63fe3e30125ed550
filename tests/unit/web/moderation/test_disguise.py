"""Letters in which words are hidden, or spelled as they are spoken: read as they are meant (S24)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.moderation import the_moderator
from web.moderation.ruling import Rule, Step
from web.moderation.second.reader import LEAST_HIDDEN, MOST_PIECES

MODERATOR = the_moderator()
DISGUISES = MODERATOR.disguises


def meant(letter: str) -> str:
    return " | ".join(one.text for one in DISGUISES.meant(letter))


@pytest.mark.parametrize(
    ("letter", "words"),
    [
        ("y0u @r€ p@th€t!c", "you are pathetic"),
        ("s@l0p3", "salope"),
        ("J3 v415 73 7u3r", "je vais te tuer"),
        ("yyoouu ssttuuppiidd ppiigg", "you stupid pig"),
        ("you bit-ch", "you bitch"),
        ("you bit ch", "you bitch"),
        ("con\nnard", "connard"),
        ("f*ggot", "faggot"),
        ("n*que ta mère", "nique ta mère"),
        ("espèce de p...", "espèce de pute"),
        ("k-i-l-l y-o-u-r-s-e-l-f", "kill yourself"),
        ("k i l l y o u r s e l f", "kill yourself"),
        ("#YouAreAPatheticLoser", "#you are a pathetic loser"),
        ("iwillkillyou", "i will kill you"),
        ("Je. vais. te. tuer.", "je  vais  te  tuer."),
        ("ur pthtc", "ur pathetic"),
        ("pauvre teubé kretin", "pauvre teubé cretin"),
        ("ta gueul", "ta gueule"),
        ("jvé te défonsé", "je vais te defoncer"),
        ("you fat 🐷", "you fat pig"),
        ("ki🙂ll yourself", "kill yourself"),
        ("you arsehoIe", "you arsehole"),
    ],
)
def test_what_is_hidden_is_written_out(letter: str, words: str) -> None:
    assert meant(letter) == words


@pytest.mark.parametrize(
    "letter",
    [
        "uoy era a citehtap resol",
        ".resol citehtap a era uoY",
        "ɹǝsol ɔᴉʇǝɥʇɐd ɐ ǝɹɐ noʎ",
        "t'es qu'un drannoc",
        "va te fèr enkulé",
        "Kill 😂 them 😂 I 😂 will 😂 kill 😂 you",
        "𝓨𝓸𝓾 𝓪𝓻𝓮 𝓪 𝓹𝓪𝓽𝓱𝓮𝓽𝓲𝓬 𝓵𝓸𝓼𝓮𝓻",
        "You.are.a.pathetic.loser",
        "jvais tbuter",
        "gonna shnk u, i know where u liv",
    ],
)
def test_what_is_hidden_stops_a_letter(letter: str) -> None:
    assert MODERATOR.rule(letter).step.stops


@pytest.mark.parametrize(
    "letter",
    [
        "The locksmith and the ombudsman came to the launderette on Wednesday, didn't they?",
        "Tu m'as prêté ta brouette et ta tronçonneuse, et je n'ai rien rendu. La 6e B te salue à 18h30.",
        "Manny, you've got room B2 for the yoga. He'll be at the shop's back door.",
        "Mme Salaun et M. Conrad viennent samedi.",
    ],
)
def test_plain_words_names_and_rooms_are_left_as_they_are(letter: str) -> None:
    for one in DISGUISES.meant(letter):
        assert [one.text[change.begin : change.stop] for change in one.changes] == []


@pytest.mark.parametrize(
    ("word", "beside", "tells"),
    [
        ("what", "you know what i mean", False),
        ("what", "i no what you did", True),  # a spelling of "i know what" has all of its words
        ("fils", "ton fils a deux vélos", False),
        ("fils", "fils 2 lâche", False),
        ("fils", "fils 2 pute", True),
        ("didn", "i didn t", False),
        ("14th", "the 14th", False),
        ("18h30", "à 18h30", False),
        ("m8", "hey m8", True),
        ("c0nn4rd", "gros c0nn4rd", True),
        ("zoltrimbek", "dear zoltrimbek", True),
    ],
)
def test_a_word_that_may_be_part_of_a_spelling_tells_of_it_only_beside_the_others(
    word: str, beside: str, *, tells: bool
) -> None:
    assert DISGUISES.guesser.tells(word, set(beside.split())) is tells


@pytest.mark.parametrize(
    "letter",
    [
        "Merci. Bisous. À demain.",
        "𝓣𝓱𝓪𝓷𝓴 𝔂𝓸𝓾 𝓯𝓸𝓻 𝓮𝓿𝓮𝓻𝔂𝓽𝓱𝓲𝓷𝓰",
        "Ｍｅｒｃｉ ｂｅａｕｃｏｕｐ",
        "Y O U  A R E  A M A Z I N G",
        "thx 4 everything bro ily",
        "✨ tu ✨ es ✨ belle ✨",
    ],
)
def test_a_kind_letter_in_disguise_passes(letter: str) -> None:
    assert MODERATOR.rule(letter).step is Step.PASS


def test_a_guess_holds_and_what_is_sure_refuses() -> None:
    assert MODERATOR.rule("Go away, you bytch.").step is Step.HOLD
    assert MODERATOR.rule("Y-o-u a-r-e a p-a-t-h-e-t-i-c l-o-s-e-r").step is Step.REFUSE


def test_the_words_of_a_disguise_are_marked_where_they_stand() -> None:
    letter = "Thank you for the walk along the river. " * 12 + "ta gueul, Marc."
    marked = [text for text, rule in MODERATOR.rule(letter).parts(letter) if rule]
    assert any("gueul" in text for text in marked)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("abek10 @$€.*-_#'\n🐷🌸ɐʇéçА"), max_size=500) | st.text(max_size=200))
def test_any_text_is_read_and_each_change_has_its_place(text: str) -> None:
    for one in DISGUISES.meant(text):
        for change in one.changes:
            assert 0 <= change.begin <= change.stop <= len(one.text)
            assert 0 <= change.start < change.end <= len(text)


@pytest.mark.parametrize(("letter", "step"), [("Tu 🌸 es 🌸 un 🌸🐷", Step.HOLD), ("🌸🐷 a 🌸 b 🌸 c 🌸🐷", Step.PASS)])
def test_a_sign_stands_behind_the_word_before_the_pictures(letter: str, step: Step) -> None:
    assert MODERATOR.rule(letter).step is step


class Counted:
    """A session of ONNX Runtime that counts what is read."""

    def __init__(self) -> None:
        self.pieces = 0

    def run(self, outputs: None, given: dict[str, NDArray[np.int64]]) -> Any:
        """What the network answers."""
        self.pieces += given["pieces"].size
        return MODERATOR.second.session.run(outputs, given)


@pytest.mark.parametrize(("size", "most"), [(1000, MOST_PIECES + LEAST_HIDDEN), (2000, MOST_PIECES + LEAST_HIDDEN)])
def test_where_more_is_hidden_than_can_be_read_twice_a_person_looks(size: int, most: int) -> None:
    slips = "yuo are a wrothless parasiet and", "evryone hatess you so mcuh and", "you deserev nothign but pian and"
    plain = "I think about the day we met at the lake and the children were playing by the water."
    letter = " ".join(f"{slip} {plain}" for slip in slips * 6)[:size]
    session = Counted()
    ruling = replace(MODERATOR, second=replace(MODERATOR.second, session=session)).rule(letter)
    assert 0 < session.pieces <= most
    assert ruling.step is Step.HOLD
    assert Rule.LANGUAGE in ruling.rules


@pytest.mark.parametrize(
    "letter",
    [
        "T'es mort.",
        "Tu vas payer.",
        "You will pay for this.",
        "Please die.",
        "Sale pédale.",
        "I hate your guts!",
        "Eat shit.",
    ],
)
def test_a_letter_that_is_one_sentence_of_contempt_is_held_at_least(letter: str) -> None:
    assert MODERATOR.rule(letter).step.stops


@pytest.mark.parametrize(
    "letter",
    [
        "T'es mort de rire.",
        "Tu vas payer le resto ce soir.",
        "You will pay for that pizza, I paid last time.",
        "You are dead tired.",
    ],
)
def test_what_goes_on_harmlessly_passes(letter: str) -> None:
    assert not MODERATOR.rule(letter).step.stops
