"""`python -m web.moderation.words`: words of both languages, spelled as they should be: `config/moderation/words.txt`.

Made once, for `disguise`: no such word is taken for another one. The order of words comes from wordfreq (Apache-2.0,
its lists CC BY-SA 4.0); what is spelled right is told by the Hunspell dictionaries of npm's dictionary-fr (MPL-2.0)
and dictionary-en-gb (LGPL, MPL), and by the en_US one of chunspell. None of them runs where letters are read:

    pip install wordfreq chunspell     # then a minute; FOLDER has fr, en_GB and en_US, each .aff and .dic
    python -m web.moderation.words FOLDER
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from relay.data_files import data_file, read_data_file
from web.moderation.concepts import FAMILIES_FILE
from web.moderation.folding import fold_word

_FILE: Final = "moderation/words.txt"
_WORD: Final = re.compile(r"[a-zàâäéèêëîïôöùûüçœæ]{3,20}")
_RANKS: Final = 90_000
_DICTIONARIES: Final = {"en": ("en_GB", "en_US"), "fr": ("fr",)}
_A_LINE: Final = 12


def load_words() -> frozenset[str]:
    """The words that come along, folded."""
    return frozenset(read_data_file(data_file(_FILE)).split())


def words(folder: str) -> list[str]:
    """Frequent words that the dictionaries in `folder` have, folded, without those that have a family."""
    ranked: Any = import_module("wordfreq").top_n_list
    open_one: Any = import_module("hunspell").Hunspell
    found: set[str] = set()
    for language, names in _DICTIONARIES.items():
        dictionaries = [open_one(name, hunspell_data_dir=folder) for name in names]
        for word in ranked(language, _RANKS):
            if _WORD.fullmatch(word) and any(one.spell(word) for one in dictionaries):
                found.add(fold_word(word))
    found = {word for word in found if word.isalpha() and word.isascii()}
    return sorted(found.difference(read_data_file(data_file(FAMILIES_FILE)).split()))


if __name__ == "__main__":
    every = words(sys.argv[1])
    lines = (" ".join(every[at : at + _A_LINE]) for at in range(0, len(every), _A_LINE))
    Path("config", _FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
