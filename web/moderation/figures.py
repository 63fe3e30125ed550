"""How often moderation is right, counted: what is printed by `leak moderate --figures` and told on /transparency.

Every share stands with its 95 % Wilson interval; letters that are refused and letters that wait for a person are
counted apart.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from relay.data_files import data_file, read_data_file
from web.moderation.corpus import CARE, NEXT, ORDINARY, PASS, RULES, SHARP, STRANGER, Line, read_corpus
from web.moderation.long_letters import kind_letters, of_length
from web.moderation.moderator import Moderator
from web.moderation.ruling import Rule, Step

FIGURES_FILE: Final = "moderation/figures.json"
SAMPLE: Final = "sample"
"""The key of the figures of the sampled letters alone."""
AMONG: Final = {"among 500": 500, "among 1000": 1000, "among 1500": 1500}
"""The sets of long letters: insults and threats among so many characters of kind letters, and as many without."""
_CORE: Final = (Rule.BULLYING, Rule.THREAT)
_Z: Final = 1.96
_MIX: Final = 1000
_HARD_IN_MIX: Final = 0.2
"""Letters of a realistic mix that use the words of threats and insults and mean well: an assumption, told with it."""


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `of` letters, and the 95 % Wilson interval of that share."""

    hits: int
    of: int
    low: float
    high: float


def share(hits: int, of: int) -> Share:
    """The share with its interval; 0 to 1 where nothing was counted."""
    if not of:
        return Share(0, 0, 0.0, 1.0)
    middle = (hits + _Z * _Z / 2) / (of + _Z * _Z)
    half = _Z * math.sqrt(hits * (of - hits) / of + _Z * _Z / 4) / (of + _Z * _Z)
    return Share(hits, of, round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4))


Ruled = tuple[Line, Step]
"""A letter with what moderation did about it."""


def measure(moderator: Moderator, lines: Iterable[Line]) -> dict[str, Any]:
    """The figures of `lines`, by language; a JSON value."""
    return _counted(rule_all(moderator, lines))


def rule_all(moderator: Moderator, lines: Iterable[Line]) -> list[Ruled]:
    """Each of `lines` with its ruling."""
    return [(line, moderator.rule(line.letter).step) for line in lines]


def _counted(ruled: Iterable[Ruled]) -> dict[str, Any]:
    steps: dict[str, dict[str, Counter[Step]]] = {}
    for line, step in ruled:
        steps.setdefault(line.language, {}).setdefault(line.label, Counter())[step] += 1
    both: dict[str, Counter[Step]] = {}
    for labels in steps.values():
        for label, counted in labels.items():
            both.setdefault(label, Counter()).update(counted)
    return {language: _told(labels) for language, labels in [*sorted(steps.items()), ("both", both)]}


def letters_for_measuring(place: Path) -> dict[str, list[Line]]:
    """The sets of the corpus at `place` that are for measuring; without what many people write, and one taught us."""
    lines = list(read_corpus(place, place / NEXT))
    learned = {line.letter for line in lines if not line.held_out}
    sets = {"held out": [line for line in lines if line.held_out]}
    for name in (STRANGER, ORDINARY, RULES, SHARP):
        sets[name] = [line for line in read_corpus(place / name) if line.letter not in learned]
    kind, core = kind_letters(sets[ORDINARY], sets[STRANGER]), [one for one in sets[STRANGER] if one.label in _CORE]
    for at, (name, characters) in enumerate(AMONG.items()):
        sets[name] = of_length([one for one in core if _eighth(one) == at], kind, characters)
    return sets


def _eighth(line: Line) -> int:
    """Which eighth of all letters it is of; each is put among others once."""
    return sha256(line.letter.encode()).digest()[2] % 8


def measure_all(moderator: Moderator, place: Path) -> dict[str, Any]:
    """The figures of each set of the corpus at `place` that is for measuring; a JSON value.

    Those of the letters in the sample stand beside them: so few can be counted again in seconds.
    """
    sets = {name: rule_all(moderator, lines) for name, lines in letters_for_measuring(place).items()}
    figures: dict[str, Any] = {name: _counted(ruled) for name, ruled in sets.items()}
    sample = {name: _counted(one for one in ruled if one[0].sampled) for name, ruled in sets.items()}
    hard = [one for one in sets[STRANGER] if one[0].label == PASS]
    return figures | {SAMPLE: sample, "mix": _mixed(sets[ORDINARY], hard)}


def _mixed(ordinary: Sequence[Ruled], hard: Sequence[Ruled]) -> dict[str, Any]:
    """What waits for a person, or is refused, of letters that all ought to pass, as they come in: most are ordinary."""
    held: dict[Step, float] = {}
    for ruled, share_of in ((ordinary, 1 - _HARD_IN_MIX), (hard, _HARD_IN_MIX)):
        steps = Counter(step for _, step in ruled)
        for step in (Step.HOLD, Step.REFUSE, Step.CARE):
            held[step] = held.get(step, 0.0) + _MIX * share_of * steps[step] / (steps.total() or 1)
    told = {step.value: round(count, 1) for step, count in held.items()}
    return {"letters": _MIX, "hard": round(_MIX * _HARD_IN_MIX), **told}


def _told(labels: dict[str, Counter[Step]]) -> dict[str, Any]:
    passing = labels.get(PASS, Counter())
    bad = {label: counted for label, counted in labels.items() if label in set(Rule)}
    everything = sum(bad.values(), Counter[Step]())
    core = sum((bad.get(rule, Counter()) for rule in _CORE), Counter[Step]())
    return {
        "to pass": {
            "stopped": _share(passing, Step.HOLD, Step.REFUSE, Step.CARE),
            "refused": _share(passing, Step.REFUSE),
            "held": _share(passing, Step.HOLD),
            "nudged": _share(passing, Step.NUDGE),
        },
        "insults and threats": _stopped(core),
        "to stop": _stopped(everything),
        "by rule": {label: _stopped(bad[label]) for label in sorted(bad)},
        "care": {"helped": _share(labels.get(CARE, Counter()), Step.CARE, Step.HOLD, Step.REFUSE)},
    }


def _stopped(counted: Counter[Step]) -> dict[str, Any]:
    return {
        "stopped": _share(counted, Step.HOLD, Step.REFUSE),
        "refused": _share(counted, Step.REFUSE),
        "held": _share(counted, Step.HOLD),
    }


def _share(counted: Counter[Step], *steps: Step) -> dict[str, Any]:
    return asdict(share(sum(counted[step] for step in steps), counted.total()))


def published_figures() -> dict[str, Any]:
    """The figures that come along: of the weights beside them, on letters held out. Raises ConfigurationError."""
    figures: dict[str, Any] = json.loads(read_data_file(data_file(FIGURES_FILE)))
    return figures


def told_as_text(figures: dict[str, Any]) -> str:
    """The figures as lines for a terminal."""
    lines = []
    for language, of in figures.get("held out", figures.get("measured", {})).items():
        lines.append(f"{language}:")
        for what, shares in [(name, of[name]) for name in ("to pass", "insults and threats", "to stop", "care")]:
            lines += [f"  {what}, {name}: {_line(one)}" for name, one in shares.items()]
        for rule, shares in of["by rule"].items():
            lines += [f"  {rule}, {name}: {_line(one)}" for name, one in shares.items() if name != "held"]
    return "\n".join(lines)


def _line(one: dict[str, Any]) -> str:
    part = one["hits"] / one["of"] if one["of"] else 0.0
    return f"{one['hits']} of {one['of']} = {part:.1%} ({one['low']:.1%} to {one['high']:.1%})"
