"""What `leak message` says of an attempt's TLS: what was demanded, what was had, and what verified it (E11)."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from relay.admin.life import _tls
from relay.policy.outcome import TlsFacts


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (
            TlsFacts("TLSv1.3", "X", verified=True),
            "TLS demanded: may; had: TLSv1.3 X, certificate verified by an authority, for the host's name",
        ),
        (
            TlsFacts("TLSv1.2", "X", verified=False, error="the certificate has expired"),
            "TLS demanded: may; had: TLSv1.2 X, certificate not verified: the certificate has expired",
        ),
        (
            TlsFacts("", "", verified=False, error="STARTTLS was not offered"),
            "TLS demanded: may; had: in clear: STARTTLS was not offered",
        ),
        (
            TlsFacts("TLSv1.3", "X", verified=True, demand="dane", policy="tlsa", domain="d.test"),
            "TLS demanded: dane by the TLSA records of d.test; had: TLSv1.3 X, certificate verified by a TLSA record",
        ),
        (
            TlsFacts("TLSv1.3", "", verified=False, policy="sts", domain="d", testing=True, error="x"),
            "TLS demanded: may by the MTA-STS policy of d, watched only; had: TLSv1.3, certificate not verified: x",
        ),
    ],
)
def test_the_tls_of_an_attempt_in_words(facts: TlsFacts, text: str) -> None:  # E11
    assert _tls(asdict(facts)) == text
