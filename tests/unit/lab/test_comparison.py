"""Two headers beside each other: what differs is found, and nothing else is marked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.lab.comparison import Row, Value, compare

OURS = [
    ("Date", "Mon, 23 Nov 2026 10:00:00 +0000"),
    ("Message-ID", "<abc@leak.test>"),
    ("From", "A friend <l@leak.test>"),
]
THEIRS = [("Date", OURS[0][1]), ("Message-ID", "<xyz@leak.test>"), ("X-Mailer", "one"), ("from", OURS[2][1])]


def test_what_differs_is_parted_from_what_does_not() -> None:
    rows = compare(OURS, THEIRS)
    assert [(row.name, row.differs) for row in rows] == [
        ("Date", False),
        ("Message-ID", True),
        ("X-Mailer", True),
        ("From", False),
    ]
    assert rows[1] == Row("Message-ID", Value("<", "abc", "@leak.test>"), Value("<", "xyz", "@leak.test>"))
    assert rows[2] == Row("X-Mailer", None, Value("one"))


def test_one_value_may_begin_or_hold_the_other() -> None:
    (row,) = compare([("To", "aa")], [("To", "aaa")])
    assert (row.ours, row.theirs, row.differs) == (Value("aa"), Value("aa", "a"), True)


FIELDS = st.lists(st.tuples(st.sampled_from(["A", "a", "B", "C"]), st.text(max_size=5)), max_size=6)


@given(FIELDS, FIELDS)
def test_nothing_of_either_mail_is_lost(ours: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> None:
    rows = compare(ours, theirs)
    for fields, values in ((ours, [row.ours for row in rows]), (theirs, [row.theirs for row in rows])):
        shown = [value.begins + value.own + value.ends for value in values if value is not None]
        assert shown == [value for _, value in fields]
    assert not any(row.differs for row in compare(ours, ours))
