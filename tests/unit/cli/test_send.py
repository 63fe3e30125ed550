"""`leak send` in place of sendmail: its options, and what arrives at a real submission server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from relay.cli.mail_text import blind_recipients, header_addresses, with_crlf
from relay.cli.send import OK, TEMPORARY, UNAVAILABLE, USAGE, SendUsageError, guessed_sender, parse
from relay.engine.submission import Refusal
from relay.mail.address import NULL_PATH, Address
from relay.smtp.reply import reply
from tests.support.command import REPOSITORY, Ran, leak_program, program
from tests.support.smtp_door import Door, open_door, tls_pair

_MESSAGE = b"From: Ann <ann@leak.example>\nTo: Bob <bob@example.org>\nSubject: Hi\n\nHello\n"


async def _send(port: int, *words: str, stdin: bytes = _MESSAGE, **environment: str) -> Ran:
    variables = {"LEAK_SEND_SERVER": f"127.0.0.1:{port}", **environment}
    return await leak_program("send", *words, stdin=stdin, environment=variables)


def _arrived(door: Door) -> tuple[str, list[str], bytes]:
    [submission] = door.intake.submissions
    envelope = submission.envelope
    return str(envelope.reverse_path), [str(one.address) for one in envelope.recipients], submission.content


async def test_a_message_arrives_with_crlf() -> None:
    async with open_door() as door:
        ran = await _send(door.port, "-i", "bob@example.org", "carol@example.org")
        assert (ran.status, ran.out, ran.err) == (OK, "", "")
        sender, recipients, content = _arrived(door)
    assert sender == "ann@leak.example"
    assert recipients == ["bob@example.org", "carol@example.org"]
    assert content == _MESSAGE.replace(b"\n", b"\r\n")


async def test_recipients_from_the_header() -> None:
    text = (
        b'To: Bob <bob@example.org>,\r\n\t"Carol, C." <carol@example.org>\r\nCc: friends: dan@example.org;\r\n'
        b"Bcc: eve@example.org,\r\n fay@example.org\r\nSubject: Hi\r\n\r\n.dot\r\n..\r\nBcc: stays\r\n"
    )
    async with open_door() as door:
        ran = await _send(door.port, "-ti", "-f", "ann@leak.example", "-FAnn L\u00e9a", "bob@example.org", stdin=text)
        assert (ran.status, ran.err) == (OK, "")
        sender, recipients, content = _arrived(door)
    names = ["bob", "carol", "dan", "eve", "fay"]
    assert (sender, recipients) == ("ann@leak.example", [f"{name}@example.org" for name in names])
    header, _, body = content.partition(b"\r\n\r\n")
    assert b"bcc" not in header.lower()
    assert b"eve" not in header
    assert header.startswith(b"From: =?utf-8?q?Ann_L=C3=A9a?= <ann@leak.example>\r\n")
    assert body == b".dot\r\n..\r\nBcc: stays\r\n"


async def test_the_null_sender_and_a_dot_that_ends() -> None:
    async with open_door() as door:
        ran = await _send(door.port, "-f", "<>", "bob@example.org", stdin=_MESSAGE + b".\nnot this\n")
        assert (ran.status, ran.err) == (OK, "")
        [submission] = door.intake.submissions
    assert submission.envelope.reverse_path is NULL_PATH
    assert submission.content.endswith(b"Hello\r\n")


async def test_starttls_and_auth(tmp_path: Path) -> None:
    context, _ = tls_pair()
    password = tmp_path / "password"
    password.write_text("secret\nsecond line\n")
    async with open_door(tls=context, trusted_networks=()) as door:
        words = ("--user", "ann", "--password-file", str(password), "bob@example.org")
        ran = await _send(door.port, *words)
        assert (ran.status, ran.err) == (OK, "")
        [submission] = door.intake.submissions
        assert submission.origin is not None
        assert submission.origin.protocol == "ESMTPSA"
        implicit = await _send(
            door.tls_port,
            "bob@example.org",
            LEAK_SEND_SERVER=f"127.0.0.1:{door.tls_port}/tls",
            LEAK_SEND_USER="ann",
            LEAK_SEND_PASSWORD="secret",
        )
        assert (implicit.status, implicit.err) == (OK, "")
        wrong = await _send(door.port, "bob@example.org", LEAK_SEND_USER="ann", LEAK_SEND_PASSWORD="guess")
        assert wrong.status == UNAVAILABLE
        assert "535" in wrong.err
        assert "guess" not in wrong.err
        nobody = await _send(door.port, "bob@example.org")
        assert nobody.status == UNAVAILABLE


async def test_a_refused_recipient_means_nothing_was_sent() -> None:
    async with open_door(max_recipients=2) as door:
        ran = await _send(door.port, *(f"r{n}@example.org" for n in range(3)))
        assert ran.status == TEMPORARY
        assert "r2@example.org" in ran.err
        assert door.intake.submissions == []


async def test_refusals_by_their_class() -> None:
    async with open_door() as door:
        door.intake.refusal = Refusal(reply(451, "4.3.0", "later"))
        assert (await _send(door.port, "bob@example.org")).status == TEMPORARY
        door.intake.refusal = Refusal(reply(554, "5.6.0", "never"))
        ran = await _send(door.port, "bob@example.org")
        assert (ran.status, "554" in ran.err) == (UNAVAILABLE, True)


async def test_no_node_is_a_temporary_failure() -> None:
    async with open_door() as door:
        port = door.port
    ran = await _send(port, "bob@example.org")
    assert ran.status == TEMPORARY
    assert f"127.0.0.1:{port}" in ran.err


async def test_tls_on_the_wrong_side_is_hinted_at() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    # A port with implicit TLS waits for our handshake as we wait for its banner, until it hangs up.
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        closed = await _send(server.sockets[0].getsockname()[1], "bob@example.org")
    assert (closed.status, 'write "/tls" after it' in closed.err) == (TEMPORARY, True)
    async with open_door() as door:
        clear = await _send(0, "bob@example.org", LEAK_SEND_SERVER=f"127.0.0.1:{door.port}/tls")
    assert (clear.status, 'leave "/tls" out' in clear.err) == (UNAVAILABLE, True)


async def test_an_authority_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    missing = await _send(1, "--ca-file", "/nowhere/ca.pem", "bob@example.org")
    assert (missing.status, "--ca-file: /nowhere/ca.pem cannot be read" in missing.err) == (USAGE, True)
    hollow = await _send(1, "bob@example.org", LEAK_SEND_CA_FILE=str(empty))
    assert (hollow.status, f"{empty} holds no certificate" in hollow.err) == (USAGE, True)


def test_a_sender_that_nobody_could_answer_is_not_guessed() -> None:
    assert str(guessed_sender("ann", "mail.leak.example")) == "ann@mail.leak.example"
    with pytest.raises(SendUsageError, match=r"ann@laptop, guessed .* -f ADDRESS"):
        guessed_sender("ann", "laptop")


async def test_called_as_sendmail(tmp_path: Path) -> None:
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f"#!{sys.executable}\nimport sys\nfrom relay.cli import main\nsys.exit(main())\n")
    sendmail.chmod(0o755)
    async with open_door() as door:
        environment = {"LEAK_SEND_SERVER": f"127.0.0.1:{door.port}", "PYTHONPATH": str(REPOSITORY)}
        ran = await program(str(sendmail), "-oi", "-t", given=_MESSAGE, environment=environment)
        assert ran.status == OK
        assert _arrived(door)[1] == ["bob@example.org"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "no recipients"),
        (["-f"], "-f needs a value"),
        (["-Z", "a@b.example"], "unknown option -Z"),
        (["--nonsense"], "unknown option --nonsense"),
        (["-bp"], "-bp is not offered"),
        (["--server", "nowhere", "a@b.example"], 'the server is written "host:port"'),
        (["--user", "ann", "a@b.example"], "a user needs a password"),
        (["--password-file", "/nowhere", "a@b.example"], "/nowhere cannot be read"),
        (["a@b.example\r\nRCPT TO:<c@d.example>"], "control characters"),
    ],
)
async def test_wrong_usage(words: list[str], complaint: str) -> None:  # S01
    ran = await leak_program("send", *words, stdin=_MESSAGE, environment={"LEAK_SEND_SERVER": "127.0.0.1:1"})
    assert ran.status == USAGE
    assert complaint in ran.err


@pytest.mark.parametrize(
    "words", [["send"], ["--config", "x", "send"], ["--config=x", "send"], ["send", "--config", "x"]]
)
async def test_help(words: list[str]) -> None:
    ran = await leak_program(*words, "--help")
    assert ran.status == OK
    assert "-t " in ran.out


def test_options_as_sendmail_writes_them() -> None:
    order = parse(
        ["-oi", "-oem", "-odb", "-fann@a.example", "-F", "Ann A", "-v", "-B8BITMIME", "-N", "never", "b@c.example"]
    )
    assert (order.sender, order.full_name, order.dot_ends) == ("ann@a.example", "Ann A", False)
    assert order.recipients == ["b@c.example"]
    assert parse(["-it"]).from_header
    assert parse(["-em", "--", "-t"]).recipients == ["-t"]
    assert parse(["--server=h:25"]).options == {"--server": "h:25"}
    with pytest.raises(SendUsageError):
        parse(["-bs"])


@pytest.mark.parametrize(
    ("text", "dot_ends", "expected"),
    [
        (b"a\nb", False, b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", False, b"a\r\nb\r\n"),
        (b"a\rb", False, b"a\r\nb\r\n"),
        (b"a\n.\nb\n", True, b"a\r\n"),
        (b"a\n.\nb\n", False, b"a\r\n.\r\nb\r\n"),
        (b"a\n..\n", True, b"a\r\n..\r\n"),
        (b"", True, b""),
    ],
)
def test_line_ends(text: bytes, dot_ends: bool, expected: bytes) -> None:
    assert with_crlf(text, dot_ends=dot_ends) == expected


def test_headers_of_odd_messages() -> None:
    assert header_addresses(b"no header at all\r\nTo: a@b.example\r\n") == []
    assert blind_recipients(b"no header at all\r\n") == b"\r\nno header at all\r\n"
    assert header_addresses(b"To: a@b.example") == [Address("a", "b.example")]
    assert blind_recipients(b"Bcc: a@b.example\r\n") == b"\r\n"
