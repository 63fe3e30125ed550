"""Two mails' header fields beside each other, and what differs between them (SND 1).

Beside the inbox's pages: whoever wants to know whether a letter tells of its sender looks at two letters of two people,
and at the marked parts alone. Pure; any octets of any mail may stand in the fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

Field = tuple[str, str]
"""A field's name and its value, decoded."""


@dataclass(frozen=True, slots=True)
class Value:
    """A field's value in three parts; `own` is what the other's has not between the same beginning and end."""

    begins: str
    own: str = ""
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One field of both mails; None where one of them has it not."""

    name: str
    ours: Value | None
    theirs: Value | None

    @property
    def differs(self) -> bool:
        """Whether the mails can be told apart by this field."""
        return self.ours != self.theirs


def compare(ours: Sequence[Field], theirs: Sequence[Field]) -> list[Row]:
    """Every field of both, in their order."""
    names, others = ([name.lower() for name, _ in fields] for fields in (ours, theirs))
    rows: list[Row] = []
    for kind, start, end, other_start, other_end in SequenceMatcher(None, names, others, autojunk=False).get_opcodes():
        left, right = ours[start:end], theirs[other_start:other_end]
        if kind == "equal":
            rows += [Row(name, *_apart(one, other)) for (name, one), (_, other) in zip(left, right, strict=True)]
        else:
            rows += [Row(name, Value(value), None) for name, value in left]
            rows += [Row(name, None, Value(value)) for name, value in right]
    return rows


def _apart(one: str, other: str) -> tuple[Value, Value]:
    """Both values, parted where they begin and cease to differ."""
    if one == other:
        return Value(one), Value(other)
    head = _shared(one, other)
    tail = _shared(one[head:][::-1], other[head:][::-1])
    return _parted(one, head, tail), _parted(other, head, tail)


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _parted(text: str, head: int, tail: int) -> Value:
    return Value(text[:head], text[head : len(text) - tail], text[len(text) - tail :])
