"""SMTP input of every shape: parsers answer, never raise; content is read alike however it is cut."""

from __future__ import annotations

import asyncio
import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.address import Address, NullPath
from relay.mail.envelope import Recipient
from relay.smtp.parameters import MailArguments, decode_xtext, encode_xtext, parse_mail, parse_rcpt
from relay.smtp.reply import Reply
from relay.submission import sasl
from relay.submission.content import ContentDecoder, Defect, read_content
from tests.support.smtp_client import connected
from tests.support.smtp_door import open_door

WORDS = """FROM: TO: < > @ a b.example . .. : [127.0.0.1] " \\ ' ' = + +2B ; , SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL
ENVID=x AUTH=<> NOTIFY=NEVER ORCPT=rfc822;a ORCPT=utf-8;\\x{E9} é \u00a0 \U0001f600 %"""
PIECES = st.sampled_from([*WORDS.split(), " ", "  ", "\u2028"])
ARGUMENTS = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=80))
OCTETS = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"\0", b"\r\n.\r\n", b"a", b"\r\n.."]), st.binary(max_size=4)
    ),
    max_size=30,
).map(b"".join)
WIRE_SAFE = re.compile(r"[^\x00-\x1f\x7f<>]*|\"[^\x00-\x1f\x7f]*")


@given(ARGUMENTS)
def test_mail_and_rcpt_never_raise(argument: str) -> None:  # C03, F14
    for text in (argument, f"FROM:<ann@leak.example> {argument}", f"FROM:<{argument}>"):
        mail = parse_mail(text)
        assert isinstance(mail, MailArguments | Reply)
        if isinstance(mail, MailArguments) and not isinstance(mail.reverse_path, NullPath):
            assert_fit_for_the_wire(mail.reverse_path)
    for text in (argument, f"TO:<bob@example.org> {argument}", f"TO:<{argument}>"):
        for utf8 in (False, True):
            recipient = parse_rcpt(text, smtputf8=utf8)
            assert isinstance(recipient, Recipient | Reply)
            if isinstance(recipient, Recipient):
                assert_fit_for_the_wire(recipient.address)
                assert utf8 or str(recipient.address).isascii()


def assert_fit_for_the_wire(address: Address) -> None:
    """No address that parses can carry a second command."""
    assert not re.search(r"[\x00-\x1f\x7f\u2028\u2029]", str(address))
    assert "." in address.domain
    str(address).encode()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50))
def test_xtext_comes_back(text: str) -> None:  # G01
    encoded = encode_xtext(text)
    assert re.fullmatch(r"[!-~]*", encoded)
    assert decode_xtext(encoded) == text


@given(st.binary(max_size=60))
def test_sasl_answers_never_raise(octets: bytes) -> None:  # F03, F05
    assert isinstance(sasl.decode_initial(octets), bytes | Reply)
    credentials = sasl.parse_plain(octets)
    if isinstance(credentials, sasl.Credentials):
        assert octets.endswith(f"\0{credentials.name}\0{credentials.password}".encode())


def reference(stream: bytes) -> tuple[bytes, bytes, bool]:
    """Content, what follows it, and whether it is fit: the definition, line by line."""
    body, _, rest = (b"\r\n" + stream).partition(b"\r\n.\r\n")
    lines = (body + b"\r\n")[2:].split(b"\r\n")
    content = b"\r\n".join(line.removeprefix(b".") for line in lines)
    bare = re.search(rb"\r(?!\n)|(?<!\r)\n|\0", body + b"\r\n")
    return content, rest, bare is None


@given(OCTETS, OCTETS, st.lists(st.integers(0, 60), max_size=4))
def test_content_is_what_the_definition_says(before: bytes, after: bytes, cuts: list[int]) -> None:  # C04, S01
    stream = before + b"\r\n.\r\n" + after
    content, rest, fit = reference(stream)

    async def read() -> tuple[ContentDecoder, bytes]:
        reader = asyncio.StreamReader(limit=8)
        edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})

        async def send() -> None:
            for start, end in itertools.pairwise(edges):
                reader.feed_data(stream[start:end])
                await asyncio.sleep(0)
            reader.feed_eof()

        sending = asyncio.create_task(send())
        decoder = ContentDecoder(10_000, lambda octets: True)
        await read_content(reader, decoder, 10_000, lambda taken: None)
        await sending
        return decoder, await reader.read()

    decoder, left = asyncio.run(read())
    assert left == rest
    assert (decoder.defect is None) == fit
    if fit:
        assert decoder.content() == content
        assert decoder.size == len(content)
    else:
        assert decoder.defect in {Defect.BARE_LINE_END, Defect.NUL}


COMMANDS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"EHLO a.example\r\n",
                b"MAIL FROM:<ann@leak.example>\r\n",
                b"RCPT TO:<bob@example.org>\r\n",
                b"DATA\r\n",
                b"hello\r\n.\r\n",
                b"RSET\r\n",
                b"AUTH PLAIN\r\n",
                b"*\r\n",
                b"STARTTLS\r\n",
                b"QUIT\r\n",
            ]
        ),
        st.binary(max_size=40),
        st.binary(max_size=20).map(lambda octets: octets + b"\r\n"),
    ),
    max_size=25,
)


@given(st.lists(COMMANDS, min_size=1, max_size=4))
@settings(max_examples=40)
def test_a_session_answers_in_form_whatever_it_is_told(scripts: list[list[bytes]]) -> None:  # C03, G10
    async def talk() -> None:
        async with open_door() as door:
            for script in scripts:
                async with connected(door.port) as client:
                    try:
                        for octets in script:
                            await client.send(octets)
                            await asyncio.sleep(0)
                        client.writer.write_eof()
                        while True:
                            answer = await client.answer(plain=True)
                            assert answer.code != 451, answer
                    except (EOFError, OSError):
                        pass
            for submission in door.intake.submissions:
                assert submission.envelope.recipients

    asyncio.run(talk())
