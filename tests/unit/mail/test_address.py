"""The address type: what is one, what is none, and that nothing can be injected through it."""

from __future__ import annotations

import pytest

from relay.mail.address import NULL_PATH, Address, AddressError, parse_address, parse_domain, parse_literal


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("ann@example.com", "ann", "example.com"),
        ("Ann+tag@EXAMPLE.com", "Ann+tag", "example.com"),
        ('"a b"@example.com', '"a b"', "example.com"),
        ('"a@b"@example.com', '"a@b"', "example.com"),
        ("ann@bücher.example", "ann", "xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann", "xn--bcher-kva.example"),
        ("jörg@example.com", "jörg", "example.com"),
        ("!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~", "example.com"),
    ],
)
def test_addresses_are_read(text: str, local: str, domain: str) -> None:
    assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "ann", "ann@", "@example.com", "a@@b.example", "a..b@x.example", ".a@x.example", "a.@x.example"),
        *("a@-x.example", "a@x-.example", "a@x..example", "a@x.example.", "a@localhost", "a@1.2.3.4", "a@x_y.example"),
        *("a b@x.example", "<a@x.example>", "a@x.example>", "a@x.example (c)", " a@x.example", "a@x.example "),
        *('"a@x.example', 'a"b@x.example', '"a"b@x.example', "a@[192.0.2.1]", "a,b@x.example", "a;b@x.example"),
    ],
)
def test_wrong_syntax_is_refused(text: str) -> None:  # F14
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert len(text) < 5 or text not in str(caught.value)


@pytest.mark.parametrize("octet", [*map(chr, range(0x20)), "\x7f", "\x80", "\x85", "\u2028", "\u2029", "\ud800"])
@pytest.mark.parametrize("form", ["a{}b@example.com", '"a{}b"@example.com', "ab@exam{}ple.com", "ab@example.com{}"])
def test_control_characters_cannot_exist_in_an_address(octet: str, form: str) -> None:  # S07
    with pytest.raises(AddressError):
        parse_address(form.format(octet))


def test_boundary_lengths() -> None:  # A13
    label = "a" * 63
    assert parse_address(f"{'l' * 64}@example.com").local == "l" * 64
    with pytest.raises(AddressError):
        parse_address(f"{'l' * 65}@example.com")
    with pytest.raises(AddressError):
        parse_address(f"{'é' * 33}@example.com")  # 66 octets
    domain = f"{label}.{label}.{label}.{'a' * 59}.c"  # 253 octets
    assert parse_domain(domain) == domain
    with pytest.raises(AddressError):
        parse_domain(f"{label}.{label}.{label}.{label}.c")
    with pytest.raises(AddressError):
        parse_domain(f"{'a' * 64}.example")
    with pytest.raises(AddressError):
        parse_address(f"ann@{domain}")  # a path of more than 254


def test_literals_are_read_where_they_are_allowed() -> None:
    assert parse_address("a@[192.0.2.1]", allow_literal=True) == Address("a", "[192.0.2.1]")
    assert parse_literal("[ipv6:2001:DB8:0::1]") == "[IPv6:2001:db8::1]"
    for text in ("[192.0.2]", "[IPv6:x]", "[192.0.2.1", "[]", "[2001:db8::1]"):
        with pytest.raises(AddressError):
            parse_literal(text)


def test_identity_ignores_needless_quotes() -> None:
    assert parse_address('"ann"@example.com').key == "ann@example.com"
    assert parse_address('"a\\nn"@example.com').key == "ann@example.com"
    assert parse_address('"a b"@example.com').key == '"a b"@example.com'


def test_smtputf8_is_needed_by_local_parts_only() -> None:
    assert parse_address("jörg@example.com").needs_smtputf8
    assert not parse_address("ann@bücher.example").needs_smtputf8


def test_the_null_path_is_a_value() -> None:
    assert str(NULL_PATH) == ""
    assert repr(NULL_PATH) == "NULL_PATH"
