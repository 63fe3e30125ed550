"""The client's address: only trusted proxies are believed, and only what they wrote."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from web.client_address import ClientAddressReader

READER = ClientAddressReader(["10.0.0.0/8", "2001:db8:ff::/48"], "X-Forwarded-Port")
PROXY = ("10.0.0.1", 5000)


def _read(peer: tuple[str, int] | None, **headers: str | list[str]) -> tuple[str, int | None]:
    """A list is a line for each of its values. A port of -1 is one of a client who is disputed."""
    fields: CIMultiDict[str] = CIMultiDict()
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            fields.add(name.replace("_", "-"), value)
    client = READER.read(peer, fields)
    if client.disputed:
        assert (str(client.address), client.port) == PROXY
    return str(client.address), -1 if client.disputed else client.port


def test_a_stranger_is_not_believed() -> None:  # S50
    headers = {"X_Forwarded_For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X_Forwarded_Port": "1"}
    assert _read(("198.51.100.7", 4711), **headers) == ("198.51.100.7", 4711)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("203.0.113.9", ("203.0.113.9", None)),
        ("1.1.1.1, 203.0.113.9", ("203.0.113.9", None)),  # S50: the left was written by the client
        ("203.0.113.9, 10.1.1.1", ("203.0.113.9", None)),
        ("203.0.113.9:4711, 10.1.1.1", ("203.0.113.9", 4711)),
        ("2001:db8::7", ("2001:db8::7", None)),
        ("[2001:db8::7]:99", ("2001:db8::7", 99)),
        ("::ffff:203.0.113.9", ("203.0.113.9", None)),
        ("10.2.2.2, 10.1.1.1", ("10.2.2.2", None)),
        ("203.0.113.9, nonsense", ("10.0.0.1", -1)),
        ("nonsense, 203.0.113.9", ("203.0.113.9", None)),
        ("", ("10.0.0.1", 5000)),
        (",", ("10.0.0.1", -1)),
        ("9" * 5000, ("10.0.0.1", -1)),
        ("1.1.1.1, " * 1000 + "203.0.113.9", ("203.0.113.9", None)),  # nobody hides by making it long
        ("9" * 5000 + ", 203.0.113.9", ("203.0.113.9", None)),
        ("9" * 5000 + ", " + "10.1.1.1, " * 20 + "203.0.113.9, 10.1.1.1", ("203.0.113.9", None)),
    ],
)
def test_x_forwarded_for_of_a_proxy(value: str, expected: tuple[str, int | None]) -> None:
    assert _read(PROXY, X_Forwarded_For=value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.9", ("203.0.113.9", None)),
        ('For="203.0.113.9:4711";proto=https;by=10.0.0.1', ("203.0.113.9", 4711)),
        ('for=1.1.1.1, proto=https;for="[2001:db8::7]:80"', ("2001:db8::7", 80)),
        ("for=203.0.113.9, for=10.9.9.9", ("203.0.113.9", None)),
        ("for=203.0.113.9, proto=https", ("10.0.0.1", -1)),
        ("for=unknown", ("10.0.0.1", -1)),
        ("for=_hidden", ("10.0.0.1", -1)),
        ("for=1.1.1.1;" * 500 + ", for=203.0.113.9", ("203.0.113.9", None)),
    ],
)
def test_forwarded_of_a_proxy(value: str, expected: tuple[str, int | None]) -> None:
    assert _read(PROXY, Forwarded=value) == expected


def test_fields_that_disagree_are_both_disbelieved() -> None:  # S50
    assert _read(PROXY, Forwarded="for=1.1.1.1", X_Forwarded_For="203.0.113.9")[1] == -1
    assert _read(PROXY, Forwarded="for=203.0.113.9", X_Forwarded_For="203.0.113.9")[0] == "203.0.113.9"


def test_the_lines_of_a_field_are_one_list() -> None:  # S50: some proxies add a line of their own after the client's
    assert _read(PROXY, X_Forwarded_For=["198.51.100.66", "203.0.113.9"]) == ("203.0.113.9", None)
    assert _read(PROXY, Forwarded=["for=198.51.100.66", "for=203.0.113.9, for=10.1.1.1"]) == ("203.0.113.9", None)
    assert _read(PROXY, X_Forwarded_For="203.0.113.9", X_Forwarded_Port=["1", "4711"]) == ("203.0.113.9", 4711)


def test_the_port_comes_from_its_header() -> None:
    assert _read(PROXY, X_Forwarded_For="203.0.113.9", X_Forwarded_Port="4711") == ("203.0.113.9", 4711)
    for wrong in ("0", "65536", "x", "", "1" * 9999, "²"):
        assert _read(PROXY, X_Forwarded_For="203.0.113.9", X_Forwarded_Port=wrong) == ("203.0.113.9", None)


def test_networks_of_one_subscriber() -> None:
    def network(address: str) -> bytes:
        return READER.read((address, 1), CIMultiDict()).network

    assert network("2001:db8:1:10::1") == network("2001:db8:1:1f:ffff::9")
    assert network("2001:db8:1:100::1") != network("2001:db8:1:10::1")
    assert network("198.51.100.1") != network("198.51.100.2")
    assert network("::ffff:198.51.100.1") == network("198.51.100.1")
    assert READER.read(None, CIMultiDict()).network == b""


def test_a_proxy_must_be_a_network() -> None:
    with pytest.raises(ValueError, match="example"):
        ClientAddressReader(["proxy.example"], "X-Forwarded-Port")
