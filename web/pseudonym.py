"""May this pseudonym stand in the From field? It must not pass for an address, a site or an authority.

Pure: a text in, a reason out. The recipient sees a pseudonym as the sender's name, so what deceives there
is refused rather than repaired.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

from relay.public_suffix import organisational_domain
from web.moderation.folding import fold_word
from web.plain_text import hides_something

MAX_PSEUDONYM: Final = 40

_SITE: Final = re.compile(r"://|\bwww\.|[^\s.]{2,}\.[^\W\d_]{2,}(?![^\W\d_])", re.IGNORECASE)
_HOST: Final = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w])|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*", re.IGNORECASE)
_LOOKS: Final = str.maketrans("01l345", "oiieas")
"""Digits and letters that are read as another letter; l, 1 and i count as one."""
_ADDRESS: Final = re.compile(r"[@<>]")
_IDEOGRAPHIC_STOP: Final = "\u3002"
"""Parts the labels of a domain as a dot does (UTS 46)."""
_SCRIPTS: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN"})
"""Scripts whose letters are mistaken for one another (Unicode TR 39)."""
_OTHERS: Final = (
    "HEBREW ARABIC SYRIAC THAANA NKO DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU KANNADA MALAYALAM SINHALA "
    "THAI LAO TIBETAN MYANMAR GEORGIAN HANGUL ETHIOPIC KHMER MONGOLIAN HIRAGANA KATAKANA KATAKANA-HIRAGANA CJK "
    "BOPOMOFO IDEOGRAPHIC TIFINAGH MODIFIER"
)
"""Those that people write names in; what is in none of these (Lisu, Cherokee, …) is there to look like something."""
_OTHER_SCRIPTS: Final = frozenset(_OTHERS.split())
_ENCODED: Final = "=?"
"""Begins an encoded word (RFC 2047), which some programs decode wherever it stands."""

_RESERVED_FILE: Final = Path(__file__).parent / "words" / "reserved.txt"


class PseudonymFault(StrEnum):
    """Why a pseudonym is refused; the words are in the catalogue under `problem.pseudonym-<value>`."""

    LONG = "long"
    HIDDEN = "hidden"
    ADDRESS = "address"
    SITE = "site"
    MIXED = "mixed"
    RESERVED = "reserved"
    RECIPIENT = "recipient"


def screen_pseudonym(name: str, recipient_domain: str) -> PseudonymFault | None:
    """What is wrong with `name` for a letter to somebody at `recipient_domain`; None if it may be used."""
    folded = unicodedata.normalize("NFKC", name).replace(_IDEOGRAPHIC_STOP, ".")
    if len(name) > MAX_PSEUDONYM:
        return PseudonymFault.LONG
    if hides_something(name) or _ENCODED in name:
        return PseudonymFault.HIDDEN
    if _ADDRESS.search(folded):
        return PseudonymFault.ADDRESS
    if _SITE.search(folded) or _HOST.search(folded):
        return PseudonymFault.SITE
    if _mixes_scripts(folded):
        return PseudonymFault.MIXED
    words = {word.translate(_LOOKS) for word in _words(folded)}
    if words & _reserved():
        return PseudonymFault.RESERVED
    if words & _labels(recipient_domain):
        return PseudonymFault.RECIPIENT
    return None


def _mixes_scripts(text: str) -> bool:
    names = {unicodedata.name(character, "").partition(" ")[0] for character in text if character.isalpha()}
    return len(names & _SCRIPTS) > 1 or not names <= _SCRIPTS | _OTHER_SCRIPTS


def _words(text: str) -> set[str]:
    """The words of `text` without accents, case or disguise, and the whole text run together ("P o l-i c e")."""
    words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", fold_word(text))
    joined = "".join(words)
    return {*words, *(part for word in words for part in word.split("-")), joined, joined.replace("-", "")}


@cache
def _reserved() -> frozenset[str]:
    lines = _RESERVED_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(word.translate(_LOOKS) for line in lines if not line.startswith("#") for word in line.split())


def _labels(domain: str) -> set[str]:
    """The labels of `domain` that name its owner, no public suffix; short ones are too common to object to.

    As `_words` has them: without accents, and without hyphens too, since credit-agricole signs as "Crédit Agricole".
    """
    domain = domain.casefold()
    below = (organisational_domain(domain) or domain).count(".")
    labels = {fold_word(_shown(label)) for label in domain.split(".")[: -max(1, below)]}
    forms = labels | {label.replace("-", "") for label in labels}
    return {form.translate(_LOOKS) for form in forms if len(form) > 3}


def _shown(label: str) -> str:
    """A label as it is read: "xn--kse-qla" is "käse"."""
    try:
        return label.encode("ascii").decode("idna")
    except UnicodeError:
        return label
