"""Properties of the mail formats: exact round trips, no injection, and one opinion with other parsers on the author."""

from __future__ import annotations

import email
import email.policy
import email.utils
import inspect
import quopri
import re
from email.header import decode_header, make_header
from email.headerregistry import HeaderRegistry
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.ids import SeededEntropy
from relay.mail.address import Address, AddressError, parse_address
from relay.mail.author import parse_mailboxes
from relay.mail.check import ContentError, check_content
from relay.mail.compose import Attachment, Draft, compose
from relay.mail.encoding import encode_text, quoted_printable
from relay.mail.header import HeaderError, format_address_field, format_field, parse_fields, split_content
from relay.mail.sevenbit import to_seven_bit

modest = settings(max_examples=150)

ANN = parse_address("ann@example.com")
TEXT = st.text(max_size=200)
LINE = st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="\u2028\u2029"), max_size=200)

_PIECES = st.sampled_from(
    [
        *(
            "ann",
            "bob",
            "a.b",
            "Lee",
            "=?utf-8?q?x?=",
            "ann@example.com",
            "eve@other.example",
            "example.com",
            "x.example",
        ),
        *("<", ">", "@", ",", ";", ":", ".", " ", '"', '"q s"', '"a@b.example"', "(", ")", "(c)", "\\", "[", "]", "é"),
        *("Ann <ann@example.com>", "<@r.example:ann@example.com>", "Team: ", ", ", " <ann@example.com>"),
    ]
)
FROM = st.lists(_PIECES, min_size=1, max_size=8).map("".join)

_STRICT: dict[str, Any] = {"strict": True} if "strict" in inspect.signature(email.utils.getaddresses).parameters else {}


def by_utils(value: str) -> list[str]:
    """Non-empty addresses as email.utils reads them."""
    return [address for _, address in email.utils.getaddresses([value], **_STRICT) if address]


def by_registry(value: str) -> list[str] | None:
    """Addresses as email.headerregistry reads them, None where it is in doubt or fails."""
    try:
        header: Any = HeaderRegistry()("From", value)
        if header.defects:
            return None
        return [mailbox.addr_spec for mailbox in header.addresses]
    except Exception:  # the standard library's parser raises IndexError, AttributeError and others on such input
        return None


def identity(spec: str) -> str | None:
    """An address spec in the form we compare."""
    try:
        return parse_address(spec).key
    except AddressError:
        return None


@modest
@given(FROM)
@example("ann@example.com <eve@other.example>")
@example("Ann <ann@example.com>, bob@x.example")
@example('"a@b.example" <ann@example.com>')
@example("(eve@other.example) ann@example.com")
def test_nobody_disagrees_on_the_author(value: str) -> None:  # O05, S09
    try:
        ours = [address.key for address in parse_mailboxes(value.encode())]
    except HeaderError:
        return
    registry = by_registry(value)
    if registry is not None and all(identity(spec) for spec in registry):
        assert ours == [identity(spec) for spec in registry]
    others = by_utils(value)
    if others and all(identity(spec) for spec in others):
        assert ours == [identity(spec) for spec in others]


@modest
@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(value: bytes) -> None:
    try:
        for address in parse_mailboxes(value):
            assert parse_address(str(address)) == address
    except HeaderError:
        pass
    try:
        checked = check_content(value, smtputf8=True)
    except ContentError:
        return
    assert isinstance(checked.author, Address)


@modest
@given(
    st.lists(
        st.sampled_from([b"From: a@b.example\r\n", b"Bcc: x@y.example\r\n", b"X: 1\r\n 2\r\n", b"Y:\r\n"]), max_size=8
    )
)
def test_only_private_fields_go(fields: list[bytes]) -> None:  # F13, O10
    raw = b"".join(fields) + b"\r\nbody\r\n"
    try:
        checked = check_content(raw, smtputf8=False)
    except ContentError:
        assert fields.count(b"From: a@b.example\r\n") != 1 or fields[0].startswith(b" ")
        return
    assert checked.header == b"".join(field for field in fields if not field.startswith(b"Bcc"))


@modest
@given(TEXT)
def test_a_field_is_one_field_and_reads_back(value: str) -> None:  # S08, O06
    try:
        field = format_field("Subject", value)
    except HeaderError:
        assert re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", value)
        return
    assert len(parse_fields(field)) == 1
    assert field.isascii()
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    unfolded = field.partition(b":")[2].replace(b"\r\n", b"").decode()
    wanted = value.strip(" \t")
    got = str(make_header(decode_header(unfolded.strip(" "))))
    assert re.sub(r"[ \t]+", " ", got) == re.sub(r"[ \t]+", " ", wanted)


@modest
@given(LINE)
def test_a_display_name_is_never_an_address(display: str) -> None:  # S09
    field = format_address_field("From", [(display, ANN)])
    (parsed,) = parse_fields(field)
    assert parse_mailboxes(parsed.value) == (ANN,)


@modest
@given(st.binary(max_size=400))
def test_quoted_printable_is_exact(data: bytes) -> None:
    encoded = quoted_printable(data)
    assert quopri.decodestring(encoded) == data
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@modest
@given(st.text(max_size=300))
def test_text_bodies_read_back(text: str) -> None:
    raw = compose(Draft(("", ANN), text=text.replace("\0", "")), SeededEntropy(1))
    part = email.message_from_bytes(raw)
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    wanted = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    got = payload.decode().replace("\r\n", "\n")
    assert got == (wanted if wanted.endswith("\n") else wanted + "\n")
    assert encode_text(text).body.isascii()


@modest
@given(TEXT, TEXT, TEXT, TEXT, st.binary(max_size=100))
def test_composed_mail_is_lawful_or_refused(name: str, subject: str, html: str, filename: str, content: bytes) -> None:
    file = Attachment(filename, "application/x-data", content)
    draft = Draft((name, ANN), subject=subject, text="x", html=html, attachments=(file,))
    control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
    try:
        raw = compose(draft, SeededEntropy(1))
    except HeaderError:
        assert control.search(name + subject + filename + html)
        return
    checked = check_content(raw, smtputf8=False)
    assert checked.author == ANN
    assert raw.isascii()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    (attached,) = message.iter_attachments()
    assert attached.get_payload(decode=True) == content


_LEAF = st.builds(
    lambda kind, encoding, body: (
        b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (kind, encoding, body)
    ),
    st.sampled_from([b"text/plain; charset=utf-8", b"text/html", b"application/x-data"]),
    st.sampled_from([b"8bit", b"7bit", b"binary"]),
    st.binary(max_size=120).map(lambda data: re.sub(rb"[\r\n\0]", b" ", data).replace(b"xx", b"\r\n") + b"."),
)


def _multipart(parts: list[bytes]) -> bytes:
    boundary = b"b%d" % sum(map(len, parts))
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
    return b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n%b--%b--\r\n" % (boundary, body, boundary)


_TREE = st.recursive(_LEAF, lambda inner: st.lists(inner, min_size=1, max_size=3).map(_multipart), max_leaves=6)


def _leaves(raw: bytes) -> list[bytes]:
    found: list[bytes] = []
    for part in email.message_from_bytes(raw).walk():
        payload = part.get_payload(decode=True)
        if not part.is_multipart() and isinstance(payload, bytes):
            found.append(payload.removesuffix(b"\r\n"))
    return found


@modest
@given(_TREE)
def test_seven_bit_mail_decodes_to_the_same(entity: bytes) -> None:  # D13
    raw = b"MIME-Version: 1.0\r\nFrom: ann@example.com\r\n" + entity
    header, body = to_seven_bit(*split_content(raw))
    result = header + b"\r\n" + body
    assert body.isascii()
    assert _leaves(result) == _leaves(raw)
    parse_fields(header)


@modest
@given(st.binary(max_size=300))
def test_any_body_is_converted_or_refused(body: bytes) -> None:
    for header in (b"", b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: message/rfc822\r\n"):
        try:
            _, converted = to_seven_bit(header, body)
        except ContentError:
            continue
        assert converted.isascii()
