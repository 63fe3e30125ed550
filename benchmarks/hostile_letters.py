"""Letters of 2,000 characters that are written to be slow: most of their words are seen for the first time.

For `benchmarks.moderation`. By kind; the same ones in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from string import ascii_letters, ascii_lowercase, digits
from typing import Final

from web.moderation.folding import PICTURES
from web.moderation.pack import load_rulebook

_LENGTH: Final = 2000
_SMALL: Final = ("you", "are", "a", "tu", "es", "i", "kill", "love", "never", "am", "my", "me", "so", "go", "u", "te")
_BAD: Final = ("loser", "idiot", "bitch", "connard", "salope", "pute", "kill", "hate", "die")
_ALL: Final = f"{ascii_lowercase}éèêàçœ\u0430\u0435\u043e\u0436\u044f\u03b1\u03b2\u03b4"


def _within(*ranges: range) -> list[str]:
    return [chr(code) for codes in ranges for code in codes]


_EMOJI: Final = _within(range(0x1F300, 0x1F650))
_SCRIPTS: Final = (
    ascii_lowercase,
    _within(range(0x3B1, 0x3CA)),
    _within(range(0x430, 0x450)),
    _within(range(0x5D0, 0x5EB)),
    _within(range(0x4E00, 0x4F00)),
    _within(range(0xAC00, 0xAD00)),
)
_FLAGS: Final = _within(range(0x1F1E6, 0x1F200))
_FAMILIES: Final = ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f469\U0001f3fd\u200d\U0001f680")
_TWO_WORDS: Final = "\U0001f595"
"""An emoji that the rules read as two words."""
_LEAST_KNOWN: Final = 0.43
_MANY_CONCEPTS: Final = ("cul", "dog", "best", "code", "sick", "tell", "liar")
"""Short words, each of which speaks of three things."""
_SHORT_FORMS: Final = ("sob", "gtfo", "stfu", "foad", "vtff", "ntm", "tg", "im", "fu")
"""What the rules read as several words."""


_SLIPS: Final = (
    "yuo are a patehtic persno",
    "i hpoe you sufffer somday",
    "noboddy lieks you anymroe",
    "i know wehre you lvie",
    "evryone hatess you so mcuh",
    "you deserev nothign but pian",
    "tu es une personnne pitoyabel",
    "j'epsere que tu souffriars",
    "persnone ne t'aiem ici",
)
"""What is read as meant, and doubted by the readings."""
_HARMLESS: Final = (
    "i think about the day we met at the lake and the sun was warm and the children were playing by the water",
    "thank you for the bread and the milk you brought when my mother was ill it was kind of you to come by",
    "the train was late again and we talked about music and summer and what we would like to do next year",
)
_SPOKEN: Final = (
    "jvé",
    "te",
    "défonsé",
    "ta",
    "gueul",
    "wanna",
    "smak",
    "ur",
    "fase",
    "g",
    "la",
    "aine",
    "dtoi",
    "u",
    "r",
)
_CAPITALS: Final = str.maketrans("aeiost", "43105T")


def hostile_letters(of_each: int) -> dict[str, list[str]]:
    """So many letters of each kind."""
    source = Random(1)

    def some(size: int, characters: Sequence[str] = ascii_lowercase) -> str:
        return "".join(source.choices(characters, k=size))

    def words(word: Callable[[], str], between: str = " ") -> Callable[[], str]:
        def letter() -> str:
            written = ""
            while len(written) < _LENGTH:
                written += word() + between
            return written[:_LENGTH]

        return letter

    def marks(characters: Sequence[str]) -> Callable[[], str]:
        return lambda: some(_LENGTH, characters)

    def among_known(word: Callable[[], str]) -> Callable[[], str]:
        """As few words of a list as a letter may have that is read."""
        return words(lambda: source.choice(_SMALL) if source.random() < _LEAST_KNOWN else word())

    def slipped(word: str) -> str:
        at = source.randrange(len(word))
        return word[:at] + source.choice(("", word[at] * 2, some(1))) + word[at + 1 :]

    def parted(word: str, by: str) -> str:
        at = len(word) // 2
        return word[:at] + by + word[at:]

    named = sorted(load_rulebook().lexicon.words)
    short = [word for word in named if len(word) < 5]
    pictures = sorted(PICTURES)
    kinds = {
        "words of one letter": words(lambda: some(1)),
        "words of two letters": words(lambda: some(2)),
        "words of three letters": words(lambda: some(3)),
        "words of six letters": words(lambda: some(6)),
        "words of 39 letters": words(lambda: some(39)),
        "an endless word": marks(ascii_lowercase),
        "frequent words": words(lambda: source.choice(_SMALL)),
        "insults": words(lambda: source.choice([*_BAD, *_SMALL])),
        "insults among words of no list": words(lambda: source.choice(_BAD) if source.random() < 0.1 else some(3)),
        "one word": words(lambda: "you"),
        "sentences": words(lambda: " ".join(some(3) for _ in range(4)) + "."),
        "lines": words(lambda: some(3), "\n"),
        "masked": words(lambda: source.choice("fcsmb") + "*" * source.randint(1, 4) + source.choice("ktde")),
        "masked twice": words(lambda: f"{source.choice('fcsmb')}*{some(1)}#{source.choice('ktde')}"),
        "marks as letters": words(lambda: some(4, "4310$@!7a")),
        "drawn out": words(lambda: "".join(letter * 3 for letter in some(2))),
        "drawn out, of marks": words(lambda: "".join(mark * source.choice((1, 3)) for mark in some(3, "4310$@7abst"))),
        "spelled out": words(lambda: " ".join(source.choice(_BAD))),
        "run together": words(lambda: "".join(source.choice(_SMALL) for _ in range(6))),
        "run together, long": words(lambda: "".join(source.choice(_SMALL) for _ in range(40))[:80]),
        "signs": marks("*#.!?-_ ab"),
        "digits": marks("0123456789 "),
        "telephones": words(lambda: "0" + " ".join(some(2, "0123456789") for _ in range(4)) + some(1, "0123456789")),
        "addresses of mail": words(lambda: f"{some(3)}@{some(3)}.fr"),
        "links": words(lambda: f"www.{some(3)}"),
        "quotations": words(lambda: f'dit "{some(3)}"'),
        "quotation marks": marks('"'),
        "lines alone": marks("\n"),
        "apostrophes": words(lambda: f"{some(1)}'{some(1)}"),
        "emoji alone": marks(_EMOJI),
        "emoji": words(lambda: some(1, _EMOJI)),
        "accents above accents": marks([*ascii_lowercase, *_within(range(0x300, 0x370))]),
        "alphabets mixed": words(lambda: some(4, _ALL)),
        "letters in circles": marks([*_within(range(0x24B6, 0x24EA)), " "]),
        "invisible": marks([*"abcde ", "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad"]),
        "Chinese": marks(_within(range(0x4E00, 0xA000))),
        "letters of eighteen": marks("\ufdfa"),
        "one emoji": words(lambda: _TWO_WORDS),
        "emoji among words": words(lambda: some(1, _EMOJI) + source.choice(("", "you ", "je t'aime "))),
        "anything": marks(_within(range(0x20, 0xD800), range(0xE000, 0x20000))),
        "words of no list among known ones": among_known(lambda: some(3)),
        "masked twice, among known words": among_known(
            lambda: f"{source.choice('fcsmb')}*{some(1)}#{source.choice('ktde')}"
        ),
        "drawn out, of marks, among known words": among_known(
            lambda: "".join(mark * source.choice((1, 3)) for mark in some(3, "4310$@7abst"))
        ),
        "marks as letters, among known words": among_known(lambda: some(4, "4310$@!7a")),
        "addresses of mail among known words": among_known(lambda: f"{some(3)}@{some(3)}.fr"),
        "short sentences of known words": words(lambda: " ".join(source.choices(_SMALL, k=4)) + "."),
        "sentences of known words": words(lambda: " ".join(source.choices(_SMALL, k=9)) + "."),
        "emoji and known words": words(lambda: some(1, _EMOJI) + " ".join(source.choices(_SMALL, k=2))),
        "hearts": marks("\u2764"),
        "two emoji in turn": words(lambda: "\U0001f389\u2764", ""),
        "letters in sentences": words(lambda: f"{some(1)} {some(1)} {some(1)}."),
        "words of the rules": words(lambda: source.choice(named)),
        "short words of the rules": words(lambda: source.choice(short)),
        "short words of the rules in sentences": words(lambda: " ".join(source.choices(short, k=4)) + "."),
        "words of many concepts": words(lambda: source.choice(_MANY_CONCEPTS)),
        "insults in sentences": words(lambda: f"you are a {source.choice(_BAD)}."),
        "insults in short sentences": words(lambda: f"u r a {source.choice(_BAD)}!"),
        "one emoji without spaces": marks(_TWO_WORDS),
        "short forms": words(lambda: source.choice(_SHORT_FORMS)),
        "half emoji, half apostrophes": words(lambda: f"{some(1, _EMOJI)}{some(1)}'{some(1)}", ""),
        "pictures": marks(pictures),
        "flags": marks(_FLAGS),
        "flags apart": words(lambda: some(2, _FLAGS)),
        "families of emoji": words(lambda: source.choice(_FAMILIES), ""),
        "hands of all colours": words(lambda: "\U0001f44d" + some(1, _within(range(0x1F3FB, 0x1F400))), ""),
        "keycaps": words(lambda: some(1, digits) + "\ufe0f\u20e3", ""),
        "marks above one letter": words(lambda: some(1) + some(30, _within(range(0x300, 0x370)))),
        "Korean": marks([*_within(range(0xAC00, 0xD7A4)), " "]),
        "Korean in parts": marks([*_within(range(0x1100, 0x1200)), " "]),
        "leftward": words(lambda: some(2, _within(range(0x5D0, 0x5EB), range(0x620, 0x64B)))),
        "halves of characters": marks([*_within(range(0xD800, 0xE000)), " "]),
        "apostrophes alone": marks("'"),
        "letters between apostrophes": words(lambda: some(1), "'"),
        "letters between dots": words(lambda: some(1), "."),
        "dots": marks("."),
        "blanks": marks(" "),
        "quotations without an end": words(lambda: f"dit {source.choice('«“„')}{some(1)}"),
        "one quotation": words(lambda: f"{source.choice('»”')}{some(1)}"),
        "endless links": words(lambda: "https://" + some(292)),
        "telephones that break off": words(lambda: f"+{some(27, digits)}x"),
        "telephones that break off, in twos": words(lambda: f"+{some(2, digits)} " + "12 " * 9 + "x"),
        "streets that break off": words(lambda: f"{some(1, digits)} ab cd ef"),
        "addresses of mail that break off": words(lambda: f"{some(64)}@", ""),
        "accounts that break off": words(lambda: f"FR76{some(28, digits)}x"),
        "scripts in turn": words(lambda: some(3, source.choice(_SCRIPTS))),
        "scripts in turn, among known words": among_known(lambda: some(3, source.choice(_SCRIPTS))),
        "emoji joined": words(lambda: "\u200d".join(some(4, _EMOJI))),
        "quotation marks in turn": words(
            lambda: source.choice(('"{}"', "'{}'", "«{}»", "“{}”", "„{}“")).format(some(2))
        ),
        "quotations within quotations": words(lambda: 'il dit « elle dit “ you said "' + source.choice(_BAD)),
        "quotations that close": words(lambda: f"tu dis « you said “{source.choice(_BAD)}” »"),
        "replies to replies": words(lambda: "> " * source.randint(1, 5) + " ".join(source.choices(_SMALL, k=3)), "\n"),
        "lines of one letter": words(lambda: some(1), "\n"),
        "lines of one known word": words(lambda: source.choice(_SMALL), "\n"),
        "lines of one insult": words(lambda: source.choice([*_BAD, *_SMALL]), ".\n"),
        "words of 300 letters": words(lambda: some(300)),
        "words of 300 signs": words(lambda: some(300, "ab*#@$!_-0134")),
        "digits and what parts them": marks("0123456789 .-/,()+"),
        "digits and what parts them, among known words": among_known(lambda: some(9, "0123456789.-/")),
        "pairs of words in lists": words(lambda: " ".join(source.choices(_SMALL, k=2)), ", "),
        "two words in turn": words(lambda: "you are, you were", ", "),
        "links without an end": words(lambda: f"http://{some(9)}.com/{some(30)}?{some(8)}=", "&"),
        "capitals with digits": words(lambda: source.choice([*_BAD, *_SMALL]).translate(_CAPITALS).upper()),
        "capitals": words(lambda: source.choice([*_BAD, *_SMALL]).upper()),
        "slips": words(lambda: source.choice(_SLIPS), ". "),
        "slips among harmless words": words(
            lambda: f"{source.choice(_HARMLESS)[: source.randint(10, 99)]}. {source.choice(_SLIPS)}", ". "
        ),
        "slips between harmless words": words(
            lambda: f"{source.choice(_SLIPS)} and {source.choice(_HARMLESS)[: source.randint(10, 60)]}", ". "
        ),
        "one slip in each word": words(lambda: slipped(source.choice(named))),
        "one slip in each word, among known words": among_known(lambda: slipped(source.choice(named))),
        "turned round": words(lambda: source.choice([*_BAD, *_SMALL, *named])[::-1]),
        "doubled": words(lambda: "".join(one * 2 for one in source.choice([*_BAD, *_SMALL]))),
        "without vowels": words(lambda: "".join(one for one in source.choice(named) if one not in "aeiouy") or "x"),
        "in two parts": words(lambda: parted(source.choice([*_BAD, *named]), source.choice(" -"))),
        "emoji between letters": words(lambda: some(1, _EMOJI).join(source.choice(_BAD))),
        "as they are spoken": words(lambda: source.choice(_SPOKEN)),
        "run together, with their slips": words(lambda: slipped("".join(source.choices(_SMALL, k=5)))),
        "contractions": words(lambda: f"{source.choice(_SMALL)}'{source.choice(('re', 't', 've', 'll', 'd', 's'))}"),
        "digits apart": words(lambda: some(1, digits)),
        "letters and digits": marks([*ascii_letters, *digits, " "]),
    }
    return {kind: [letter() for _ in range(of_each)] for kind, letter in kinds.items()}
