"""Traces that are found by their form, in time that grows with the length of a letter only."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from web.moderation.traces import Trace, find_traces

ABROAD = re.compile(r"(?<![\w+])\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,5}(?!\w)")
"""A number with its country, without what spares the search those that cannot be one."""


@pytest.mark.parametrize(
    "number", ["+33 6 12 34 56 78", "+14155552671", "+44 (20) 7946-0958", "+49.30.123456", "0612345678"]
)
def test_a_telephone_number_is_found(number: str) -> None:
    text = f"Call {number}, please."
    assert [(one.trace, text[one.start : one.end]) for one in find_traces(text)] == [(Trace.PHONE, number)]


@settings(max_examples=300)
@given(st.text(alphabet="0123456789 .-()x", max_size=40))
@example("1 1 " + "2" * 23 + "x")
@example("12 12 123456 12 1")
@example("123456789012345678901234567")
@example("1234567890123456789012345678")
def test_no_number_is_missed_for_looking_ahead(rest: str) -> None:
    expected = ABROAD.search("+" + rest)
    found = [one for one in find_traces("+" + rest) if one.trace is Trace.PHONE and one.start == 0]
    accounts = [one for one in find_traces("+" + rest) if one.trace is not Trace.PHONE]
    assert bool(found) == (expected is not None) or accounts
    if found and expected:
        assert found[0].end == expected.end()


def test_rows_of_digits_that_break_off_are_no_numbers() -> None:
    assert find_traces(" ".join("+" + "1234567890" * 2 + "1234567x" for _ in range(60))) == []


@pytest.mark.parametrize(
    "site",
    ["evil-shop.com", "bit.ly/3xYz", "news.site.fr", "evil(.)com", "evil[dot]net", "evil dot com", "a-b.live/win?x=1"],
)
def test_a_link_without_its_beginning_is_found(site: str) -> None:
    text = f"Go to {site} now"
    assert [(one.trace, text[one.start : one.end]) for one in find_traces(text)] == [(Trace.SITE, site)]


@pytest.mark.parametrize(
    "text",
    [
        "so happy.me too",
        "bonjour.ca va",
        "the end.live well",
        "p.s. and/or e.g. 3.5/5",
        "v1.2/3",
        "polka dot dress",
    ],
)
def test_a_missing_blank_makes_no_link(text: str) -> None:
    assert find_traces(text) == []
