"""Rubbish: what a name server may send instead of an answer, made from the question and the right answer.

Each maker gets the octets of both and the protocol ("udp" or "tcp"), and gives the packets to send. What is forged
tells of `forged.example` and 127.6.6.6, so that whoever believes it shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Maker = Callable[[bytes, bytes, str], list[bytes]]

_HEADER = 12


def cut_in_half(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """The right answer, less its second half."""
    return [right[: len(right) // 2]]


def header_alone(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """A header that announces 65,535 records, and none of them."""
    return [right[:4] + b"\xff" * 8]


def pointer_to_itself(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """A record whose name is a pointer to itself."""
    at = len(question)
    record = (0xC000 | at).to_bytes(2) + b"\x00\x0f\x00\x01\x00\x00\x01\x2c\x00\x04\x00\x01\xc0\x0c"
    return [question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + _asked(question) + record]


def two_pointers(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """An exchanger whose name goes in a circle of two pointers."""
    asked = _asked(question)
    start = _HEADER + len(asked)
    data = b"\x00\x01" + (0xC000 | start + 16).to_bytes(2) + (0xC000 | start + 14).to_bytes(2)
    record = b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x01\x2c" + len(data).to_bytes(2) + data
    return [question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + asked + record]


def a_question(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """The question, sent back as it came."""
    return [question]


def wrong_ids(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """Fifty answers with other ids, and never the right one."""
    number = int.from_bytes(right[:2])
    return [((number + 1 + n) & 0xFFFF).to_bytes(2) + right[2:] for n in range(50)]


def noise(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """The right id, then octets by chance."""
    return [question[:2] + Random(question[2:]).randbytes(400)]


def sixty_four_kilobytes(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """Over UDP "ask over TCP"; there as many octets as fit, of which none is a record."""
    if protocol == "udp":
        return [question[:2] + b"\x83\x80\x00\x01\x00\x00\x00\x00\x00\x00" + _asked(question)]
    return [question[:2] + b"\x81\x80\x00\x01\xff\xff\x00\x00\x00\x00" + b"\x3f" * (65535 - _HEADER)]


def less_than_promised(question: bytes, right: bytes, protocol: str) -> list[bytes]:
    """Over TCP nothing of what the length announced."""
    if protocol == "udp":
        return sixty_four_kilobytes(question, right, protocol)
    return []


MAKERS: tuple[Maker, ...] = (
    cut_in_half,
    header_alone,
    pointer_to_itself,
    two_pointers,
    a_question,
    wrong_ids,
    noise,
    sixty_four_kilobytes,
    less_than_promised,
)


def _asked(question: bytes) -> bytes:
    """The question section alone: the client's EDNS record is behind it."""
    at = _HEADER
    while question[at]:
        at += 1 + question[at]
    return question[_HEADER : at + 5]
