from __future__ import annotations

from hashlib import sha256, sha512

import pytest

from relay.policy.dane import Link, Tlsa, names_leaf, trust_anchors, usable

DIGEST = "ab" * 32
LONG = "cd" * 64
LEAF, MIDDLE, TOP = (Link(name.encode() * 9, f"key of {name}".encode()) for name in ("leaf", "middle", "top"))


@pytest.mark.parametrize(
    "record",
    [
        f"0 0 1 {DIGEST}",
        f"1 1 1 {DIGEST}",
        f"9 1 1 {DIGEST}",
        f"3 7 1 {DIGEST}",
        f"3 1 9 {DIGEST}",
        "3 1 1 abcd",
        f"3 1 2 {DIGEST}",
        "3 1 1 ",
        "3 1 1",
        "3 1 0 ",
        "3 1 1 " + "zz" * 32,
        f"-3 1 1 {DIGEST}",
        "3 0 0 " + "00" * 9000,
        "nonsense",
    ],
)
def test_what_does_not_count_for_smtp(record: str) -> None:  # H06 H09
    assert usable([record]) == ()
    assert usable([record, f"3 1 1 {DIGEST}"]) == (Tlsa(3, 1, 1, bytes.fromhex(DIGEST)),)


def test_of_several_digests_the_strongest_counts() -> None:  # H09
    both = usable([f"3 1 1 {DIGEST}", f"3 1 2 {LONG}", f"3 0 1 {DIGEST}", "3 1 0 abcdef", f"2 1 1 {DIGEST}"])
    assert [(t.usage, t.selector, t.matching) for t in both] == [(3, 1, 2), (3, 0, 1), (3, 1, 0), (2, 1, 1)]


def test_a_weak_match_does_not_save_a_strong_mismatch() -> None:  # H09
    weak = f"3 1 1 {sha256(LEAF.key).hexdigest()}"
    assert names_leaf(usable([weak]), LEAF)
    assert not names_leaf(usable([weak, f"3 1 2 {LONG}"]), LEAF)
    assert names_leaf(usable([weak, f"3 1 2 {sha512(LEAF.key).hexdigest()}"]), LEAF)


def test_records_and_work_are_bounded() -> None:
    assert len(usable(f"3 1 1 {n:064x}" for n in range(500))) == 32


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (f"3 1 1 {sha256(LEAF.key).hexdigest()}", True),
        (f"3 0 2 {sha512(LEAF.certificate).hexdigest()}", True),
        (f"3 0 0 {LEAF.certificate.hex()}", True),
        (f"3 1 0 {LEAF.key.hex()}", True),
        (f"3 0 1 {sha256(LEAF.key).hexdigest()}", False),
        (f"2 1 1 {sha256(LEAF.key).hexdigest()}", False),
    ],
)
def test_usage_3_names_the_hosts_own_key(record: str, named: bool) -> None:  # H07
    assert names_leaf(usable([record]), LEAF) is named


@pytest.mark.parametrize(
    ("record", "anchors"),
    [
        (f"2 1 1 {sha256(TOP.key).hexdigest()}", (TOP.certificate,)),
        (f"2 0 1 {sha256(MIDDLE.certificate).hexdigest()}", (MIDDLE.certificate,)),
        (f"2 0 0 {b'elsewhere'.hex()}", (b"elsewhere",)),
        (f"2 1 0 {b'elsewhere'.hex()}", ()),
        (f"2 1 1 {sha256(LEAF.key).hexdigest()}", ()),
        (f"3 1 1 {sha256(TOP.key).hexdigest()}", ()),
    ],
)
def test_usage_2_names_an_authority_the_host_sends_along(record: str, anchors: tuple[bytes, ...]) -> None:  # H08
    assert trust_anchors(usable([record]), (LEAF, MIDDLE, TOP)) == anchors
