"""Quoted-printable and base64: exact, short lines, safe line starts."""

from __future__ import annotations

import asyncio
import base64
import quopri
import time

import pytest

from relay.mail.encoding import base64_lines, encode_text, is_dense, quoted_printable

SAMPLES = [
    b"",
    b"\r\n",
    b"plain\r\n",
    b"x" * 76,
    b"x" * 77 + b"\r\n",
    b"=" * 300,
    "é".encode() * 200,
    b"trailing \r\ntab\t\r\n ",
    b"a" * 75 + b" \r\n" + b"a" * 74 + b"\t\r\n",
    b"From me\r\n.\r\n.x\r\nFrom",
    bytes(range(256)) * 3,
    b"bare \r and \n stay\r\n",
]


@pytest.mark.parametrize("data", SAMPLES)
def test_quoted_printable_is_exact(data: bytes) -> None:
    encoded = quoted_printable(data)
    assert encoded.isascii()
    assert quopri.decodestring(encoded) == data
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert b"\r" not in line
        assert b"\n" not in line
        assert line == line.rstrip(b" \t")
        assert not line.startswith(b"From ")
        assert line != b"."


@pytest.mark.parametrize("data", SAMPLES)
def test_base64_is_exact(data: bytes) -> None:  # O08
    encoded = base64_lines(data)
    assert base64.b64decode(encoded) == data
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@pytest.mark.parametrize(
    ("text", "charset", "encoding"),
    [
        ("Hello", "us-ascii", "7bit"),
        ("a = b, =3D\n", "us-ascii", "7bit"),
        ("x" * 77, "us-ascii", "quoted-printable"),
        ("From me", "us-ascii", "quoted-printable"),
        ("trailing \n", "us-ascii", "quoted-printable"),
        ("Grüße aus der großen Stadt am Rhein\n", "utf-8", "quoted-printable"),
        ("日本語", "utf-8", "base64"),
        ("", "us-ascii", "7bit"),
    ],
)
def test_text_gets_the_plainest_encoding(text: str, charset: str, encoding: str) -> None:
    encoded = encode_text(text)
    assert (encoded.charset, encoded.encoding) == (charset, encoding)
    assert encoded.body.endswith(b"\r\n")


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb", "a\r\nb\n"])
def test_line_ends_become_crlf(text: str) -> None:  # A10
    assert encode_text(text).body == b"a\r\nb\r\n"


def test_density() -> None:
    assert not is_dense(b"abcde" + "é".encode()[:1])
    assert is_dense("ééé abc".encode())
    assert not is_dense(b"")


@pytest.mark.parametrize("edge", [b"", b" ", b"\t", b".", b"=", b"\xff", b"From ", b"x"])
def test_a_line_cut_into_slices_reads_back(edge: bytes) -> None:
    long = edge + b"From me = you \xc3\xa9 " * 10_000 + b" " * 70_000 + edge
    encoded = quoted_printable(long)
    assert quopri.decodestring(encoded) == long
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    assert not encoded.endswith((b" ", b"\t"))
    assert not encoded.startswith(b"From ")


@pytest.mark.parametrize("shift", range(4))
def test_what_is_gone_through_in_slices_is_the_same_as_at_once(shift: int) -> None:
    data = b"x" * shift + b"\r\n".join(SAMPLES) + "Größe und ungefähr davon\r\n.\r\nFrom \r\n\r\n".encode() * 6000
    quoted, lines = quoted_printable(data), base64_lines(data)
    assert quopri.decodestring(quoted) == data
    assert quoted == b"\r\n".join(quoted_printable(line) for line in data.split(b"\r\n"))
    assert base64.b64decode(lines) == data
    assert {len(line) for line in lines.split(b"\r\n")[:-1]} == {76}
    assert not is_dense(data + bytes(len(data) // 50))
    assert is_dense(data + bytes(len(data) // 3))


async def test_one_long_line_leaves_the_loop_free() -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - begun)

    watching = asyncio.create_task(watch())
    encoding = asyncio.create_task(asyncio.to_thread(quoted_printable, b"a " * 10_000_000))
    begun = time.perf_counter()
    await encoding
    whole = time.perf_counter() - begun
    watching.cancel()
    assert longest < max(0.5 * whole, 0.2)  # one search of the whole line takes nearly all of that time
