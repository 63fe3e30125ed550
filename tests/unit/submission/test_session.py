"""The dialogue of the submission door, command by command, against a real server (C01–C14, D01–D12, G10)."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import struct

import pytest

from relay.engine.submission import Refusal
from relay.mail.address import NULL_PATH, Address
from relay.mail.envelope import Notify, Return
from relay.smtp.reply import reply
from relay.spool.work import Door as DoorKind
from tests.support.recording_intake import ANN, TRUSTED
from tests.support.smtp_client import connected
from tests.support.smtp_door import STRANGER, open_door

LETTER = b"Subject: hi\r\n\r\nhello\r\n"


async def test_a_letter_from_a_trusted_network() -> None:  # C05, C09
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo("client.example")
        answer = await client.deliver(LETTER)
        assert str(answer) == f"250 2.0.0 accepted {door.intake.ids[0]}"
        (submission,) = door.intake.submissions
        assert submission.door is DoorKind.SMTP
        assert submission.identity == TRUSTED
        assert submission.content == LETTER
        assert submission.envelope.reverse_path == Address("ann", "leak.example")
        assert [str(r.address) for r in submission.envelope.recipients] == ["bob@example.org"]
        assert submission.origin is not None
        assert (submission.origin.address, submission.origin.name) == ("127.0.0.1", "client.example")
        assert submission.origin.protocol == "ESMTP"
        assert (await client.ask("QUIT")).code == 221
        assert await client.ended()


async def test_extensions_without_tls() -> None:  # D01, D12, E07
    async with open_door() as door:
        async with connected(door.port) as client:
            assert await client.ehlo() == (
                "PIPELINING",
                "SIZE 100000",
                "8BITMIME",
                "ENHANCEDSTATUSCODES",
                "SMTPUTF8",
                "DSN",
                "AUTH PLAIN LOGIN",
            )
        async with connected(door.port, STRANGER) as client:
            assert not any(line.startswith(("AUTH", "STARTTLS")) for line in await client.ehlo())


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [
        ("noop anything", 250, "2.0.0"),
        ("RsEt", 250, "2.0.0"),
        ("RSET now", 501, "5.5.4"),
        ("VRFY bob", 252, "2.5.0"),
        ("VRFY", 501, "5.5.4"),
        ("HELP", 214, "2.0.0"),
        ("EXPN list", 502, "5.5.1"),
        ("ETRN example.org", 502, "5.5.1"),
        ("BDAT 5 LAST", 502, "5.5.1"),
        ("XYZZY", 500, "5.5.2"),
        ("", 500, "5.5.2"),
        ("QUIT now", 501, "5.5.4"),
        ("STARTTLS now", 501, "5.5.4"),
        ("STARTTLS", 454, "4.7.0"),
        ("MAIL", 501, "5.5.4"),
        ("MAIL FROM:<ann@leak.example> WHAT=1", 555, "5.5.4"),
        ("MAIL FROM:<ann@leak.example> REQUIRETLS", 555, "5.5.4"),  # K03
        ("MAIL FROM:<ann@leak.example> SIZE=100000", 250, "2.1.0"),  # D01
        ("MAIL FROM:<ann@leak.example> SIZE=100001", 552, "5.3.4"),
        ("RCPT TO:<bob@example.org>", 503, "5.5.1"),
        ("DATA", 503, "5.5.1"),
        ("AUTH", 501, "5.5.4"),
        ("AUTH CRAM-MD5", 504, "5.5.4"),
    ],
)
async def test_command(command: str, code: int, status: str) -> None:  # C01, C02, C03, G10
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        answer = await client.ask(command)
        assert (answer.code, answer.status) == (code, status)


async def test_order_of_commands() -> None:  # C02
    async with open_door() as door, connected(door.port) as client:
        for command in ("MAIL FROM:<>", "RCPT TO:<bob@example.org>", "DATA", "AUTH PLAIN"):
            assert (await client.ask(command)).code == 503
        assert (await client.ask("EHLO")).code == 501
        assert (await client.ask("EHLO a b")).code == 501
        await client.ehlo()
        assert (await client.ask("MAIL FROM:<>")).code == 250
        assert (await client.ask("MAIL FROM:<>")).code == 503
        assert (await client.ask("DATA")).code == 503
        assert (await client.ask("AUTH PLAIN AGEAYg==")).code == 503  # F02
        await client.ehlo()
        assert (await client.ask("RCPT TO:<bob@example.org>")).code == 503
        assert (await client.ask("MAIL FROM:<>")).code == 250
        assert (await client.ask("RCPT TO:<bob@example.org>")).code == 250
        assert (await client.ask("RSET")).code == 250
        assert (await client.ask("DATA")).code == 503


async def test_parameters_reach_the_envelope() -> None:  # G01, F07
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo("weird(name)")
        commands = (
            "MAIL FROM:<> SIZE=30 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Qq+2Bx AUTH=<>",
            "RCPT TO:<jörg@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@Example.ORG",
        )
        for command in commands:
            assert (await client.ask(command)).code == 250
        assert (await client.ask("DATA")).code == 354
        await client.send(b"\r\n.\r\n")
        assert (await client.answer()).code == 250
        envelope = door.intake.submissions[0].envelope
        assert envelope.reverse_path is NULL_PATH
        assert (envelope.smtputf8, envelope.ret, envelope.envid) == (True, Return.HEADERS, "Qq+x")
        assert envelope.recipients[0].notify == Notify.SUCCESS | Notify.FAILURE
        assert envelope.recipients[0].orcpt == "rfc822;Bob@Example.ORG"
        origin = door.intake.submissions[0].origin
        assert origin is not None
        assert (origin.name, origin.protocol) == ("", "UTF8SMTP")  # what is unfit for a Received field stays out


async def test_helo_speaks_plain_smtp() -> None:  # C09
    async with open_door() as door, connected(door.port) as client:
        assert (await client.ask("HELO old.example", plain=True)).code == 250
        assert (await client.ask("MAIL FROM:<ann@leak.example> SIZE=1")).code == 555
        assert (await client.deliver(LETTER)).code == 250
        origin = door.intake.submissions[0].origin
        assert origin is not None
        assert origin.protocol == "SMTP"


async def test_strangers() -> None:  # C14, F01, S14
    for require_auth, expected in ((True, (530, "5.7.0")), (False, (550, "5.7.1"))):
        async with open_door(require_auth=require_auth) as door, connected(door.port, STRANGER) as client:
            await client.ehlo()
            for command in ("MAIL FROM:<ann@leak.example>", "RCPT TO:<bob@example.org>", "DATA"):
                answer = await client.ask(command)
                assert (answer.code, answer.status) == expected
            assert not door.intake.submissions


RELAY_FORMS = [
    "bob@example.org",
    "bob%example.org@mail.leak.example",
    "example.org!bob@mail.leak.example",
    "@mail.leak.example:bob@example.org",
    '"bob@example.org"@mail.leak.example',
    "bob@[127.0.0.1]",
    "bob@example.org.",
    "BOB@EXAMPLE.ORG",
    "bob@",
    "bob",
    "",
]


async def test_no_spelling_opens_the_relay() -> None:  # S14
    async with open_door(require_auth=False) as door:
        for sender in ("", "ann@leak.example", "postmaster@mail.leak.example"):
            async with connected(door.port, STRANGER) as client:
                await client.ehlo()
                assert (await client.ask(f"MAIL FROM:<{sender}>")).code == 550
                for form in RELAY_FORMS:
                    assert (await client.ask(f"RCPT TO:<{form}>")).code == 550
        assert not door.intake.submissions


async def test_limit_of_recipients() -> None:  # C06, S27
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        assert (await client.ask("MAIL FROM:<>")).code == 250
        await client.send(b"".join(b"RCPT TO:<r%d@example.org>\r\n" % i for i in range(1000)))
        answers = [await client.answer() for _ in range(1000)]
        assert {(a.code, a.status) for a in answers[:100]} == {(250, "2.1.5")}
        assert {(a.code, a.status) for a in answers[100:]} == {(452, "4.5.3")}
        assert (await client.ask("DATA")).code == 354
        await client.send(LETTER + b".\r\n")
        assert (await client.answer()).code == 250
        assert len(door.intake.submissions[0].envelope.recipients) == 100


async def test_pipelining() -> None:  # D08
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        group = b"MAIL FROM:<ann@leak.example>\r\n" + b"RCPT TO:<bob@example.org>\r\n" * 99 + b"RCPT TO:<a@@b>\r\n"
        await client.send(group + b"DATA\r\n")
        codes = [(await client.answer()).code for _ in range(102)]
        assert codes == [250] * 100 + [501, 354]
        await client.send(LETTER + b".\r\nNOOP\r\nQUIT\r\n")
        assert [(await client.answer()).code for _ in range(3)] == [250, 250, 221]
        assert await client.ended()
        assert door.intake.submissions[0].content == LETTER


async def test_replies_to_a_group_come_in_one_write() -> None:  # D08
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        await client.send(b"NOOP\r\n" * 50)
        assert (await client.answer()).code == 250
        # The rest is in the same segment, so it is here without another turn of the network.
        assert len(client.reader._buffer) == 49 * len(b"250 2.0.0 ok\r\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize("early", [b"EHLO a.example\r\nMAIL FROM:<>\r\n", b"HELO a.example\r\nNOOP\r\n"])
async def test_talking_before_pipelining_is_offered(early: bytes) -> None:  # D09, S11
    async with open_door() as door, connected(door.port) as client:
        await client.send(early)
        assert (await client.answer()).code == 503
        assert await client.ended()


async def test_content_before_354() -> None:  # D09
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        await client.send(b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nQUIT\r\n.\r\n")
        assert [(await client.answer()).code for _ in range(3)] == [250, 250, 503]
        assert await client.ended()
        assert not door.intake.submissions


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "POST /x HTTP/1.1", "CONNECT a:25 HTTP/1.1", "put /"])
async def test_http_is_shown_the_door(request_line: str) -> None:  # S11, S12
    async with open_door() as door, connected(door.port) as client:
        await client.send(request_line.encode() + b"\r\nHost: x\r\n\r\nEHLO a.example\r\nMAIL FROM:<>\r\n")
        try:
            assert (await client.answer()).code == 554
        except EOFError:
            return
        assert await client.ended()


async def test_twenty_errors_end_the_session() -> None:  # C13
    async with open_door() as door, connected(door.port) as client:
        for _ in range(19):
            assert (await client.ask("JUNK")).code == 500
        answer = await client.ask("JUNK")
        assert (answer.code, answer.status) == (421, "4.7.0")
        assert await client.ended()


@pytest.mark.parametrize(
    "line", [b"NOOP\n", b"NOOP\r\r\n", b"NO\0OP\r\n", b"NOOP \xff\r\n", b"NOOP " + b"x" * 2048 + b"\r\n", b"\x1b[A\r\n"]
)
async def test_bad_lines(line: bytes) -> None:  # S26
    async with open_door() as door, connected(door.port) as client:
        await client.send(line)
        answer = await client.answer()
        assert (answer.code, answer.status) == (500, "5.5.2")
        assert (await client.ask("NOOP")).code == 250


async def test_endless_line() -> None:  # S26
    async with open_door() as door, connected(door.port) as client:
        try:
            for _ in range(200):
                await client.send(b"x" * 65536)
        except ConnectionError:
            return
        try:
            assert (await client.answer()).code == 500
        except EOFError:
            return
        assert await client.ended()


@pytest.mark.parametrize("look_alike", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r"])
async def test_smuggling(look_alike: bytes) -> None:  # C04, S01
    evil = b"MAIL FROM:<evil@leak.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nevil\r\n.\r\n"
    stream = b"Subject: x\r\n\r\ninnocent" + look_alike + evil
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        for cut in range(20, 40):
            for command in ("MAIL FROM:<ann@leak.example>", "RCPT TO:<bob@example.org>", "DATA"):
                await client.ask(command)
            await client.send(stream[:cut])
            await asyncio.sleep(0)
            await client.send(stream[cut:])
            answer = await client.answer()
            assert (answer.code, answer.status) == (550, "5.6.11")
            if cut % 10 == 0:
                assert (await client.deliver(LETTER)).code == 250  # which also forgives the errors before
        assert {s.content for s in door.intake.submissions} == {LETTER}


async def test_sizes() -> None:  # D02, D03
    async with open_door(max_message_size=70_000) as door, connected(door.port) as client:
        await client.ehlo()
        exact = (b"." + b"." * 98 + b"\r\n") * 700  # 101 octets a line on the wire, 100 in the message
        assert (await client.deliver(exact)).code == 250
        assert len(door.intake.submissions[0].content) == 70_000
        answer = await client.deliver(exact + b"\r\n")
        assert (answer.code, answer.status) == (552, "5.3.4")
        assert (await client.deliver(LETTER)).code == 250
        assert len(door.intake.submissions) == 2


async def test_nul_and_empty_messages() -> None:
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        answer = await client.deliver(b"Subject: a\0b\r\n\r\n")
        assert (answer.code, answer.status) == (550, "5.6.0")
        assert (await client.deliver(b"")).code == 250
        assert door.intake.submissions[0].content == b""


async def test_intakes_refusals_are_passed_on() -> None:
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        door.intake.sender_refusal = lambda identity, sender: (
            None if sender == "" else Refusal(reply(550, "5.7.1", f"{identity.name} may not"))
        )
        answer = await client.ask("MAIL FROM:<ann@leak.example>")
        assert str(answer) == "550 5.7.1 trusted network may not"
        door.intake.room_refusal = lambda size: Refusal(reply(452, "4.3.1", "full")) if size > 9 else None
        assert (await client.ask("MAIL FROM:<> SIZE=10")).status == "4.3.1"  # D01
        assert (await client.ask("MAIL FROM:<> SIZE=9")).code == 250
        assert (await client.ask("RCPT TO:<bob@example.org>")).code == 250
        door.intake.refusal = Refusal(reply(554, "5.7.1", "not this"))
        assert (await client.ask("DATA")).code == 354
        await client.send(LETTER + b".\r\n")
        assert str(await client.answer()) == "554 5.7.1 not this"


async def test_a_broken_intake_is_a_bland_451() -> None:
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        door.intake.broken = RuntimeError("secret detail")
        assert str(await client.deliver(LETTER)) == "451 4.3.0 local error, try again later"
        door.intake.broken = None

        def broken(size: int) -> Refusal | None:
            raise RuntimeError("secret detail")

        door.intake.room_refusal = broken
        assert str(await client.ask("MAIL FROM:<>")) == "451 4.3.0 local error, try again later"
        door.intake.room_refusal = lambda size: None
        assert (await client.deliver(LETTER)).code == 250


async def test_a_client_that_vanishes_after_the_dot_cancels_nothing() -> None:  # C05
    async with open_door() as door:
        door.intake.gate.clear()
        async with connected(door.port) as client:
            await client.ehlo()
            await client.ask("MAIL FROM:<>")
            await client.ask("RCPT TO:<bob@example.org>")
            await client.ask("DATA")
            await client.send(LETTER + b".\r\n")
            await door.intake.entered.wait()
            peer = client.writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by RST
            client.writer.transport.abort()
        while door.server.session_count:
            await asyncio.sleep(0.01)
        door.intake.gate.set()
        while not door.intake.submissions:
            await asyncio.sleep(0.01)
        assert door.intake.submissions[0].content == LETTER


async def test_a_client_that_vanishes_before_the_dot_sent_nothing() -> None:
    async with open_door() as door:
        async with connected(door.port) as client:
            await client.ehlo()
            await client.ask("MAIL FROM:<>")
            await client.ask("RCPT TO:<bob@example.org>")
            await client.ask("DATA")
            await client.send(LETTER)
        while door.server.session_count:
            await asyncio.sleep(0.01)
        assert not door.intake.submissions


async def test_a_half_closed_client_still_gets_its_answers() -> None:
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        await client.ask("MAIL FROM:<>")
        await client.ask("RCPT TO:<bob@example.org>")
        await client.ask("DATA")
        await client.send(LETTER + b".\r\n")
        client.writer.write_eof()
        assert (await client.answer()).code == 250
        assert await client.ended()


async def test_smtplib_delivers() -> None:
    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("ann@leak.example", ["bob@example.org", "eve@example.net"], "Subject: x\n\n.dot\n")

    async with open_door() as door:
        await asyncio.to_thread(send, door.port)
        (submission,) = door.intake.submissions
        assert submission.content == b"Subject: x\r\n\r\n.dot\r\n"
        assert len(submission.envelope.recipients) == 2


async def test_authenticated_strangers_are_themselves() -> None:
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        assert (await client.ask("AUTH PLAIN AGFubgBzZWNyZXQ=")).code == 235
        assert (await client.deliver(LETTER)).code == 250
        assert door.intake.submissions[0].identity == ANN
        origin = door.intake.submissions[0].origin
        assert origin is not None
        assert origin.protocol == "ESMTPA"
