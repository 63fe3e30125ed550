"""Which language a page is shown in, and how French is set: the front's pages and the one behind a one-click link."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_QUALITY: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
_LONGEST_HEADER: Final = 500
_BEFORE_MARK: Final = re.compile(r" (?=[;:!?»%])")
_IN_NUMBER: Final = re.compile(
    r"(?<=\d) (?=\d)|(?<=[\d}]) (?=(?:ans?|caractères|h|heures|jours|minutes)\b|\{month\})|(?<=[\d}].h) (?=[\d{])"
)
"""Also where a number, or the month of a day, is yet to be filled in."""
_AFTER_QUOTE: Final = re.compile(r"(?<=«) ")


def preferred(accept_language: str, known: Collection[str], otherwise: str) -> str:
    """The best of the `known` tags for an Accept-Language header (RFC 9110 §12.5.4); `otherwise` if it names none."""
    best, best_quality = otherwise, 0.0
    for item in accept_language[:_LONGEST_HEADER].lower().split(","):
        tag, _, parameters = item.strip().partition(";")
        name = tag.strip().partition("-")[0]
        match = _QUALITY.fullmatch(parameters.strip()) if parameters else None
        if name not in known or (parameters and match is None):
            continue
        quality = float(match[1]) if match else 1.0
        if quality > best_quality:
            best, best_quality = name, quality
    return best


def french_spaces(text: str) -> str:
    """`text` whose spaces before high marks, inside guillemets, in numbers and before units never break the line."""
    for where in (_BEFORE_MARK, _AFTER_QUOTE, _IN_NUMBER):
        text = where.sub("\u00a0", text)
    return text
