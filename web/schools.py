"""Is a mail domain a school's? By a list of patterns that stands with the words (`words/schools.txt`). Pure but for it.

Letters to schools are held for a person or refused, as `web.school_domains` says: minors are likely there.
"""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parent / "words" / "schools.txt"


class SchoolMail(StrEnum):
    """What becomes of a letter to a school; the values of `web.school_domains`."""

    DELIVER = "deliver"
    HOLD = "hold"
    REFUSE = "refuse"


def is_school(address: str) -> bool:
    """Whether the domain of `address` is one of the list."""
    domain = address.rpartition("@")[2].rstrip(".").casefold()
    return _patterns().fullmatch(domain) is not None


@cache
def _patterns() -> re.Pattern[str]:
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return re.compile("|".join(translate(pattern) for pattern in patterns))
