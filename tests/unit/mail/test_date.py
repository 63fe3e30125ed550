"""Dates: RFC 5322, UTC, whatever the locale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest

from relay.mail.date import format_date


def test_known_dates() -> None:  # O04
    assert format_date(datetime(1970, 1, 1, tzinfo=UTC)) == "Thu, 01 Jan 1970 00:00:00 +0000"
    paris = timezone(timedelta(hours=2))
    assert format_date(datetime(2026, 6, 1, 0, 30, 5, 999_999, tzinfo=paris)) == "Sun, 31 May 2026 22:30:05 +0000"


def test_every_month_and_day_reads_back() -> None:
    start = datetime(2024, 1, 1, 12, tzinfo=UTC)
    for n in range(0, 800, 3):
        moment = start + timedelta(days=n, seconds=n)
        assert parsedate_to_datetime(format_date(moment)) == moment


def test_naive_dates_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        format_date(datetime(2026, 1, 1))
