"""TLS and AUTH of the submission door (E02–E04, E07, E08, E10, F01–F05, S03, S15)."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
import uvloop

from relay.errors import ConfigurationError
from relay.settings import TlsFiles, settings_from
from relay.tls_files import server_context
from tests.support.hand_clock import HandClock
from tests.support.recording_intake import ANN
from tests.support.smtp_client import RawClient, connected
from tests.support.smtp_door import STRANGER, open_door, tls_pair

LETTER = b"Subject: hi\r\n\r\nhello\r\n"
LOOPS = pytest.mark.parametrize(
    "factory", [pytest.param(uvloop.new_event_loop, id="uvloop"), pytest.param(asyncio.SelectorEventLoop, id="asyncio")]
)
Factory = Callable[[], asyncio.AbstractEventLoop]


def plain(name: str, password: str, authzid: str = "") -> str:
    """The PLAIN message in base64."""
    return b64encode(f"{authzid}\0{name}\0{password}".encode()).decode()


GOOD = plain("ann", "secret")


@LOOPS
def test_starttls_and_auth(factory: Factory) -> None:  # E02, E04, E07, F01, F02
    server_tls, client_tls = tls_pair()

    async def dialogue() -> None:
        async with open_door(tls=server_tls) as door, connected(door.port, STRANGER) as client:
            assert "STARTTLS" in await client.ehlo()
            assert (await client.ask(f"AUTH PLAIN {GOOD}")).status == "5.7.11"
            assert (await client.ask("MAIL FROM:<ann@leak.example>")).code == 530
            await client.starttls(client_tls)
            assert (await client.ask("MAIL FROM:<ann@leak.example>")).code == 503  # the EHLO is forgotten
            extensions = await client.ehlo()
            assert "STARTTLS" not in extensions
            assert "AUTH PLAIN LOGIN" in extensions
            assert (await client.ask("STARTTLS")).code == 503
            assert (await client.ask("MAIL FROM:<ann@leak.example>")).code == 530
            assert (await client.ask(f"AUTH PLAIN {GOOD}")).code == 235
            assert (await client.ask(f"AUTH PLAIN {GOOD}")).code == 503
            assert (await client.deliver(LETTER)).code == 250
            (submission,) = door.intake.submissions
            assert submission.identity == ANN
            assert submission.origin is not None
            assert submission.origin.protocol == "ESMTPSA"
            assert door.accounts.asked == [("ann", STRANGER)]
            assert (await client.ask("QUIT")).code == 221

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(dialogue())


@LOOPS
def test_implicit_tls(factory: Factory) -> None:  # E07
    server_tls, client_tls = tls_pair()

    async def dialogue() -> None:
        async with open_door(tls=server_tls) as door, connected(door.tls_port, STRANGER, tls=client_tls) as client:
            extensions = await client.ehlo()
            assert "AUTH PLAIN LOGIN" in extensions
            assert "STARTTLS" not in extensions
            assert (await client.ask(f"auth plain {GOOD}")).code == 235
            big = b"0123456789\r\n" * 8000
            assert (await client.deliver(big)).code == 250
            assert door.intake.submissions[0].content == big

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(dialogue())


@LOOPS
@pytest.mark.parametrize("injected", [b"EHLO evil.example\r\n", b"x", b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\n"])
def test_nothing_injected_before_tls_is_answered(factory: Factory, injected: bytes) -> None:  # E03, S03
    server_tls, _ = tls_pair()

    async def dialogue() -> None:
        async with open_door(tls=server_tls) as door, connected(door.port) as client:
            await client.ehlo()
            await client.send(b"STARTTLS\r\n" + injected)
            assert (await client.answer()).code == 503
            assert await client.ended()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(dialogue())


@LOOPS
def test_a_failed_handshake_leaves_nothing_behind(factory: Factory) -> None:  # S35
    server_tls, client_tls = tls_pair()
    old = ssl.create_default_context()
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    async def dialogue() -> None:
        async with open_door(tls=server_tls) as door:
            server_tls.minimum_version = ssl.TLSVersion.TLSv1_3
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with connected(door.tls_port, tls=old):
                    pass
            async with connected(door.tls_port, greeting=False) as client:
                await client.send(b"EHLO clear.example\r\n" * 10)
                while await client.reader.read(100):
                    pass
            async with connected(door.port) as client:
                assert (await client.ask("STARTTLS")).code == 220
            while door.server.session_count:
                await asyncio.sleep(0.01)
            async with connected(door.tls_port, tls=client_tls) as client:
                assert await client.ehlo()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(dialogue())


async def test_a_new_certificate_serves_the_next_session() -> None:  # E10
    old_server, old_client = tls_pair()
    new_server, new_client = tls_pair()
    async with open_door(tls=old_server) as door, connected(door.tls_port, tls=old_client) as first:
        door.server.replace_tls(new_server)
        async with connected(door.tls_port, tls=new_client) as second:
            assert await second.ehlo()
        async with connected(door.port) as third:
            await third.starttls(new_client)
        assert await first.ehlo()


async def test_the_context_of_listeners(tmp_path: Path) -> None:  # E08, E10
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost")
    (tmp_path / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    settings = settings_from({"node": {"name": "mail.leak.example"}}, tmp_path)
    files = TlsFiles(certificate=Path("chain.pem"), key=Path("key.pem"))
    context = server_context(settings, files, "submission.tls")
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.num_tickets == 0
    client_tls = ssl.create_default_context()
    ca.configure_trust(client_tls)
    async with open_door(tls=context) as door:
        async with connected(door.tls_port, tls=client_tls) as client:
            assert await client.ehlo()
        assert door.server.tls_sessions == 0
        client_tls.maximum_version = ssl.TLSVersion.TLSv1_2

        def leave_in_good_order() -> bool:
            with (
                socket.create_connection(("127.0.0.1", door.tls_port), timeout=20) as line,
                client_tls.wrap_socket(line, server_hostname="localhost") as client,
            ):
                assert client.recv(1000).startswith(b"220 ")
                session = client.session
                client.unwrap()
                return session is not None and session.has_ticket

        assert not await asyncio.to_thread(leave_in_good_order)
        async with asyncio.timeout(20):
            while door.server.session_count:
                await asyncio.sleep(0.01)
        assert door.server.tls_sessions == 1
    with pytest.raises(ConfigurationError, match=r"nothing\.pem"):
        server_context(settings, TlsFiles(certificate=Path("nothing.pem"), key=Path("key.pem")), "submission.tls")


async def test_smtplib_over_starttls() -> None:
    server_tls, client_tls = tls_pair()

    def send(port: int) -> None:
        with smtplib.SMTP("localhost", port, timeout=20, source_address=(STRANGER, 0)) as client:
            client.starttls(context=client_tls)
            client.login("ann", "secret")
            client.sendmail("ann@leak.example", ["bob@example.org"], "Subject: x\n\nhi\n")

    async with open_door(tls=server_tls) as door:
        await asyncio.to_thread(send, door.port)
        assert door.intake.submissions[0].identity == ANN


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [
        (f"AUTH PLAIN {GOOD}", 235, "2.7.0"),
        (f"auth plain {plain('ann', 'secret', 'ann')}", 235, "2.7.0"),
        (f"AUTH PLAIN {plain('ann', 'wrong')}", 535, "5.7.8"),  # F04
        (f"AUTH PLAIN {plain('nobody', 'secret')}", 535, "5.7.8"),
        (f"AUTH PLAIN {plain('ann', 'secret', 'eve')}", 535, "5.7.8"),  # F05
        (f"AUTH PLAIN {plain('', '')}", 535, "5.7.8"),
        ("AUTH PLAIN =", 501, "5.5.2"),  # F03
        ("AUTH PLAIN !!!!", 501, "5.5.2"),
        ("AUTH PLAIN YQ", 501, "5.5.2"),
        ("AUTH PLAIN YW5u AAAA", 501, "5.5.2"),
        ("AUTH PLAIN AGFubg==", 501, "5.5.2"),  # one NUL
        (f"AUTH PLAIN {b64encode(b'a' + bytes(3) + b'b').decode()}", 501, "5.5.2"),
        ("AUTH PLAIN AGFubgD/", 501, "5.5.2"),  # not UTF-8
        ("AUTH PLAIN *", 501, "5.7.0"),
        ("AUTH SCRAM-SHA-256", 504, "5.5.4"),
    ],
)
async def test_initial_responses(command: str, code: int, status: str) -> None:
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        answer = await client.ask(command)
        assert (answer.code, answer.status) == (code, status)


async def login(client: RawClient, *lines: str) -> tuple[int, str]:
    """Send an AUTH dialogue; the last reply."""
    for line in lines[:-1]:
        assert (await client.ask(line)).code == 334
    answer = await client.ask(lines[-1])
    return answer.code, answer.status


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("AUTH PLAIN", GOOD), (235, "2.7.0")),
        (("AUTH PLAIN", "*"), (501, "5.7.0")),
        (("AUTH LOGIN", "YW5u", "c2VjcmV0"), (235, "2.7.0")),
        (("auth login YW5u", "c2VjcmV0"), (235, "2.7.0")),
        (("AUTH LOGIN =", "c2VjcmV0"), (535, "5.7.8")),
        (("AUTH LOGIN", "*"), (501, "5.7.0")),
        (("AUTH LOGIN", "YW5u", "*"), (501, "5.7.0")),
        (("AUTH LOGIN", "YW5u", "bad"), (501, "5.5.2")),
        (("AUTH PLAIN", "A" * 12_287), (500, "5.5.6")),  # F03
        (("AUTH PLAIN", b64encode(bytes(1) + b"ann" + bytes(1) + b"x" * 9000).decode()), (535, "5.7.8")),
    ],
)
async def test_dialogues(lines: tuple[str, ...], expected: tuple[int, str]) -> None:
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        assert await login(client, *lines) == expected
        assert (await client.ask("NOOP")).code == 250


async def test_a_command_line_of_12288_octets_is_an_auth_line() -> None:  # F03
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        head = "AUTH PLAIN "
        assert (await client.ask(head + "A" * (12_286 - len(head)))).code == 501
        assert (await client.ask(head + "A" * (12_287 - len(head)))).status == "5.5.6"


async def test_the_store_is_down() -> None:  # F04
    async with open_door() as door, connected(door.port) as client:
        await client.ehlo()
        door.accounts.down = True
        for _ in range(30):
            answer = await client.ask(f"AUTH PLAIN {GOOD}")
            assert (answer.code, answer.status) == (454, "4.7.0")
        door.accounts.down = False
        assert (await client.ask(f"AUTH PLAIN {GOOD}")).code == 235


async def test_guessing_is_throttled_by_address_and_account() -> None:  # S15
    clock = HandClock()
    async with open_door(clock=clock) as door:
        async with connected(door.port) as client:
            await client.ehlo()
            assert (await client.ask(f"AUTH PLAIN {GOOD}")).code == 235
        for _ in range(6):
            async with connected(door.port) as client:
                await client.ehlo()
                for _ in range(5):
                    answer = await client.ask(f"AUTH PLAIN {plain('eve', 'wrong')}")
                    if answer.code == 421:
                        assert await client.ended()
                        break
        assert sum(name == "eve" for name, _ in door.accounts.asked) == 20
        async with connected(door.port) as client:  # who was right before is not locked out by a neighbour
            await client.ehlo()
            assert (await client.ask(f"AUTH PLAIN {GOOD}")).code == 235
        clock.move(3601)
        async with connected(door.port) as client:
            await client.ehlo()
            assert (await client.ask(f"AUTH PLAIN {plain('eve', 'wrong')}")).code == 535
