"""Conversion to seven bits: what is decoded stays the same, what need not change does not."""

from __future__ import annotations

import email
import email.message
import time

import pytest

from relay.mail.check import ContentError
from relay.mail.header import split_content
from relay.mail.sevenbit import MAX_DEPTH, to_seven_bit

UTF8 = "Grüße aus Köln, liebe Ann, und einen schönen Tag noch\r\n".encode()
DENSE = "日本語\r\n".encode() * 20
TOP = b"From: ann@example.com\r\nMIME-Version: 1.0\r\n"


def leaves(raw: bytes) -> list[tuple[str, bytes]]:
    """Type and decoded octets of each leaf, as the standard library reads them."""
    message = email.message_from_bytes(raw)
    found: list[tuple[str, bytes]] = []
    for part in message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            # The standard library reads 8-bit text of nested messages with surrogates; octets are what counts.
            found.append((part.get_content_type(), payload.rstrip(b"\r\n").replace(b"\r\n", b"\n")))
    return found


def converted(raw: bytes) -> bytes:
    header, body = to_seven_bit(*split_content(raw))
    result = header + b"\r\n" + body
    assert result.isascii()
    assert leaves(result) == leaves(raw)  # D13
    assert all(len(line) <= 998 for line in result.split(b"\r\n"))
    again = to_seven_bit(header, body)
    assert again == (header, body)
    return result


def refusal(raw: bytes) -> str:
    with pytest.raises(ContentError) as caught:
        to_seven_bit(*split_content(raw))
    assert (caught.value.reply.code, caught.value.reply.status) == (550, "5.6.3")
    return caught.value.reply.text


def part(kind: bytes, body: bytes, encoding: bytes = b"8bit") -> bytes:
    return b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (kind, encoding, body)


def multipart(*parts: bytes, boundary: bytes = b"b", kind: bytes = b"mixed", encoding: bytes = b"8bit") -> bytes:
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary, one) for one in parts)
    head = b"Content-Type: multipart/%b; boundary=%b\r\nContent-Transfer-Encoding: %b\r\n\r\n" % (
        kind,
        boundary,
        encoding,
    )
    return head + b"preamble\r\n" + body + b"--%b--\r\nepilogue\r\n" % boundary


def test_seven_bit_mail_is_left_alone() -> None:  # O10
    header, body = TOP + b"Content-Transfer-Encoding: 8bit\r\n", b"plain\r\n"
    result = to_seven_bit(header, body)
    assert result[0] is header
    assert result[1] is body


def test_text_becomes_quoted_printable() -> None:
    result = converted(TOP + part(b"text/plain; charset=utf-8", UTF8))
    assert b"\r\nContent-Transfer-Encoding: quoted-printable\r\n" in result
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in result
    assert b"Gr=C3=BC" in result


def test_dense_text_and_data_become_base64() -> None:
    assert b"Content-Transfer-Encoding: base64" in converted(TOP + part(b"text/plain; charset=utf-8", DENSE))
    assert b"Content-Transfer-Encoding: base64" in converted(TOP + part(b"application/x-data", UTF8))
    assert b"Content-Transfer-Encoding: base64" in converted(TOP + part(b"text/plain", UTF8, b"binary"))


@pytest.mark.parametrize("octets", [UTF8, "Grüße, schöne Ferien euch allen\r\n".encode("latin-1")])
def test_the_charset_is_never_touched(octets: bytes) -> None:
    assert b"charset" not in converted(TOP + part(b"text/plain", octets)).partition(b"\r\n\r\n")[0]
    assert b"charset=latin1" in converted(TOP + part(b"text/plain; charset=latin1", octets))


@pytest.mark.parametrize("shift", range(3))
def test_a_large_undeclared_body_is_judged_whole(shift: int) -> None:
    long = b"x" * shift + ("é" * 40 + "\r\n").encode() * 2000
    assert b"charset=utf-8" in to_seven_bit(b"From: ann@example.com\r\n", long)[0]
    assert b"charset" not in to_seven_bit(b"From: ann@example.com\r\n", long + b"\xc3")[0]


def test_undeclared_bodies_are_declared_if_they_are_utf8() -> None:
    result = converted(b"From: ann@example.com\r\n\r\n" + UTF8)
    assert result.startswith(
        b"From: ann@example.com\r\nContent-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    latin = "Grüße, schöne Ferien euch allen\r\n".encode("latin-1")
    assert b"Content-Type" not in converted(b"From: ann@example.com\r\n\r\n" + latin)


def test_only_the_parts_that_need_it_change() -> None:
    image = part(b"image/png", b"iVBORw0KGgo=", b"base64")
    odd = b"content-type:text/plain\r\nX-Odd:   kept \r\n\r\nplain  \r\n"
    raw = TOP + multipart(odd, part(b"text/html; charset=utf-8", UTF8), image)
    result = converted(raw)
    assert odd in result
    assert image in result
    assert b"preamble\r\n--b\r\n" in result
    assert result.endswith(b"\r\n--b--\r\nepilogue\r\n")
    assert b"multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n" in result


def test_nested_multiparts_and_messages() -> None:
    inner = b"Subject: within\r\nMIME-Version: 1.0\r\n" + multipart(part(b"text/plain", UTF8), boundary=b"bb")
    alternative = multipart(part(b"text/plain", UTF8), part(b"text/html", DENSE), boundary=b"b2", kind=b"alternative")
    result = converted(TOP + multipart(alternative, part(b"message/rfc822", inner), part(b"text/plain", b"x", b"7bit")))
    assert b"message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n" in result
    assert result.count(b"Content-Transfer-Encoding: 7bit") == 5
    assert b"8bit" not in result


def test_odd_delimiters_are_read_as_receivers_read_them() -> None:
    body = (
        b"--b  \r\nContent-Type: text/plain\r\n\r\n"
        + UTF8
        + b"--bb not a delimiter\r\n --b\r\nx--b\r\n--b\r\n--b\t\r\n\r\n"
        b"no final line end, no close"
    )
    converted(TOP + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + body)


def test_missing_close_delimiter_and_final_line_end() -> None:
    head = TOP + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    converted(head + b"--b\r\n\r\n" + UTF8.rstrip())
    converted(head + b"--b\r\n\r\n" + UTF8 + b"--b--")


@pytest.mark.parametrize(
    "raw",
    [
        TOP + multipart(part(b"text/plain", UTF8), kind=b"signed"),
        TOP + multipart(multipart(part(b"text/plain", UTF8), boundary=b"c", kind=b"signed")),
        TOP + part(b"text/plain", UTF8, b"base64"),
        TOP + part(b"text/plain", UTF8, b"quoted-printable"),
        TOP + part(b"text/plain", UTF8, b"x-uuencode"),
        TOP + multipart(part(b"text/plain", UTF8), encoding=b"base64"),
        TOP + part(b"multipart/mixed", UTF8),
        TOP + part(b"multipart/mixed; boundary=x; boundary=b", UTF8),
        TOP + part(b"multipart", UTF8),
        TOP + part(b"message/partial; id=x", UTF8),
        TOP + part(b"message/external-body", UTF8),
        TOP + part(b"message/rfc822", b"Subject: " + UTF8 + b"\r\nx"),
        TOP + part(b"message/rfc822", UTF8),
        TOP + b"Content-Transfer-Encoding: 8bit\r\n" + part(b"text/plain", UTF8),
        TOP + b"Content-Type: text/plain\r\n" + part(b"text/html", UTF8),
        TOP + multipart(part(b"text/plain", b"x")).replace(b"preamble", "Präambel".encode()),
        TOP + multipart(part(b"text/plain", b"x")).replace(b"epilogue", "Nachwört".encode()),
        TOP + multipart(part(b"text/plain; name=\xc3\xa9", b"x")),
        TOP + multipart(UTF8),
        TOP + multipart(part(b"text/plain", UTF8)).replace(b"boundary=b", b"boundary=other"),
    ],
)
def test_what_cannot_be_converted_is_refused(raw: bytes) -> None:
    refusal(raw)


def nested(levels: int) -> bytes:
    body = part(b"text/plain", UTF8)
    for level in range(levels):
        body = multipart(body, boundary=b"b%d" % level)
    return TOP + body


def test_depth_and_part_caps() -> None:  # S28
    started = time.process_time()
    assert "levels" in refusal(nested(MAX_DEPTH + 1))
    assert "levels" in refusal(nested(1000))
    assert "parts" in refusal(TOP + multipart(*([part(b"text/plain", UTF8)] * 50_000)))
    assert time.process_time() - started < 8
    to_seven_bit(*split_content(nested(MAX_DEPTH)))


def test_size_times_depth_is_bounded() -> None:  # S28
    deep = nested(MAX_DEPTH - 1).replace(UTF8, UTF8 * 70_000)
    started = time.process_time()
    assert "size" in refusal(deep)
    assert time.process_time() - started < 10


def test_signed_parts_that_are_seven_bit_stay() -> None:
    signed = multipart(part(b"text/plain", b"x", b"7bit"), kind=b"signed", boundary=b"s", encoding=b"7bit")
    assert signed in converted(TOP + multipart(signed, part(b"text/plain", UTF8)))
