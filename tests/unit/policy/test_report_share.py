"""Whose reports are kept: by the network that brings them, about domains that mail of ours can bear."""

from __future__ import annotations

import pytest

from relay.policy.report_share import Share, fits, reported_domains, reporter_of


def test_a_report_may_be_about_a_domain_or_what_stands_above_it() -> None:
    found = reported_domains(["Mail.Leak.example", "bounces.leak.example.", "other.test"])
    assert found == {"mail.leak.example", "bounces.leak.example", "leak.example", "other.test"}


def test_a_report_about_a_public_suffix_is_about_strangers() -> None:
    assert reported_domains(["mx.Leak.co.uk"]) == {"mx.leak.co.uk", "leak.co.uk"}
    assert reported_domains(["leak.asso.fr", "localhost"]) == {"leak.asso.fr", "localhost"}


@pytest.mark.parametrize(
    ("peer", "reporter"),
    [
        ("8.8.8.8", "8.8.8.0/24"),
        ("8.8.8.9", "8.8.8.0/24"),
        ("::ffff:8.8.8.9", "8.8.8.0/24"),
        ("2001:4860:4860:ffff::8888", "2001:4860:4860::/48"),
        ("127.0.0.1", "via big.example"),
        ("10.0.0.1", "via big.example"),
        ("", "unknown"),
    ],
)
def test_a_reporter_is_its_network_unless_a_host_of_ours_hands_all_mail_on(peer: str, reporter: str) -> None:
    assert reporter_of(peer, "Big.example") == reporter


@pytest.mark.parametrize("author", ["", "nul\x00.example", "\x1b[31m", "a b", "x" * 256])
def test_an_author_that_is_no_domain_is_nobody(author: str) -> None:
    assert reporter_of("127.0.0.1", author) == "unknown"


def test_a_share_ends_by_reports_or_by_octets() -> None:
    share = Share(2, 100)
    assert fits(share, 1, 40, 60)
    assert not fits(share, 1, 40, 61)
    assert not fits(share, 2, 0, 1)
