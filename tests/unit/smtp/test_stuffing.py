from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.stuffing import CHUNK, BareLineEndError, plain, plain_size, stuff, stuffed


def unstuff(wire: bytes) -> bytes:
    """What a receiver makes of it, read line by line as RFC 5321 §4.5.2 says."""
    lines = wire.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2], "a lone dot inside would end the message early"
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"..", b"...\r\n.\r\n"),
        (b".x\r\n", b"..x\r\n.\r\n"),
        (b"a\r\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a.b\r\n", b"a.b\r\n.\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b"\r\n.\r\n.\r\n", b"\r\n..\r\n..\r\n.\r\n"),
    ],
)
def test_dots_are_doubled_and_the_end_is_added_once(content: bytes, wire: bytes) -> None:  # A09
    assert stuff([content]) == wire


@pytest.mark.parametrize("cut", range(9))
def test_pieces_may_be_cut_anywhere(cut: int) -> None:  # A09
    content = b"a\r\n.b\r\n."
    assert stuff([content[:cut], b"", content[cut:]]) == stuff([content])


@pytest.mark.parametrize(
    "content",
    [
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"\n",
        b"\r",
        b"x\r\r\n",
        b"a\r\n\n.\r\n",
        b"a\n\r",
        b"end\r\n\r",
        b"\r\n.\n",
        b"\n.\r\n",
    ],
)
@pytest.mark.parametrize("cut", range(4))
def test_a_bare_line_end_never_leaves(content: bytes, cut: int) -> None:  # A10 S02
    parts: list[bytes] = []
    with pytest.raises(BareLineEndError):
        parts.extend(stuffed([content[:cut], content[cut:]]))
    sent = b"".join(parts)
    clean = sent.replace(b"\r\n", b"")
    assert b"\r" not in clean
    assert b"\n" not in clean
    assert not sent.endswith(b"\r\n.\r\n")


def test_a_large_content_goes_out_in_slices() -> None:
    content = b"." * 70 + b"\r\n"
    parts = list(stuffed([content * 20_000]))
    assert max(map(len, parts)) <= CHUNK + CHUNK // 50
    assert unstuff(b"".join(parts)) == content * 20_000


@given(st.lists(st.text(alphabet=".ab \t", max_size=6), max_size=12), st.lists(st.integers(0, 80), max_size=4))
def test_the_receiver_reads_what_was_given(lines: list[str], cuts: list[int]) -> None:  # A09
    content = "".join(line + "\r\n" for line in lines).encode()
    marks = sorted({0, *(cut for cut in cuts if cut < len(content)), len(content)})
    pieces = [content[a:b] for a, b in itertools.pairwise(marks)]
    assert unstuff(stuff(pieces)) == content


@given(st.lists(st.sampled_from([b"", b"a", b".", b"\r\n", b"..\r\nb"])))
def test_a_chunk_has_the_octets_that_are_told(pieces: list[bytes]) -> None:  # D10
    content = b"".join(pieces)
    given_out = b"".join(plain(pieces))
    assert len(given_out) == plain_size(pieces)
    assert given_out == content + (b"" if content.endswith(b"\n") or not content else b"\r\n")


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r"])
def test_no_bare_line_end_leaves_in_a_chunk(content: bytes) -> None:  # S02, A10
    with pytest.raises(BareLineEndError):
        list(plain([content]))
