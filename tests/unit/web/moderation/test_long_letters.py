"""A bad sentence in a long kind letter: that it is looked for alone, weighed as such, and counted."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.support.moderation import the_moderator
from web.moderation.corpus import CARE, PASS, Line
from web.moderation.features import MOST_USUAL, stretches
from web.moderation.figures import AMONG, published_figures
from web.moderation.folding import BARRIER, tokens_of
from web.moderation.gauge import Gauged, gauge
from web.moderation.long_letters import SEVERAL_SENTENCES, Kind, kind_letters, of_any_length, of_length
from web.moderation.ruling import Rule, Step
from web.moderation.second.reader import Opinion
from web.moderation.trained import Score, WholeAndWorst
from web.moderation.weighing import load_gauge

ENGLISH = """
Dear neighbours, I have been meaning to write for weeks and never found the quiet for it. Thank you for the soup you
brought when I had the flu, and for taking in the parcels while we were at the coast. The children still talk about
the afternoon with the kites, and the blue one hangs over their bed.

We planted the beans you gave us along the south wall, and they climb so fast that you can nearly watch them. My
mother has her new hip now and walks to the bakery every morning, slowly, with her stick and a great deal of pride.
The choir sings on the second Sunday of Advent, and we kept two chairs in the third row. If the weather holds we
shall walk up to the chapel on Saturday and eat our bread on the wall there, as we did last year.

I am learning to bake with the starter from your sister, and the first loaf was as flat as a plate, but the second
one rose. Thank you for all the evenings on the bench, and for the good advice about the roof. Come whenever you
like, the kettle is always on.
"""
FRENCH = """
Chers voisins, je voulais vous écrire depuis des semaines sans jamais trouver un moment calme. Merci pour la soupe
que vous m'avez apportée quand j'avais la grippe, et pour les colis que vous avez gardés pendant nos vacances à la
mer. Les enfants parlent encore de l'après-midi des cerfs-volants, et le bleu est accroché au-dessus de leur lit.

Ma mère a sa nouvelle hanche et marche chaque matin jusqu'à la boulangerie, lentement, avec sa canne et beaucoup de
fierté. La chorale chante le deuxième dimanche de décembre, et nous avons gardé deux chaises au troisième rang. S'il
fait beau, nous monterons samedi à la chapelle et nous mangerons notre pain sur le petit mur, comme l'année
dernière.

J'apprends à faire du pain avec le levain de votre sœur, et la première miche était plate comme une assiette, mais
la deuxième a levé. Merci pour toutes les soirées sur le banc et pour vos bons conseils sur le toit. Venez quand
vous voulez, la bouilloire est toujours prête.
"""


def parts_of(letter: str) -> list[str]:
    return [" ".join(part.split()) for part in letter.split("\n\n")]


@pytest.mark.parametrize("at", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("letter", "bad"),
    [
        (ENGLISH, "You are a pathetic excuse for a mother and your children deserve better."),
        (FRENCH, "Tu es une pauvre ratée, et tes enfants ont honte de toi."),
    ],
)
def test_a_bad_sentence_is_found_wherever_it_stands_in_a_long_letter(letter: str, bad: str, at: int) -> None:
    moderator, kind = the_moderator(), parts_of(letter)
    assert moderator.rule(" ".join(kind)).step is Step.PASS
    letter = " ".join([*kind[:at], bad, *kind[at:]])
    ruling = moderator.rule(letter)
    assert ruling.step.stops
    assert any(
        bad in letter[span.start : span.end + 1] or letter[span.start : span.end] in bad for span in ruling.spans
    )


def test_each_sentence_of_a_long_letter_stands_alone() -> None:
    tokens = tokens_of(" ".join(parts_of(ENGLISH)))
    ends = [at for at, token in enumerate(tokens) if token.word == BARRIER]
    sentences = {range(before, end + 1) for before, end in pairwise(ends)}
    assert len(sentences) == 10
    assert sentences <= set(stretches(tokens))


def test_a_letter_is_long_from_a_number_of_words_on() -> None:
    found = the_moderator().gauge
    assert found.scale(MOST_USUAL) is found.usual
    assert found.scale(MOST_USUAL + 1) is found.long
    assert found.first(-1.0, 2.0, MOST_USUAL) == found.usual.whole_and_worst(-1.0, 2.0, MOST_USUAL)
    assert found.first(-1.0, 2.0, MOST_USUAL + 1) == found.long.whole_and_worst(-1.0, 2.0, MOST_USUAL + 1)


def test_of_two_stretches_with_one_score_the_longer_is_the_worst_of_a_long_letter() -> None:
    moderator = the_moderator()
    reading = moderator.reader.read(" ".join(parts_of(ENGLISH)))
    score = moderator.trained.score(reading.tokens, list(reading.stretches()), moderator.gauge.first)
    loud = [(stop + 0.5 * np.log1p(len(part)), part) for part, stop in score.stretches]
    assert max(loud, key=lambda one: one[0])[1] == score.worst
    whole, above = score.columns[:2]
    assert above == pytest.approx(max(one for one, _ in loud) - whole)


PLAIN = [f"Thank you for the {number} plums." for number in range(90)]
SEVERAL = [f"Letter {number}. " + "We walked along the river and talked about the garden. " * 4 for number in range(9)]
LINES = [
    Line("en", "threat", "I will find you."),
    Line("en", CARE, "I want to sleep for ever."),
    Line("en", PASS, "Hi."),
]
KIND = kind_letters([Line("en", PASS, one) for one in PLAIN], [Line("en", PASS, one) for one in [*SEVERAL, "Short."]])


def test_long_letters_are_made_of_kind_ones_of_one_manner() -> None:
    assert KIND["en"] == Kind(PLAIN, SEVERAL)
    assert min(map(len, SEVERAL)) >= SEVERAL_SENTENCES
    source = random.Random(1)
    manners = set()
    for characters in (1, 300, 1000, 1500) * 5:
        parts = KIND["en"].together(characters, source)
        manners.add(parts[0] in PLAIN)
        assert set(parts) <= set(PLAIN) or set(parts) <= set(SEVERAL)
        assert len(set(parts)) == len(parts)
        assert abs(sum(map(len, parts)) + len(parts) - characters) <= max(map(len, parts)) / 2 + 1 or len(parts) == 1
    assert manners == {True, False}


def test_a_bad_letter_stands_in_one_and_another_is_kind_throughout() -> None:
    made = of_length(LINES[:2], KIND, 800)
    assert made == of_length(LINES[:2], KIND, 800)
    assert [line.label for line in made] == ["threat", PASS, CARE, PASS]
    assert ["I will find you." in made[0].letter, "I will find you." in made[1].letter] == [True, False]
    assert all(600 < len(line.letter) < 1050 for line in made)
    any_length = of_any_length(LINES * 20, KIND)
    assert [line.label for line in any_length] == ["threat", PASS, CARE, PASS] * 20
    assert len({len(line.letter) for line in any_length}) > 40


def test_a_gauge_has_a_scale_for_long_letters_learned_of_them(tmp_path: Path) -> None:
    source = np.random.default_rng(1)
    lines, scores, opinions = [], [], []
    for number in range(400):
        words = int(source.choice((20, 200)))
        label = ("threat", PASS, PASS, CARE)[number % 4]
        # In a long letter the whole says nothing about its worst stretch.
        worst = float(source.normal(3 if label == "threat" else -3, 2))
        whole = worst if words == 20 else float(source.normal(-8, 3))
        columns = WholeAndWorst.columns(whole, worst, words)
        lines.append(Line("en", label, str(number)))
        scores.append(Score(worst, -3.0 + 6 * (label == CARE), words, columns, (), ()))
        opinions.append(Opinion(worst, -3.0 + 6 * (label == CARE), Rule.THREAT if number % 3 else Rule.BULLYING, 9))
    told = gauge(Gauged(lines, scores, opinions, np.array([number % 8 == 0 for number in range(400)])))
    place = tmp_path / "gauge.json"
    place.write_text(json.dumps({**told, "about": {}}), encoding="utf-8")
    found = load_gauge(place)
    assert found.long.whole_and_worst(-20.0, 4.0, 200) > found.long.whole_and_worst(-2.0, -2.0, 200)
    assert found.usual.whole_and_worst(-20.0, 4.0, 200) < found.long.whole_and_worst(-20.0, 4.0, 200)


def test_of_bad_letters_among_kind_ones_most_are_stopped() -> None:
    figures = published_figures()
    for name, least in zip(AMONG, (0.6, 0.5, 0.45), strict=True):
        told = figures[name]["both"]
        assert told["insults and threats"]["stopped"]["of"] > 200
        assert told["insults and threats"]["stopped"]["hits"] > least * told["insults and threats"]["stopped"]["of"]
