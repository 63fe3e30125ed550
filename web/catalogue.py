"""The words of every page and of the letters, in each language, read once from `words/*.toml`: a file
a language, `desk.en.toml` and its like for what one part of the front alone says.

A key that is missing raises KeyError at once; tests hold the languages to the same keys and placeholders.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from relay.pages.language import french_spaces, preferred

__all__ = ["Language", "Words", "choose_language", "french_spaces", "load_words"]

_FOLDER: Final = Path(__file__).parent / "words"
_ROUNDING: Final = 300
_TAG: Final = re.compile(r"(<[^>]*>)")


class Language(StrEnum):
    """A language of the front; the value is its BCP 47 tag and its path prefix."""

    EN = "en"
    FR = "fr"

    @property
    def other(self) -> Language:
        """The language the switch leads to."""
        return Language.FR if self is Language.EN else Language.EN


_TAGS: Final = frozenset(language.value for language in Language)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language."""

    language: Language
    texts: Mapping[str, str]
    months: tuple[str, ...]
    zone: tzinfo = UTC
    """Where the service is at home: whose time pages tell, and name."""

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key` with its placeholders filled in; KeyError if there is none."""
        text = self.texts[key]
        return text.format(**values) if values else text

    def moment(self, at: datetime) -> str:
        """A time as a reader sees it: day, month, hour and minute where the service is at home, and where that is."""
        at = at.astimezone(self.zone)
        values = {**_of_year(self, at), "hour": at.hour, "minute": at.minute}
        return self("time.moment", **values, zone=self.zone_name())

    def zone_name(self) -> str:
        """ "Paris time" for Europe/Paris; a zone that is named after no city, as UTC, by its name."""
        area, _, city = str(self.zone).partition("/")
        if not city or area == "Etc":
            return str(self.zone)
        return self("time.zone", city=city.rpartition("/")[2].replace("_", " "))

    def around(self, at: datetime) -> str:
        """The next full five minutes as `moment` says it: when exactly a letter came or leaves is nobody's to know."""
        return self.moment(at + timedelta(seconds=-at.timestamp() % _ROUNDING))

    def day_here(self, at: datetime) -> str:
        """The day of a time where the service is at home, without its year."""
        return self.date(at.astimezone(self.zone).date())

    def day(self, at: datetime) -> str:
        """A day as a reader sees it, in UTC."""
        at = at.astimezone(UTC)
        return self("time.day", **_of_year(self, at), year=at.year)

    def date(self, day: date) -> str:
        """A day without its year."""
        return self("time.date", **_of_year(self, day))

    def number(self, value: float) -> str:
        """A number as this language writes it; a fraction below ten has one decimal."""
        whole = value >= 10 or value == int(value)
        written = f"{round(value):,}" if whole else f"{value:.1f}"
        if self.language is not Language.FR:
            return written
        return written.replace(",", "\u202f").replace(".", ",")

    def week(self, name: str) -> str:
        """An ISO week, "2026-W07", as a reader sees it."""
        year, _, number = name.partition("-W")
        return self("weekly.week", number=int(number), year=year)

    def typeset(self, prose: Markup) -> Markup:
        """Finished prose with this language's spaces; tags, and so addresses, stay as they are."""
        if self.language is not Language.FR:
            return prose
        parts = (part if part.startswith("<") else french_spaces(part) for part in _TAG.split(prose))
        return Markup("").join(map(Markup, parts))  # what comes in is escaped already

    def about(self, span: timedelta) -> str:
        """A span as "about five minutes" would say it: minutes rounded up to five, then hours; days from two on."""
        minutes = max(1, -(-int(span.total_seconds()) // 60))
        if minutes < 5:
            return self("time.minute") if minutes == 1 else self("time.minutes", count=minutes)
        rounded = -(-minutes // 5) * 5
        if rounded < 60:
            return self("time.minutes", count=rounded)
        hours = -(-minutes // 60)
        if hours >= 48:
            return self("time.days", count=-(-hours // 24))
        return self("time.hour") if hours == 1 else self("time.hours", count=hours)


def _of_year(words: Words, day: date) -> dict[str, object]:
    """Day and month; the first of a month is not a plain number in French."""
    is_first = day.day == 1 and words.language is Language.FR
    return {"day": "1er" if is_first else day.day, "month": words.months[day.month - 1]}


def load_words(zone: tzinfo = UTC, folder: Path = _FOLDER) -> dict[Language, Words]:
    """Every language's words, whose times are those of `zone`.

    Raises OSError or tomllib.TOMLDecodeError if the installation is damaged.
    """
    return {language: _load(language, folder, zone) for language in Language}


def _load(language: Language, folder: Path, zone: tzinfo) -> Words:
    return Words(language, *_read(language, folder), zone)


@cache
def _read(language: Language, folder: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The texts by key, and the months: read once for pages, desk and letters."""
    tables: dict[str, Any] = {}
    for path in sorted(folder.glob(f"*{language.value}.toml")):
        tables |= tomllib.loads(path.read_text(encoding="utf-8"))
    months = tuple(str(month) for month in tables.pop("months"))
    texts = dict(_flatten("", tables))
    if language is Language.FR:
        texts = {key: french_spaces(text) for key, text in texts.items()}
    return texts, months


def _flatten(prefix: str, tables: Mapping[str, Any]) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in tables.items():
        if isinstance(value, dict):
            flat += _flatten(f"{prefix}{key}.", value)
        else:
            flat.append((prefix + key, str(value)))
    return flat


def choose_language(accept_language: str, otherwise: Language = Language.EN) -> Language:
    """The best of our languages for an Accept-Language header; `otherwise` if it names none."""
    return Language(preferred(accept_language, _TAGS, otherwise))
