"""What the generated pages say: bounds beside types, and every logger however it is kept."""

from __future__ import annotations

from relay.cli.reference import settings_page
from relay.cli.reference_figures import log_lines


def test_log_lines_of_loggers_that_are_imported_kept_or_lent_are_there() -> None:
    found = {(line.part, line.action) for line in log_lines()}
    assert {("submission", "auth-failed"), ("account", "user-added"), ("api", "field-unknown")} <= found


def test_the_settings_page_says_what_is_allowed() -> None:
    page = settings_page()
    assert "integer, 0 to 256" in page
    assert 'duration, "3s" or more' in page
    assert "table of number | `{}` | `{ ip1 = 3 }`" in page
    assert "[`[[signing.domain]]`](#signingdomain)" in page
