"""Reading content: the one terminator, dots, sizes and line ends, cut at every octet (C04, D03, S01)."""

from __future__ import annotations

import asyncio

import pytest

from relay.submission.content import ContentDecoder, Defect, EndlessContentError, read_content

LOOK_ALIKES = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
]


def decoder(limit: int = 10_000) -> ContentDecoder:
    return ContentDecoder(limit, lambda octets: True)


async def read(stream: bytes, cut: int, target: ContentDecoder, drain: int = 1_000_000) -> bytes:
    """Read from a stream that arrives in two pieces; what is left in the buffer."""
    reader = asyncio.StreamReader(limit=64)
    reader.feed_data(stream[:cut])
    loop = asyncio.get_running_loop()

    def rest() -> None:
        reader.feed_data(stream[cut:])
        reader.feed_eof()

    loop.call_soon(rest)
    await read_content(reader, target, drain, lambda taken: None)
    return await reader.read()


CASES = [
    (b".\r\n", b""),
    (b"\r\n.\r\n", b"\r\n"),
    (b"a\r\n.\r\n", b"a\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b".a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
    (b"a\r\n\r\n..\r\n\r\n.\r\n", b"a\r\n\r\n.\r\n\r\n"),
    (b"x" * 200 + b"\r\n.." + b"y" * 200 + b"\r\n.\r\n", b"x" * 200 + b"\r\n." + b"y" * 200 + b"\r\n"),
]


@pytest.mark.parametrize(("stream", "content"), CASES)
async def test_every_cut_gives_the_same_content(stream: bytes, content: bytes) -> None:
    for cut in range(len(stream) + 1):
        target = decoder()
        assert await read(stream + b"QUIT\r\n", cut, target) == b"QUIT\r\n"
        assert target.defect is None
        assert (target.content(), target.size) == (content, len(content))


@pytest.mark.parametrize("look_alike", LOOK_ALIKES)
async def test_look_alikes_end_nothing_and_are_refused(look_alike: bytes) -> None:  # C04, S01
    stream = b"Subject: a\r\n\r\nb" + look_alike + b"MAIL FROM:<evil@x.example>\r\n\r\n.\r\n"
    for cut in range(len(stream) + 1):
        target = decoder()
        assert await read(stream, cut, target) == b""
        assert target.defect in {Defect.BARE_LINE_END, Defect.NUL}


def test_pieces_of_one_octet_are_unstuffed_alike() -> None:
    stream = b"..a\r\n.b\r\n\r\n...c\r\n"
    target = decoder()
    for i in range(len(stream)):
        target.feed(stream[i : i + 1])
    target.feed(b"", last=True)
    assert target.content() == b".a\r\nb\r\n\r\n..c\r\n"
    assert target.size == 14


async def test_ten_thousand_dots_count_once() -> None:  # D03
    target = decoder(limit=30_000)
    await read(b"..\r\n" * 10_000 + b".\r\n", 5, target)
    assert target.size == 30_000
    assert target.defect is None
    target = decoder(limit=29_999)
    await read(b"..\r\n" * 10_000 + b".\r\n", 5, target)
    assert target.defect is Defect.TOO_BIG


async def test_too_big_is_read_to_the_end_and_memory_is_given_up() -> None:  # D02
    target = decoder(limit=100)
    left = await read(b"x" * 500 + b"\r\n.\r\nNOOP\r\n", 7, target)
    assert left == b"NOOP\r\n"
    assert target.defect is Defect.TOO_BIG
    assert target.reserved <= 102


async def test_the_drain_is_bounded() -> None:  # D02, S26
    with pytest.raises(EndlessContentError):
        await read(b"x" * 5000, 7, decoder(limit=100), drain=1000)


async def test_no_room_is_a_defect() -> None:
    target = ContentDecoder(1000, lambda octets: False)
    await read(b"abc\r\n.\r\n", 3, target)
    assert target.defect is Defect.NO_ROOM
    assert target.reserved == 0
