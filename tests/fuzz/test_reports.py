"""Properties of the reader of reports: it never raises and never stalls, whatever comes back."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.report.classifier import refusal_of
from relay.report.reading import read_report, shared_classifier
from relay.report.result import Kind
from tests.support.delivery_reports import variants

SAMPLES = [file.read_bytes() for file in sorted((Path(__file__).parents[1] / "data" / "bounces").glob("*.eml"))]
SAMPLES += [raw for _, raw in variants()]
modest = settings(max_examples=200)

_PIECES = st.sampled_from(
    [
        *(b"Content-Type: multipart/report; boundary=b\n", b"Content-Type: message/delivery-status\n", b"\n", b"--b\n"),
        *(
            b"Content-Type: message/rfc822\n",
            b"Final-Recipient: rfc822; a@b.example\n",
            b"Action: failed\n",
            b"--b--\n",
        ),
        *(
            b"Status: 5.1.1\n",
            b"Diagnostic-Code: smtp; 550 x\n",
            b"From: MAILER-DAEMON@x.example\n",
            b"Return-Path: <>\n",
        ),
        *(b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n", b"a@b.example:\n"),
        *(
            b"Content-Type: text/html; charset=punycode\n",
            b"=?utf-8?b?////?=",
            b"=?x?q?=ZZ?=",
            b"\xff\xfe\x00",
            b"\\x{110000}",
        ),
        *(
            b"Content-Type: message/feedback-report\n",
            b"Feedback-Type: abuse\n",
            b"Subject: failure notice\n",
            b"\t",
            b" ",
        ),
        *(
            b"--- Below this line is a copy of the message.\n",
            b"Received: from x\n",
            b"<",
            b">",
            b"From x 2019\n",
            b"\r",
        ),
    ]
)


def quick(raw: bytes) -> None:
    started = time.process_time()
    reading = read_report(raw)
    spent = time.process_time() - started
    assert isinstance(reading.kind, Kind)
    assert spent < max(1.0, len(raw) / 1024)


@modest
@given(st.lists(_PIECES, max_size=60).map(b"".join))
@example(b"")
@example(b"\n")
@example(b"Content-Type: multipart/report; boundary=\n\n--\n")
def test_pieces_in_any_order(raw: bytes) -> None:  # G12
    quick(raw)


@modest
@given(st.binary(max_size=2000))
def test_any_octets(raw: bytes) -> None:
    quick(raw)


@modest
@given(st.sampled_from(SAMPLES), st.randoms(use_true_random=False))
def test_mutated_reports(raw: bytes, chance: random.Random) -> None:  # G12
    octets = bytearray(raw)
    for _ in range(chance.randint(1, 30)):
        at = chance.randrange(len(octets) + 1)
        match chance.randint(0, 3):
            case 0:
                del octets[at : at + chance.randint(1, 40)]
            case 1:
                octets[at:at] = chance.randbytes(chance.randint(1, 6))
            case 2:
                octets[at:at] = octets[chance.randrange(len(octets) + 1) :][: chance.randint(1, 200)]
            case _:
                octets[at : at + 1] = b"\n"
        if not octets:
            break
    quick(bytes(octets))


@pytest.mark.parametrize(
    "piece",
    [
        *(
            b"(",
            b"a@",
            b";",
            b"=?",
            b"=?x?q?",
            b"\n--b",
            b"<",
            b"550 ",
            b"From x\n",
            b"a: b\n",
            b" \n",
            b"\n\n",
            b"a@b.example\n",
        ),
        *(
            b"x\n<a@b.example>:\n550 5.1.1 user unknown\n",
            b"Final-Recipient: rfc822; a\n",
            b"--b\nContent-Type: text/plain\n\nx\n",
        ),
        *(
            b"<script",
            b"<!--",
            b"\\x{41}",
            b"Action: failed\n\n",
            b"to: ",
            b'"',
            b"user ",
            b"\xc3\xa9",
            b"\x00",
            b"=\n",
            b"=3D",
        ),
    ],
)
@pytest.mark.parametrize(
    "head",
    [
        b"From: MAILER-DAEMON@x.example\nReturn-Path: <>\nSubject: Undelivered mail\n",
        (
            b"From: MAILER-DAEMON@x.example\nSubject: Undelivered mail\nContent-Type: multipart/report; boundary=b\n\n"
            b"--b\nContent-Type: message/delivery-status\n\n"
        ),
        b"From: MAILER-DAEMON@x.example\nContent-Type: text/html\n\n",
        b"Subject: ",
    ],
)
def test_floods(head: bytes, piece: bytes) -> None:  # S28, S29
    raw = head + b"\n" + piece * (100_000 // len(piece))
    started = time.process_time()
    read_report(raw)
    assert time.process_time() - started < 3


@modest
@given(st.text(max_size=2000))
def test_any_words_have_a_meaning(text: str) -> None:
    assert shared_classifier().classify(refusal_of(text)).rule
