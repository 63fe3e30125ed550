"""The periods that the data protection documents name are those of the code: a change of one is a change of both."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from relay.settings import Settings
from web import code_mails, danger, day_counts, doorbell, letters, weekly_links

DOCS = Path(__file__).resolve().parents[3] / "docs"
DEFAULTS = Settings.model_validate({"node": {"name": "mail.leak.example"}})
PERIODS = {
    "words of a letter that went back": (letters.WORDS_KEPT, timedelta(days=7), "seven days"),
    "a held letter or reply": (letters.HOLD_TIME, timedelta(hours=48), "48 hours"),
    "words behind a doorbell": (letters.WAITS, timedelta(days=14), "14 days after it left"),
    "who has read one": (doorbell.KNOWN_KEPT, timedelta(days=366), "a year after the last"),
    "a question about the weekly": (weekly_links.CONFIRM_LIFE, timedelta(days=3), "three days"),
    "the mail with a code": (code_mails.ERASED_AFTER, timedelta(hours=1), "an hour"),
    "an open case of a threat to life": (danger.KEPT, timedelta(days=730), "two years at most"),
    "mail to the From address": (DEFAULTS.inbound.keep, timedelta(days=30), "30 days"),
    "the longest suppression": (DEFAULTS.suppression.longest, timedelta(days=730), "two years"),
}


@pytest.mark.parametrize("page", ["dpia.md", "record-of-processing.md"])
@pytest.mark.parametrize("what", PERIODS)
def test_both_documents_name_the_period(page: str, what: str) -> None:
    here, named, words = PERIODS[what]
    assert here == named, f"{what}: change docs/{page} and this test with it"
    assert words in (DOCS / page).read_text(encoding="utf-8")


def test_the_counts_of_a_day_are_kept_as_the_assessment_says() -> None:
    assert timedelta(days=400) == day_counts.KEPT
    assert "400 days" in (DOCS / "dpia.md").read_text(encoding="utf-8")
