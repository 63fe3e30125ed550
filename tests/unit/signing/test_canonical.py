"""Relaxed canonicalisation: the RFC's examples, dkimpy as oracle, and the hostile bodies."""

from __future__ import annotations

import time

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from relay.signing.canonical import relaxed_body, relaxed_field, split_header


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 §3.4.5
        (b"", b""),
        (b"\r\n", b""),
        (b"\r\n\r\n\r\n", b""),
        (b" \t \r\n \r\n", b""),
        (b"a", b"a\r\n"),
        (b"a \t", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\n", b"a\r\n"),
        (b"a\tb\r\n", b"a b\r\n"),
        (b"a\r\n \r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"\r\na\r\n", b"\r\na\r\n"),
        (b"a\n\r\n\r\n", b"a\n\r\n"),
        (b"a\r\r\n", b"a\r\r\n"),
        (b"\n\r\n", b"\n\r\n"),
    ],
)
def test_body(body: bytes, expected: bytes) -> None:  # L07
    assert relaxed_body(body) == expected


def test_a_clean_body_is_not_copied() -> None:
    body = b"one line\r\n" * 1000
    assert relaxed_body(body) is body


_LINES = st.lists(st.text(alphabet=" \tab.\u00e9\r", max_size=12).map(lambda t: t.replace("\r", "")), max_size=12)


@given(_LINES)
def test_body_like_dkimpy(lines: list[str]) -> None:  # L07
    body = b"".join(line.encode() + b"\r\n" for line in lines)
    assert relaxed_body(body) == Relaxed.canonicalize_body(body)


@given(st.binary(max_size=200))
def test_canonicalisation_is_idempotent(body: bytes) -> None:
    once = relaxed_body(body)
    assert relaxed_body(once) == once


@pytest.mark.parametrize(
    "body",
    [
        b" " * 2_000_000,
        (b" " * 990 + b"x\r\n") * 2000,
        b"\t " * 1_000_000 + b"x",
        b"\r\n" * 1_000_000,
        b"\n" + b"\r\n" * 1_000_000,
        b" \r\n" * 700_000,
        b"\r \n" * 700_000,
    ],
)
def test_white_space_costs_what_text_costs(body: bytes) -> None:  # S29
    started = time.process_time()
    relaxed_body(body)
    assert time.process_time() - started < 2  # a quadratic pass over 2 MB takes hours


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"A", b" X", b"a:X"),  # RFC 6376 §3.4.5
        (b"B", b" Y\t\r\n\tZ  ", b"b:Y Z"),
        (b"SUBJect", b"", b"subject:"),
        (b"Subject", b"\r\n   ", b"subject:"),
        (b"Subject", "caf\u00e9  ol\u00e9".encode(), b"subject:" + "caf\u00e9 ol\u00e9".encode()),
    ],
)
def test_field(name: bytes, value: bytes, expected: bytes) -> None:  # L07
    assert relaxed_field(name, value) == expected


@given(st.lists(st.text(alphabet=" \tab;=", max_size=8), min_size=1, max_size=5))
def test_field_like_dkimpy(parts: list[str]) -> None:  # L07
    value = b"\r\n ".join(part.encode() for part in parts)
    [(name, expected)] = Relaxed.canonicalize_headers([(b"Name", value)])
    assert relaxed_field(b"Name", value) + b"\r\n" == name + b":" + expected


def test_split_header_keeps_folds_and_order() -> None:
    header = b"From: a@b.example\r\nSubject : one\r\n two\r\nX:\r\nFrom: c@d.example\r\n"
    assert split_header(header) == [
        (b"From", b" a@b.example"),
        (b"Subject", b" one\r\n two"),
        (b"X", b""),
        (b"From", b" c@d.example"),
    ]
    assert split_header(b"") == []


@pytest.mark.parametrize(
    "header", [b" begins with a fold\r\n", b"no colon\r\n", b": no name\r\n", b"A: b\r\n\r\nB: c\r\n"]
)
def test_split_header_refuses_what_is_no_header(header: bytes) -> None:
    with pytest.raises(ValueError, match="no field"):
        split_header(header)
