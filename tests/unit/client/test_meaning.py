"""What bounces mean to the writer."""

from __future__ import annotations

import pytest

from relay.client.meaning import meaning_of


@pytest.mark.parametrize(
    ("detail", "word"),
    [
        ({"status": "5.1.1", "phase": "rcpt", "decided_by": "remote"}, "unknown-user"),
        ({"status": "5.2.2", "phase": "rcpt", "decided_by": "remote"}, "full"),
        ({"status": "4.2.2", "phase": "dot", "decided_by": "remote"}, "full"),
        ({"status": "4.2.1", "phase": "rcpt", "decided_by": "remote"}, "mailbox"),
        ({"status": "5.7.1", "phase": "dot", "decided_by": "remote"}, "policy"),
        ({"status": "4.7.26", "phase": "mail", "decided_by": "remote"}, "policy"),
        ({"status": "5.4.4", "phase": "route", "decided_by": "dns"}, "unreachable"),
        ({"status": "5.1.10", "phase": "route", "decided_by": "dns"}, "unreachable"),
        ({"status": "4.4.1", "phase": "connect", "decided_by": "network"}, "unreachable"),
        ({"status": "4.4.2", "phase": "dot", "decided_by": "network"}, "unreachable"),
        ({"status": "5.0.0", "phase": "rcpt", "decided_by": "remote"}, "other"),
        ({}, "other"),
    ],
)
def test_in_one_word(detail: dict[str, str], word: str) -> None:
    assert meaning_of(detail) == word
