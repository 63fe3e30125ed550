"""Moderation as letters meet it: the corpus of both languages, disguises, bounded time, and packs with errors."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.data_files import data_file
from relay.errors import ConfigurationError
from tests.support.moderation import reads_once, the_moderator
from web.moderation.corpus import read_corpus
from web.moderation.moderator import Moderator, load_moderator
from web.moderation.pack import LANGUAGES, load_rulebook
from web.moderation.ruling import Part, Rule, Step

MODERATOR = the_moderator()
PICTURES = "".join(map(chr, range(0x1F300, 0x1F460)))
GIBBERISH = " ".join(["zxqv", "wqpl", "krtz", "bvnm", "plok", "qwxz"] * 15)
CORPUS = Path(__file__).parents[3] / "data" / "moderation"
WORDS = ("tu", "te", "you", "kill", "vais", "je", "f", "c", "*", "@", ".", "«", '"', "0", "si", "your", "pas")


@pytest.mark.parametrize(
    "text",
    [
        "f u c k  y o u",
        "fuuuuuck you",
        "fuc\u200bk you",
        "f*ck you",
        "сunt",
        "Tu es un c0nn@rd",
        "c.o.n.n.a.r.d",
        "CONNARD",
    ],
)
def test_a_disguise_changes_nothing(text: str) -> None:
    assert MODERATOR.rule(text).step is Step.REFUSE


@pytest.mark.parametrize(
    "text", ["I want to die.", "Je veux mourir.", "I am going to kill myself tonight", "J'ai envie d'en finir."]
)
def test_help_comes_first_for_those_who_speak_of_harming_themselves(text: str) -> None:
    assert MODERATOR.rule(text).step is Step.CARE
    for insult in ("You are an asshole.", "Tu es un connard."):
        both = MODERATOR.rule(f"{text} {insult}")
        assert (both.step, both.help_first) == (Step.REFUSE, True)


@pytest.mark.parametrize(
    "text",
    [
        "If you don't send me 500 euros I will send the pictures to your wife.",
        "Si tu ne me donnes pas 500 euros j'envoie les photos à ta femme.",
    ],
)
def test_money_under_pressure_is_refused_whatever_the_score(text: str) -> None:
    ruling = MODERATOR.rule(text)
    assert (ruling.step, ruling.rules[0]) == (Step.REFUSE, Rule.EXTORTION)


_ENCLOSED = "I will kill you, you stupid bitch.".upper()


@pytest.mark.parametrize(
    "text",
    [
        *("".join(chr(first + ord(c) - 65) if c.isalpha() else c for c in _ENCLOSED) for first in (0x1F130, 0x1F150)),
        *("".join(chr(first + ord(c) - 65) if c.isalpha() else c for c in _ENCLOSED) for first in (0x1F170, 0x1F110)),
        "".join(f"{chr(0x1F1E6 + ord(c) - 65)}\u200b" if c.isalpha() else c for c in _ENCLOSED),
        "ɪ ᴡɪʟʟ ᴋɪʟʟ ʏᴏᴜ, ʏᴏᴜ ʙɪᴛᴄʜ",
        "I\u3164will\u3164kill\u3164you",
        "κill yοurself",
        "k.y.s.",
    ],
)
def test_signs_that_show_letters_are_read_as_letters(text: str) -> None:  # S24
    assert MODERATOR.rule(text).step is Step.REFUSE


@pytest.mark.parametrize(
    ("letter", "name"), [("I will kill", "you"), ("you", "I will kill"), ("Dear Ann, one day I will kill", "you")]
)
def test_what_goes_on_in_the_name_is_read_on(letter: str, name: str) -> None:
    ruling = MODERATOR.rule(letter, name)
    assert ruling.step in {Step.HOLD, Step.REFUSE}
    assert "".join(part for part, _ in ruling.parts(letter)) == letter
    assert MODERATOR.rule("You stayed late for me, and I will not forget it", "Your colleague").step is Step.PASS


@pytest.mark.parametrize(
    "text",
    [
        "a. " * 650 + "I will kill you tonight",  # more than is read
        "#   # # #    #   \n# #   # #    #   \n##    # #    #   \n# #   # #    #   \n#   # # #### ####\nYOU",
        "Ꭵ wꭵll kꭵll you",
    ],
)
def test_what_cannot_be_read_is_held(text: str) -> None:
    ruling = MODERATOR.rule(text)
    assert (ruling.step, ruling.rules) == (Step.HOLD, (Rule.LANGUAGE,))


@pytest.mark.parametrize(
    "text",
    [
        "Happy birthday! " + "❤️🎉" * 60,
        "-" * 60 + "\nBonjour Marie, je pense à toi\n" + "*" * 60,
        "My Ωmega watch gained Δt = 5 μs, and I like you",
        "Vive la France 🇫🇷🇫🇷🇫🇷 ! Merci pour tout.",
        "Merci pour tout, maman. " + "❤️" * 30,
        "Je t'aime. " + "❤" * 1500,
        "Happy birthday! " + "❤️ 🎉 " * 300,
    ],
)
def test_hearts_rulers_flags_and_units_are_no_disguise(text: str) -> None:
    assert MODERATOR.rule(text).step is Step.PASS


@pytest.mark.parametrize(
    "text",
    [
        "Thank you so much for the soup. " + PICTURES[:100],
        "Look at these: " + " ".join("https://photos.example/" + "qxzv-wkpj-" * 12 + str(n) for n in range(8)),
        "Thank you, " + "Zorblax, Quvnik, Trewixa, " * 18 + "and all the others of the choir, for the song.",
        "hiya its me, u dont no me but i no u, i said hi 2 u once n u laughed n i thort u was luvly. " * 20,
    ],
)
def test_names_links_pictures_and_short_forms_are_read(text: str) -> None:
    assert Rule.LANGUAGE not in MODERATOR.rule(text).rules
    assert not MODERATOR.reader.read(text).unreadable


@pytest.mark.parametrize(
    "text",
    [
        PICTURES,
        f"Thank you so much for the soup. {PICTURES}",
        GIBBERISH,
        f"{GIBBERISH} thank you so much for the soup {GIBBERISH}",
        "'".join("abcdefghijklmnopqrst" * 50),
        "word " * 400,
        "Merci. " * 40,
        "u r a b " * 170,  # more words than are read
        "stfu sob " * 100,  # likewise, when they are written out
        "Write to these: " + " ".join(f"someone{n}@somewhere.example" for n in range(30)),
    ],
)
def test_what_is_no_letter_is_held_unread(text: str) -> None:
    ruling = reads_once(MODERATOR).rule(text)
    assert (ruling.step, ruling.rules) == (Step.HOLD, (Rule.LANGUAGE,))


@pytest.mark.parametrize("around", [PICTURES, GIBBERISH])
def test_what_is_no_letter_covers_no_threat_and_no_insult(around: str) -> None:
    threat = MODERATOR.rule(f"{around}. I will kill you. {around}")
    assert (threat.step, threat.rules) == (Step.REFUSE, (Rule.THREAT,))
    insult = MODERATOR.rule(f"{around}. Tu es une salope. {around}")
    assert (insult.step, insult.rules) == (Step.HOLD, (Rule.LANGUAGE, Rule.BULLYING))
    assert [span.end - span.start for span in insult.spans if span.rule is Rule.BULLYING] == [16]


@pytest.mark.parametrize("unit", ["🖕", "🔪", "❤", "🔪🩸", "❤ 🖕 "])
def test_a_row_of_pictures_says_what_its_beginning_says(unit: str) -> None:
    few, many = MODERATOR.rule(unit * 5), MODERATOR.rule(unit * 400)
    assert (many.step.stops, many.rules) == (few.step.stops, few.rules)
    assert MODERATOR.rule("❤" * 900 + "🖕").step is Step.REFUSE


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("🔪🔪🔪", True),
        ("toi 🔪🩸", True),
        ("💀🔫", True),
        ("❤️❤️", False),
        ("🔪🍅🧀 lunch?", False),
        ("Thank you for the 🔪.", False),
    ],
)
def test_a_letter_of_weapons_alone_is_held(text: str, stops: bool) -> None:
    assert MODERATOR.rule(text).step.stops == stops


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("Have a look at https://example.com/x and tell me what you think.", Step.NUDGE),
        ("Regarde https://example.com/x et dis-moi ce que tu en penses.", Step.NUDGE),
        ("Look at www.example.com, it is about your favourite book.", Step.NUDGE),
        ("Go to evil-shop.com to read the rest.", Step.NUDGE),
        ("I will kill you, see https://example.com/x", Step.REFUSE),
        ("You are a pathetic loser. www.example.com", Step.REFUSE),
    ],
)
def test_the_words_of_a_link_make_no_letter_bad(text: str, step: Step) -> None:
    assert MODERATOR.rule(text).step is step


def test_a_span_is_the_words_as_written() -> None:
    text = "Hello. You’re a path\u200betic LOSER, really."
    ruling = MODERATOR.rule(text)
    assert any("LOSER" in text[span.start : span.end] for span in ruling.spans)


def test_the_pseudonym_is_read_too() -> None:
    ruling = MODERATOR.rule("Thank you for everything.", "ton pire connard")
    assert (ruling.step, ruling.spans[0].part) == (Step.REFUSE, Part.PSEUDONYM)
    assert ruling.parts("Thank you for everything.") == [("Thank you for everything.", None)]
    assert MODERATOR.rule("Thank you for everything.", "A quiet neighbour").step is Step.PASS


def test_a_page_can_mark_the_words() -> None:
    text = "Hello. Fuck you, and fuck you again."
    parts = MODERATOR.rule(text).parts(text)
    assert "".join(part for part, _ in parts) == text
    assert {rule for _, rule in parts} == {None, Rule.BULLYING}


@pytest.mark.parametrize(
    "text",
    [
        "Ich liebe dich und ich habe es dir nie gesagt, weil ich Angst habe",
        "Ich bringe dich um",
        "Arschloch",
        "Te voy a matar",
        "Te odio",
        "Hijo de puta",
        "Hace mucho tiempo que quiero decirte que te echo de menos y que siento lo que pasó en October.",
        "Ti ammazzo",
        "Você é um lixo",
        "Ik haat je",
        "Nienawidzę cię",
        "Te omor",
        "Seni öldüreceğim",
        "ya ibn el sharmuta",
        "Ti amo da quando ti ho visto la prima volta",
        "Jag älskar dig så mycket",
        "Seni çok seviyorum",
        "Aku cinta kamu dan aku rindu kamu",
        "Tôi yêu bạn rất nhiều",
        "Hyvää päivää ystäväni",
        "Ты мне очень нравишься",
        "Σε αγαπώ",
        "أحبك كثيرا",
        "你好，我喜欢你",
        "मैं तुमसे प्यार करता हूँ",
    ],
)
def test_another_language_is_held(text: str) -> None:
    assert (MODERATOR.rule(text).step, MODERATOR.rule(text).rules) == (Step.HOLD, (Rule.LANGUAGE,))


@pytest.mark.parametrize(
    "text",
    [
        "❤️❤️❤️",
        "Jean-Pierre Müller",
        "Hello mon amour, I miss you tellement",
        "ok",
        "Zoë, noël, naïve",
        "Hola",
        "Habibi, I miss you",
        "Hasta la vista, baby!",
    ],
)
def test_names_hearts_and_both_languages_at_once_pass(text: str) -> None:
    assert MODERATOR.rule(text).step is Step.PASS


@settings(max_examples=80)
@given(
    st.text(max_size=2000) | st.lists(st.sampled_from(WORDS)).map(" ".join),
)
def test_any_text_gets_a_ruling(text: str) -> None:
    assert MODERATOR.rule(text) == MODERATOR.rule(text)


@pytest.mark.parametrize(
    "unit", ["you are going to kill you ", "tu te je vais te ", "a* ", "f", "c o n ", "0 ", "é!", "1-", "a@"]
)
def test_time_grows_with_the_length_only(unit: str) -> None:
    best = min(_seconds(MODERATOR, (unit * 2000)[:2000]) for _ in range(3))
    assert best < 1.0  # 20 ms on a machine with nothing else to do


def _seconds(moderator: Moderator, text: str) -> float:
    start = time.perf_counter()
    moderator.rule(text)
    return time.perf_counter() - start


def test_an_operators_pack_overrides_ours_and_its_errors_name_their_place(tmp_path: Path) -> None:
    own = tmp_path / "moderation" / "en.toml"
    own.parent.mkdir()
    text = data_file("moderation/en.toml").read_text(encoding="utf-8")
    own.write_text(text + '\n[[when]]\nrule = "spam"\nstep = "refuse"\npatterns = ["zorglub"]\n', encoding="utf-8")
    assert load_moderator(tmp_path).rule("The zorglub awaits.").rules == (Rule.SPAM,)
    line = len(text.splitlines()) + 3
    own.write_text(text + '\n[[when]]\nrule = "nothing"\nstep = "refuse"\npatterns = ["a"]\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"en.toml:{line}: .*rule: is none of"):
        load_rulebook(tmp_path)


def test_a_pack_without_all_its_words_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "moderation" / "en.toml"
    own.parent.mkdir()
    text = data_file("moderation/en.toml").read_text(encoding="utf-8")
    line = text[: text.index("[step.hold]")].count("\n") + 1
    own.write_text(text.replace("[rule.spam]", "[rule.spam2]").replace("[step.hold]\ntitle =", "[step.hold]\nname ="))
    with pytest.raises(ConfigurationError) as caught:
        load_rulebook(tmp_path)
    assert "[rule.spam] is missing" in str(caught.value)
    assert "[rule.spam2]: is no rule" in str(caught.value).replace("] :", "]:")
    assert f"en.toml:{line}: [step.hold]" in str(caught.value)


def test_every_rule_has_its_text_in_both_languages() -> None:
    for language in LANGUAGES:
        wording = MODERATOR.wording(language)
        assert set(wording.rules) == set(Rule)
        assert set(wording.steps) == set(Step) - {Step.PASS}
        assert wording.helps


@pytest.mark.parametrize(
    "tail", ["", " tonight", " when you come home tonight", " after school, at the gate, and nobody will see it"]
)
@pytest.mark.parametrize("verb", ["kill", "stab", "strangle", "rape", "shoot"])
def test_a_plain_threat_is_refused_whatever_follows(verb: str, tail: str) -> None:
    for text in (f"I will {verb} you{tail}.", f"Hello. I'm going to {verb} you{tail}.", f"im gonna {verb} you{tail}"):
        ruling = MODERATOR.rule(text)
        assert (ruling.step, ruling.rules[0]) == (Step.REFUSE, Rule.THREAT)


@pytest.mark.parametrize("tail", ["", " ce soir", " quand tu rentres", " un jour, et personne ne saura que c'est moi"])
@pytest.mark.parametrize("verb", ["tuer", "buter", "égorger", "étrangler", "violer"])
def test_a_plain_threat_in_french_is_refused_whatever_follows(verb: str, tail: str) -> None:
    for text in (f"Je vais te {verb}{tail}.", f"Bonjour. On va te {verb}{tail}.", f"j'vais te {verb}{tail}"):
        ruling = MODERATOR.rule(text)
        assert (ruling.step, ruling.rules[0]) == (Step.REFUSE, Rule.THREAT)


@pytest.mark.parametrize("verb", ["beat", "hit", "hurt", "punch", "smash", "slap"])
def test_no_score_makes_a_nudge_of_a_plain_threat_to_hurt(verb: str) -> None:
    for tail in (
        "",
        " tonight",
        " next time I see you at the station",
        " on Friday, my dear friend, with love and thanks",
    ):
        assert MODERATOR.rule(f"I will {verb} you{tail}.").step.stops


@pytest.mark.parametrize(
    "text",
    [
        "You're killing me with those puns.",
        "I will kill you at chess on Sunday.",
        "I will never hurt you.",
        "I'm not going to kill you for it, relax.",
        "I'm afraid I will hurt you if I stay.",
        "I'll beat you to the bakery.",
        "The truth will hurt you when you read it.",
        "He told me he will kill you with kindness.",
        "Je vais te tuer de rire samedi.",
        "Je vais te battre à la belote vendredi.",
        "Je ne te frapperai jamais.",
        "Je vais te massacrer au Scrabble.",
    ],
)
def test_what_is_said_in_fun_or_denied_is_no_threat(text: str) -> None:
    assert not MODERATOR.rule(text).step.stops


@pytest.mark.parametrize(
    "text",
    [
        "Je quitte l'entreprise en janvier, et tu es la seule personne qui va me manquer.",
        "tu es la seule personne qui va me manquer",
        "Sois plus douce avec toi-même en 2027 : tu travailles comme six d'entre nous.",
        "You are the only one I shall really miss.",
        "Another letter.",
        "Another",
        "Only this: 3",
        "Ta salade était un délice.",
        "The water in the garage is back.",
        "I'd kill for your lasagne.",
        "Il faut liquider le stock et créer la suite, dit l'ordre du jour. Quelle crise !",
    ],
)
def test_a_tender_or_plain_letter_passes(text: str) -> None:
    assert MODERATOR.rule(text).step is Step.PASS


def test_the_readings_alone_refuse_hardly_an_ordinary_letter() -> None:
    letters = [line.letter for line in read_corpus(CORPUS / "ordinary")]
    unspoken = [one for one in letters if not any(hit.step.stops for hit in MODERATOR.reader.read(one).hits)]
    refused = [one for one in unspoken if MODERATOR.rule(one).step is Step.REFUSE]
    assert len(refused) <= len(unspoken) / 100


@pytest.mark.parametrize(
    "text",
    ["Espèce de conne, retourne à ton piano.", "Tu es une merde, avec toute mon amitié.", "You are a cunt, love, Ann."],
)
def test_no_score_makes_a_nudge_of_a_plain_insult(text: str) -> None:
    assert MODERATOR.rule(text).step.stops


@pytest.mark.parametrize(
    "text",
    [
        'Indented\n\n<b>"quoted"</b> &amp;',
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "asdf qwer zxcv asdf",
    ],
)
def test_what_is_no_language_is_no_insult(text: str) -> None:
    assert MODERATOR.rule(text).step is Step.PASS
