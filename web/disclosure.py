"""Disclosure: on which legal basis a sealed record may be opened, what speaks against it, and how requests are counted.

A basis is data (`legal/fr.toml`). One that the rules doubt needs a second person and a reason; none is a dead end,
since whether a court may ask is not ours to decide. The audit entry (`web.audit`) is committed before a record is
shown, and a request that was refused leaves one too.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.data_files import data_file, read_data_file
from relay.errors import ConfigurationError
from web.audit import ANSWER, DISCLOSE, RECEIVE, REFUSE, RESEAL, UNREADABLE, Disclosure, names_address

_NAME: Final = "legal/fr.toml"
_BASIS: Final = frozenset({"title", "law", "text", "doubt"})
_OTHERWISE: Final = {"": "waiting", "granted": "granted", "refused": "refused"}
_GRANTED: Final = frozenset({DISCLOSE, RESEAL})
OWN_BASIS: Final = "threat-to-life"
"""The basis on which we tell the authorities ourselves: nobody has asked."""
UNERASABLE: Final = "leave mail addresses out of names and reasons: what stands in the audit cannot be erased"
_UNASKED: Final = frozenset({OWN_BASIS, "drill"})


@dataclass(frozen=True, slots=True)
class Basis:
    """A legal basis on which somebody may ask; `doubt` says why it needs a second person, "" where it does not."""

    id: str
    title: str
    law: str
    text: str
    doubt: str


def load_bases(folder: Path | None = None) -> dict[str, Basis]:
    """The bases, those of `folder`/legal/fr.toml if it exists. Raises ConfigurationError."""
    place = data_file(_NAME, folder / _NAME if folder is not None else None)
    try:
        tables = tomllib.loads(read_data_file(place)).get("basis", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    bases: dict[str, Basis] = {}
    for name, texts in tables.items():
        if not isinstance(texts, dict) or texts.keys() != _BASIS or not all(isinstance(t, str) for t in texts.values()):
            raise ConfigurationError(f"{place}: [basis.{name}] needs the texts {', '.join(sorted(_BASIS))}")
        bases[name] = Basis(name, **texts)
    return bases


@dataclass(frozen=True, slots=True)
class Requests:
    """How often somebody asked who wrote a letter, and what became of it."""

    granted: int = 0
    refused: int = 0
    other: int = 0
    """We held nothing, or it was taken back."""
    waiting: int = 0

    @property
    def asked(self) -> int:
        """All of them."""
        return self.granted + self.refused + self.other + self.waiting


def unusable(disclosure: Disclosure, bases: Mapping[str, Basis]) -> str:
    """Why this is no request that could be granted or refused; "" if it is one."""
    if disclosure.basis not in bases:
        return f"{disclosure.basis} is no legal basis; there are {', '.join(bases)}"
    if not disclosure.case.strip():
        return "a disclosure needs the number of its case"
    if "@" in disclosure.letter_id + disclosure.case:
        return "name case and letter, never an address: what stands in the audit cannot be erased"
    if names_address(disclosure.case, disclosure.actor, disclosure.second, disclosure.reason):
        return UNERASABLE
    return ""


def _same(name: str) -> str:
    """A name without what tells no two people apart: case and blanks."""
    return " ".join(name.split()).casefold()


def doubt_about(disclosure: Disclosure, basis: Basis) -> str:
    """Why a record is not opened on this basis as things stand; "" if nothing speaks against it."""
    if not basis.doubt:
        return ""
    if not (disclosure.second.strip() and disclosure.reason.strip()):
        return f"{basis.title} ({basis.law}): {basis.doubt} A second person and a reason are needed"
    if _same(disclosure.second) == _same(disclosure.actor):
        return "the second person must be another than the first"
    return ""


def count_requests(entries: Iterable[Mapping[str, str]]) -> Requests:
    """The requests among what audit entries say, one for each case and letter however often it was tried: granted if
    the record was opened or kept for the case once. What we told the authorities unasked is no request, nor is an
    exercise.

    A case without either counts once, by the answer it got last; it waits while it got none.
    """
    granted: dict[tuple[str, str], bool] = {}
    noted: dict[str, str] = {}
    for said in entries:
        if said["action"] == UNREADABLE or said["basis"] in _UNASKED:
            continue
        case, action = said["case"], said["action"]
        if action in _GRANTED or action == REFUSE:
            granted[case, said["letter"]] = granted.get((case, said["letter"]), False) or action in _GRANTED
        elif action in (RECEIVE, ANSWER):
            noted[case] = said.get("answer", "") or noted.get(case, "")
    tried = {case for case, _ in granted}
    answers = Counter(_OTHERWISE.get(answer, "other") for case, answer in noted.items() if case not in tried)
    opened = sum(granted.values())
    return Requests(
        granted=opened + answers["granted"],
        refused=len(granted) - opened + answers["refused"],
        other=answers["other"],
        waiting=answers["waiting"],
    )
