"""The readers below `read_report`: MIME mended, payloads unpacked within limits, complaints without a form."""

from __future__ import annotations

import base64
import gzip
import io
import time
import tracemalloc
import zipfile

import pytest

from relay.report.aggregate import MAX_UNPACKED, unpack
from relay.report.decoding import as_text, plain_text
from relay.report.mime import MAX_DEPTH, MAX_PARTS, parse
from relay.report.reading import read_report
from relay.report.result import Kind
from relay.report.second import second_opinion
from relay.report.words import find_addresses, find_code, find_enhanced


def test_nesting_and_parts_have_caps() -> None:  # S28
    deep = b"Content-Type: text/plain\n\nend\n"
    for number in range(1000):
        mark = b"b%d" % number
        deep = b"Content-Type: multipart/mixed; boundary=%s\n\n--%s\n" % (mark, mark) + deep + b"--%s--\n" % mark
    wide = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * 50_000
    fields = b"X-Field: a\n" * 20_000 + b"\nbody\n"
    for raw in (deep, wide, fields):
        started = time.process_time()
        read_report(raw)
        assert time.process_time() - started < 2

    def depth(part: object) -> int:
        return 1 + max((depth(child) for child in part.children), default=0)  # type: ignore[attr-defined]

    assert depth(parse(deep)) <= MAX_DEPTH + 1
    assert len(list(parse(wide).walk())) <= MAX_PARTS


def test_half_a_character_is_no_text() -> None:
    assert as_text(b"550 +2AA- nobody", "utf-7") == "550 ? nobody"
    raw = (
        b"Subject: =?utf-7?q?+2AA-?=\nContent-Type: text/plain; charset=utf-7\n\n<a@b.example>: 550 5.1.1 +2AA- +3AA-\n"
    )
    for part in parse(raw).walk():
        assert part.text.encode()


def test_html_without_its_tags() -> None:
    page = "<p>Hello <b>Ann</b><br>at&nbsp;home</p><script>x > 1</script><!-- no --><ann@far.example> &lt;x&gt;"
    assert plain_text(page).split() == ["Hello", "Ann", "at", "home", "<ann@far.example>", "<x>"]
    for nasty in ("<" * 100_000, "<script" * 20_000, "<!--" * 30_000, "&lt" * 40_000):
        started = time.process_time()
        plain_text(nasty)
        assert time.process_time() - started < 0.5


def test_codes_and_addresses_in_running_text() -> None:
    assert find_code("host 192.0.2.1 said: 550 no") == 550
    assert find_code("552-5.2.2 full") == 552
    assert find_code("message of 512 bytes from 10.5.500.1") is None
    assert find_enhanced("Postfix 2.5.5 at 5.1.1.9 said (#5.7.1)") == "5.7.1"
    assert find_enhanced("5.0.0 (5.1.1)") == "5.1.1"
    assert find_addresses(
        "SMTP=ann@far.example; 'bob@far.example', \"c d\"@far.example. 550 dora@far.example...User"
    ) == [
        "ann@far.example",
        "bob@far.example",
        '"c d"@far.example',
        "dora@far.example",
    ]


def test_payloads_are_unpacked_within_limits() -> None:  # S30, M08
    xml = b"<?xml version='1.0'?><feedback></feedback>"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../etc/x.xml", xml)
    assert unpack(gzip.compress(xml)) == unpack(archive.getvalue()) == unpack(xml) == xml
    bomb = gzip.compress(b"\0" * (MAX_UNPACKED * 4))
    assert unpack(bomb) == b""
    packed_bomb = io.BytesIO()
    with zipfile.ZipFile(packed_bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.xml", b"\0" * (MAX_UNPACKED * 4))
    assert unpack(packed_bomb.getvalue()) == b""
    crowded = io.BytesIO()
    with zipfile.ZipFile(crowded, "w") as file:
        for number in range(11):
            file.writestr(f"{number}.xml", xml)
    assert unpack(crowded.getvalue()) == b""
    assert unpack(b"PK\x03\x04 broken") == unpack(b"\x1f\x8b broken") == b""


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_whose_unpacking_has_no_bound_stays_packed(method: int) -> None:  # S30
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as file, file.open("x.xml", "w") as entry:
        for _ in range(64):
            entry.write(bytes(1024 * 1024))
    packed = archive.getvalue()
    tracemalloc.start()
    try:
        assert unpack(packed) == b""
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    # What is broken inside must not be told by an exception either.
    assert unpack(packed[:45] + bytes(20) + packed[65:]) == b""


def test_a_line_of_a_million_boundaries_is_read_once() -> None:  # S28, S29
    inner = b"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nhi\n" + b"--a" * 1_000_000 + b"\n--a--\n"
    head = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
    for raw in (inner, head + base64.encodebytes(inner)):
        started = time.process_time()
        assert sum(1 for part in parse(raw).walk() if part.kind == "text/plain") == 1
        assert time.process_time() - started < 5  # it took hours


@pytest.mark.parametrize("packed", [True, False])
def test_an_aggregate_report_is_recognised_even_if_it_is_a_bomb(packed: bool) -> None:  # M08
    content = gzip.compress(b"\0" * (MAX_UNPACKED * 2)) if packed else gzip.compress(b"<feedback></feedback>")
    raw = (
        b"From: reports@receiver.example\nTo: dmarc@leak.example\n"
        b"Subject: Report Domain: leak.example Submitter: receiver.example Report-ID: 1\n"
        b'Content-Type: application/gzip; name="receiver.example!leak.example!1700000000!1700086400.xml.gz"\n'
        b"Content-Transfer-Encoding: base64\n\n"
    ) + base64.encodebytes(content)
    reading = read_report(raw)
    assert reading.kind is Kind.REPORT
    assert reading.document is not None
    assert (reading.document.form, reading.document.domain) == ("dmarc", "leak.example")
    assert bool(reading.document.content) is not packed


def test_the_second_reader_never_raises() -> None:
    hartford = b"From: x@y.example\n\nThe following addresses had delivery problems:\n\n<ann@far.example>\n"
    assert isinstance(second_opinion(hartford), tuple)
    for nasty in (b"\xff" * 1000, b"", b"Content-Type: multipart/mixed\n\n", b"a@" * 50_000):
        assert second_opinion(nasty) == ((), ())
