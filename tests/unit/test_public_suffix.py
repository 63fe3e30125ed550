"""Whose domain a name is: its neighbours below a public suffix are strangers, what stands below it is its own."""

from __future__ import annotations

import pytest

from relay.public_suffix import organisational_domain


@pytest.mark.parametrize(
    ("domain", "organisation"),
    [
        ("example.com", "example.com"),
        ("Mail.Example.COM.", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("co.uk", None),
        ("uk", None),
        ("data.gouv.fr", "data.gouv.fr"),
        ("www.data.gouv.fr", "data.gouv.fr"),
        ("gouv.fr", None),
        ("etu.univ-lille.fr", "univ-lille.fr"),
        ("ann.github.io", "ann.github.io"),
        ("github.io", None),
        ("www.ck", "www.ck"),
        ("shop.ck", None),
        ("école.example.рф", "example.рф"),
        ("a.xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ("inbox.lab.test", "lab.test"),
        ("localhost", None),
        ("", None),
        (".", None),
        ("a..example", None),
    ],
)
def test_a_domain_is_of_whoever_registered_a_name_above_it(domain: str, organisation: str | None) -> None:
    assert organisational_domain(domain) == organisation
