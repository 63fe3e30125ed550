"""Plots with their tables, in words: what `web.history` counted, for everybody by week and for moderators by day.

Everybody sees weeks that are over, in steps of five (a small count, or one that moves at once, would tell a writer what
became of a letter), and rates that are made from those rounded counts alone: they tell no more than these do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from web.catalogue import Words
from web.history import Stretch
from web.plot import Plot, plot

STEP: Final = 5
FEWEST: Final = 200
"""Of fewer letters no rate is told in public: a step of five would be more than 25 in a thousand."""

_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot, and the same as a table: when, and one or two columns."""

    plot: Plot
    first: str
    last: str
    rows: tuple[tuple[str, ...], ...]
    is_line: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of a thousand letters; `below` if all that is told is that there were fewer."""

    value: float
    below: bool = False


def stepped(number: int) -> int:
    """The step of five that a count is on: 0 stands for 0 to 4."""
    return number // STEP * STEP


def public_rate(happened: int, letters: int) -> Rate | None:
    """Of a thousand letters, from what is told of both; None for fewer letters than `FEWEST`."""
    if letters < FEWEST:
        return None
    of, middle = stepped(letters), (STEP - 1) / 2
    if happened < STEP:
        return Rate(1000 * STEP / of, below=True)
    return Rate(1000 * (stepped(happened) + middle) / (of + middle))


class Charts:
    """Charts in one language."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def of_weeks(self, weeks: Sequence[Stretch]) -> dict[str, Chart]:
        """What everybody sees."""
        return {
            "letters": self._stepped(weeks, lambda week: week.letters),
            "held": self._stepped(weeks, lambda week: sum(week.held.values())),
            "pile_ons": self._stepped(weeks, lambda week: week.pile_ons),
            "reports": self._public_rates(weeks, lambda week: week.reports),
            "opt_outs": self._public_rates(weeks, _more_refusing),
        }

    def rules_of_weeks(self, weeks: Sequence[Stretch]) -> dict[str, Chart]:
        """By rule, those by which five letters or more were refused in some week."""
        return {
            rule: self._stepped(weeks, lambda week, rule=rule: week.refused.get(rule, 0))  # type: ignore[misc]
            for rule in _rules(weeks)
            if any(week.refused.get(rule, 0) >= STEP for week in weeks)
        }

    def of_days(self, days: Sequence[Stretch]) -> dict[str, Chart]:
        """What moderators see."""
        return {
            "letters": self._exact(days, lambda day: day.letters),
            "held": self._exact(days, lambda day: sum(day.held.values())),
            "pile_ons": self._exact(days, lambda day: day.pile_ons),
            "reports": self._rates(days, lambda day: day.reports),
            "opt_outs": self._rates(days, _more_refusing),
            "decided": self._hours(days),
        }

    def rules_of_days(self, days: Sequence[Stretch]) -> dict[str, Chart]:
        """By rule, those by which any letter was refused."""
        return {
            rule: self._exact(days, lambda day, rule=rule: day.refused.get(rule, 0))  # type: ignore[misc]
            for rule in _rules(days)
        }

    def _stepped(self, weeks: Sequence[Stretch], count: Callable[[Stretch], int]) -> Chart:
        counts = [stepped(count(week)) for week in weeks]
        return self._chart(weeks, counts, [(self._range(number),) for number in counts])

    def _exact(self, days: Sequence[Stretch], count: Callable[[Stretch], int]) -> Chart:
        counts = [count(day) for day in days]
        return self._chart(days, counts, [(self._words.number(number),) for number in counts])

    def _public_rates(self, weeks: Sequence[Stretch], count: Callable[[Stretch], int | None]) -> Chart:
        rates, cells = list[float | None](), list[tuple[str, ...]]()
        for week in weeks:
            happened = count(week)
            rate = None if happened is None else public_rate(happened, week.letters)
            rates.append(None if rate is None else 0.0 if rate.below else rate.value)
            cells.append((self._range(happened), self._rate(rate)))
        return self._chart(weeks, rates, cells, is_line=True)

    def _rates(self, days: Sequence[Stretch], count: Callable[[Stretch], int | None]) -> Chart:
        rates, cells = list[float | None](), list[tuple[str, ...]]()
        for day in days:
            happened = count(day)
            rate = None if happened is None or not day.letters else 1000 * happened / day.letters
            rates.append(rate)
            told = self._words("plot.unknown") if happened is None else self._words.number(happened)
            cells.append((told, self._rate(None if rate is None else Rate(rate))))
        return self._chart(days, rates, cells, is_line=True)

    def _hours(self, days: Sequence[Stretch]) -> Chart:
        hours = [None if day.decided_within is None else day.decided_within / _HOUR for day in days]
        cells = [("–" if one is None else self._words.number(one),) for one in hours]
        return self._chart(days, hours, cells, is_line=True)

    def _chart(
        self,
        stretches: Sequence[Stretch],
        values: Sequence[float | None],
        cells: Sequence[tuple[str, ...]],
        *,
        is_line: bool = False,
    ) -> Chart:
        """The plot from left to right, the table from the latest down."""
        names = [self._words.date(one.first) for one in stretches]
        rows = tuple((name, *told) for name, told in zip(names, cells, strict=True))
        ends = (names[0], names[-1]) if names else ("", "")
        return Chart(plot(values), *ends, rows[::-1], is_line)

    def _range(self, number: int | None) -> str:
        if number is None:
            return self._words("plot.unknown")
        least = stepped(number)
        if not least:
            return self._words("plot.fewer")
        return self._words("plot.range", least=self._words.number(least), most=self._words.number(least + STEP - 1))

    def _rate(self, rate: Rate | None) -> str:
        if rate is None:
            return "–"
        told = self._words.number(rate.value)
        return self._words("plot.below", rate=told) if rate.below else told


def _more_refusing(one: Stretch) -> int | None:
    """A stretch in which more took a refusal back than refused has no growth to draw."""
    return None if one.opt_outs is None else max(0, one.opt_outs)


def _rules(stretches: Iterable[Stretch]) -> list[str]:
    return sorted({rule for one in stretches for rule in one.refused})
