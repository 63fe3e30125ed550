"""Content-Type: the type read leniently, the parameters strictly."""

from __future__ import annotations

import contextlib
import time

import pytest

from relay.mail.content_type import media_type, parameters
from relay.mail.header import HeaderError


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (b"text/plain", ("text", "plain"), {}),
        (b"Text / HTML ; Charset = UTF-8;", ("text", "html"), {"charset": "UTF-8"}),
        (b'multipart/mixed; boundary="a b;\\"c"', ("multipart", "mixed"), {"boundary": 'a b;"c'}),
        (b"multipart/mixed; boundary=----=_x/y", ("multipart", "mixed"), {"boundary": "----=_x/y"}),
        (b"(c) text/plain (d); (e) a (f)=(g)b(h)", ("text", "plain"), {"a": "b"}),
        (b"attachment; filename*0*=UTF-8''a; filename*1=b", None, {"filename*0*": "UTF-8''a", "filename*1": "b"}),
    ],
)
def test_values_are_read(value: bytes, kind: tuple[str, str] | None, expected: dict[str, str]) -> None:
    assert media_type(value) == kind
    assert parameters(value) == expected


@pytest.mark.parametrize("value", [b"", b"text", b"/plain", b"text/", b"text/pl ain", b"text/plain x", b"((("])
def test_what_is_no_type(value: bytes) -> None:
    assert media_type(value) is None


@pytest.mark.parametrize(
    "value",
    [b"a/b; x=1; X=2", b"a/b; x", b"a/b; =1", b'a/b; x="1', b"a/b; x=", b"a/b; x=1 y", b"a/b (", b'a/b; x=1"2"'],
)
def test_doubtful_parameters_are_refused(value: bytes) -> None:
    with pytest.raises(HeaderError):
        parameters(value)


@pytest.mark.parametrize("unit", [b"(", b";", b"; a=b", b"; ", b'"', b"()", b"a/"])
def test_hostile_values_take_linear_time(unit: bytes) -> None:  # S29
    value = b"a/b" + unit * (200_000 // len(unit))
    started = time.process_time()
    media_type(value)
    with contextlib.suppress(HeaderError):
        parameters(value)
    assert time.process_time() - started < 2
