"""Mailboxes as the API takes them."""

from __future__ import annotations

import pytest

from relay.api.mailbox import parse_mailbox
from relay.mail.address import AddressError


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("ann@example.org", "", "ann@example.org"),
        (" ann@EXAMPLE.org\t", "", "ann@example.org"),
        ("<ann@example.org>", "", "ann@example.org"),
        ("Ann <ann@example.org>", "Ann", "ann@example.org"),
        ("Ann Lee, Inc. <ann@example.org>", "Ann Lee, Inc.", "ann@example.org"),
        ('"Ann \\"A\\" Lee" <ann@example.org>', 'Ann "A" Lee', "ann@example.org"),
        ("Zoé <zoé@exämple.org>", "Zoé", "zoé@xn--exmple-cua.org"),
    ],
)
def test_both_forms_are_taken(text: str, name: str, address: str) -> None:
    box = parse_mailbox(text)
    assert (box.name, str(box.address)) == (name, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@example.org>",
        "Ann ann@example.org",
        "<>",
        "Ann <>",
        'Ann "A <ann@example.org>',
        "Ann <b@c.org> <ann@example.org>",
        "a@b.org, c@d.org",
        "Ann\r\nBcc: x@y.org <ann@example.org>",  # S08
        "Ann\0 <ann@example.org>",
        "Ann <ann@example.org\r\n>",
        "ann@example.org\r\n",
    ],
)
def test_anything_else_is_refused_without_repeating_it(text: str) -> None:  # S08
    with pytest.raises(AddressError) as caught:
        parse_mailbox(text)
    assert "ann@" not in str(caught.value)
