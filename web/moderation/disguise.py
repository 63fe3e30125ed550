"""A letter as it may have been meant: words that were hidden or spelled as they are spoken, written out.

Beside the reading of a letter, which knows many disguises of a word where it looks it up. What is in no list then is
written out here, and the letter is read once more with these words in it. A letter of plain words has none of them.
Linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Final

from web.moderation.cutting import APART, FEWEST_APART, Cutter
from web.moderation.folding import fold
from web.moderation.guesses import RUN_OF_LETTERS, Guesser
from web.moderation.meant import Change, Item, Meant, folded_by_word, parts_of, windows
from web.moderation.run_together import Splitter
from web.moderation.spellings import Spellings
from web.moderation.writing_out import BETWEEN, WriterOut

_SHORT_LINES: Final = re.compile(
    r"(?:^|(?<=[.!?;…\n]))(?:[^\w\n.!?;…]*[^\W_]+(?:[ '’][^\W_]+)?[^\w\n.!?;…]*[.!?;…\n]+ *){3,}"
)
_MARKED: Final = re.compile(
    r"[^\W_][*#@$€+|_(/~][^\W_]|[^\W_]\*\*|[^\W_]!+[^\W_]|(?<![^\W_])[@$€(][^\W\d_]"
    r"|(?<![^\W_])\d+ [ut]|[^\W\d_]\$(?![^\W_])"
)
"""Signs that stand for a letter, hide some, or part them."""
_SIGNS: Final = frozenset("*#@$€+|_(/~!")
"""One of them is in whatever `_MARKED` finds, or else a number."""
_LEAST_STOPS: Final = 3
_STOPS: Final = re.compile(r"[.!?;…\n]+")
_MOST_LOOKED_AT: Final = 800
"""Characters in whose words a disguise is looked for, beside those of plain words."""
_TURNED: Final = str.maketrans("ɐɔǝɟƃɥᴉıɾʞɯɹʇʌʍʎ∀qbdpnu", "acefghiijkmrtvwyabqpdun")
_TURNED_SIGNS: Final = frozenset("ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ∀")


@dataclass(frozen=True, slots=True)
class Disguises:
    """Reads letters for what is hidden in them; one serves all."""

    guesser: Guesser
    spellings: Spellings
    spaces: Splitter
    cutter: Cutter = field(init=False)
    writer: WriterOut = field(init=False)

    def __post_init__(self) -> None:
        """Those who share its words."""
        object.__setattr__(self, "cutter", Cutter(self.guesser, self.spellings, self.spaces))
        object.__setattr__(self, "writer", WriterOut(self.guesser, self.spellings, self.spaces))

    def meant(self, letter: str) -> Iterator[Meant]:
        """The letter as it may have been meant, where that is not as it is written."""
        left = _MOST_LOOKED_AT
        for part in parts_of(letter):
            text = letter[part.start : part.stop]
            if left > 0 and not self._is_plain(text):
                left -= len(text)
                yield from self._meant(text, part.start)

    def _meant(self, text: str, at: int) -> Iterator[Meant]:
        whole = len(_TURNED_SIGNS.intersection(text)) > 1
        written, together = _without_stops(text.translate(_TURNED) if whole else text)
        turned = self._turned_round(written)
        if turned is not None:
            yield Meant(turned, [Change(0, len(turned), at, at + len(text), sure=True)])
            return
        items = self._items(written)
        if whole or together:
            items = [one._replace(put=str(one)) if whole or _within(one, together) else one for one in items]
        if all(one.put is None for one in items):
            return
        unknown = sum(one.put is None and not self.guesser.knows(one.word) for one in items)
        if unknown * 2 <= len(items):  # else it is no language
            yield from windows(written, items, self.guesser.grave_one, at)

    def _is_plain(self, letter: str) -> bool:
        """Whether it is written as most letters are: of words that are spelled as they should be."""
        folded, _ = fold(letter)
        words = RUN_OF_LETTERS.findall(folded)
        present = set(words)
        if any(self.guesser.tells(word, present) for word in present - self.guesser.usual):
            return False
        if not self.guesser.grave.keys().isdisjoint(map(add, words, words[1:])):
            return False
        if (any(map(str.isdigit, words)) or not _SIGNS.isdisjoint(folded)) and _MARKED.search(folded):
            return False
        if len(_STOPS.findall(folded)) >= _LEAST_STOPS and _SHORT_LINES.search(folded):
            return False
        if not folded.isascii() and BETWEEN.search(folded):
            return False
        return self.spellings.all_signs.isdisjoint(letter) and not (
            sum(len(word) == 1 for word in words) >= FEWEST_APART and APART.search(folded)
        )

    def _turned_round(self, text: str) -> str | None:
        """The text read from its end, or each word from its end, if that gives words and what is written does not."""
        words = [word for word in re.findall(r"[^\W\d_]+", fold(text[:400])[0]) if len(word) > 2]
        if sum(map(self.guesser.knows, words)) * 2 > len(words):
            return None
        backwards = [self.guesser.knows(word[::-1]) for word in words]
        if sum(backwards) * 3 < len(words) * 2 or sum(backwards) < 2:
            return None
        by_word = re.sub(r"[^\W\d_]+", lambda found: found[0][::-1], text)
        return f"{by_word}\n{text[::-1]}"

    def _items(self, text: str) -> list[Item]:
        folded, places = folded_by_word(text)
        items = self.writer.write_out(self.cutter.items(folded), text, folded, places)
        if text.isascii():  # each of its characters is folded to one
            return items
        return [Item(one.word, places[one.start], places[one.end - 1] + 1, one.put, one.sure) for one in items]


def _without_stops(text: str) -> tuple[str, list[range]]:
    """The text with blanks for the stops between sentences of one or two words, and where these stood."""
    found = [range(*match.span()) for match in _SHORT_LINES.finditer(text)]
    for part in found:
        blank = _STOPS.sub(lambda stops: " " * len(stops[0]), text[part.start : part.stop].rstrip(".!?;…\n"))
        text = text[: part.start] + blank + text[part.start + len(blank) :]
    return text, found


def _within(one: Item, parts: Sequence[range]) -> bool:
    return any(one.start in part for part in parts)
