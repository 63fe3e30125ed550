"""The hash of a body in slices is that of the whole, wherever it is cut."""

from __future__ import annotations

import random

from relay.signing.signature import body_hash
from relay.signing.slices import SlicedBodyHash

_PARTS = [b" ", b"\t", b"\r\n", b"a", b"bc  ", b" \r\n", b"\r\n\r\n"]


def test_every_cut_gives_the_hash_of_the_whole() -> None:  # L02
    chance = random.Random(7)
    for _ in range(5000):
        body = b"".join(chance.choice(_PARTS) for _ in range(chance.randrange(12)))
        sliced, at = SlicedBodyHash(), 0
        while at < len(body):
            size = chance.randrange(1, 6)
            sliced.update(body[at : at + size])
            at += size
        assert sliced.value == body_hash(body), body


def test_a_body_of_empty_lines_costs_what_another_does() -> None:  # S29
    lines = b"\r\n" * 131_072
    sliced = SlicedBodyHash()
    for _ in range(20):
        sliced.update(lines)
    assert sliced.value == body_hash(b"")
    sliced.update(b"x\r\n")
    assert sliced.value == body_hash(lines * 20 + b"x\r\n")
