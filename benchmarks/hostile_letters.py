"""Letters of 2,000 characters that are written to be slow: most of their words are seen for the first time.

For `benchmarks.moderation`. By kind; the same ones in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from string import ascii_lowercase
from typing import Final

_LENGTH: Final = 2000
_SMALL: Final = ("you", "are", "a", "tu", "es", "i", "kill", "love", "never", "am", "my", "me", "so", "go", "u", "te")
_BAD: Final = ("loser", "idiot", "bitch", "connard", "salope", "pute", "kill", "hate", "die")
_ALL: Final = f"{ascii_lowercase}éèêàçœ\u0430\u0435\u043e\u0436\u044f\u03b1\u03b2\u03b4"


def _within(*ranges: range) -> list[str]:
    return [chr(code) for codes in ranges for code in codes]


_EMOJI: Final = _within(range(0x1F300, 0x1F650))


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
        "one emoji": words(lambda: "\U0001f595"),
        "emoji among words": words(lambda: some(1, _EMOJI) + source.choice(("", "you ", "je t'aime "))),
        "anything": marks(_within(range(0x20, 0xD800), range(0xE000, 0x20000))),
    }
    return {kind: [letter() for _ in range(of_each)] for kind, letter in kinds.items()}
