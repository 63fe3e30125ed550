"""The lab's mail hosts over real sockets and real TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.ids import SeededEntropy
from relay.lab.behaviour import FLAKY, Behaviour, Manner, Step
from relay.lab.hosts import LabHost
from relay.lab.lab import Lab, LabPlan
from tests.support.smtp_talk import Talk

SENDER = "letters@leak.lab.test"
CONTENT = b"From: a@leak.lab.test\r\nSubject: hi\r\n\r\nhello\r\n..dots\r\n"


def talk(lab: Lab, number: int) -> Talk:
    return Talk(f"127.0.1.{number}", lab.smtp_port)


async def test_a_mail_over_tls_is_kept_with_its_story(lab: Lab) -> None:
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    async with talk(lab, 1) as client:
        assert "STARTTLS" in await client.hello()
        await client.start_tls(context, "mx.inbox.lab.test")
        again = await client.say("EHLO mail.leak.lab.test")
        assert "STARTTLS" not in again
        assert "250-PIPELINING" in again
        assert (await client.mail(SENDER, "ok@inbox.lab.test", CONTENT)).startswith("250 2.0.0")
        assert (await client.mail(SENDER, "two@inbox.lab.test", CONTENT)).startswith("250 2.0.0")
        assert (await client.say("QUIT")).startswith("221")
    first = list(lab.inbox.newest_first())[-1].posting
    assert first.content == CONTENT.replace(b"\r\n..", b"\r\n.")
    assert first.recipients == ("ok@inbox.lab.test",)
    assert first.client.tls_version.startswith("TLSv1.")
    assert first.client.name == "mail.leak.lab.test"
    assert first.transcript[0].text == "127.0.0.1 connected"
    assert first.transcript[-1].text == "250 2.0.0 taken"
    second = next(lab.inbox.newest_first()).posting
    assert not any("ok@inbox" in line.text for line in second.transcript)
    assert any("STARTTLS" in line.text for line in second.transcript)


async def test_commands_may_be_pipelined(lab: Lab) -> None:  # D-rows: RFC 2920
    async with talk(lab, 1) as client:
        await client.hello()
        lines = [f"MAIL FROM:<{SENDER}>", "RCPT TO:<unknown@inbox.lab.test>", "RCPT TO:<ok@inbox.lab.test>", "DATA", ""]
        await client.send("\r\n".join(lines).encode())
        assert [(await client.hear())[:3] for _ in range(4)] == ["250", "550", "250", "354"]
        await client.send(CONTENT + b".\r\nQUIT\r\n")
        assert [(await client.hear())[:3] for _ in range(2)] == ["250", "221"]
    assert len(lab.inbox) == 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("MAIL FROM:<> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a", "250"),
        ("MAIL FROM:<a b@x.test>", "553"),
        ("MAIL FROM: a@x.test", "501"),
        ("MAIL TO:<a@x.test>", "501"),
        ("MAIL FROM:<a@x.test> SIZE=99999999999", "552"),
        ("MAIL FROM:<@relay.test:a@x.test>", "250"),
        ("RCPT TO:<a@x.test>", "503"),
        ("DATA", "503"),
        ("NOOP hm", "250"),
        ("VRFY a", "252"),
        ("WHAT", "500"),
        ("\x00\xff", "500"),
    ],
)
async def test_single_commands(lab: Lab, line: str, code: str) -> None:
    async with talk(lab, 1) as client:
        await client.hello()
        assert (await client.say(line)).startswith(code)


async def test_old_knows_helo_only(lab: Lab) -> None:  # A-rows: fall back to HELO
    async with talk(lab, 5) as client:
        assert (await client.hello()).startswith("502")
        assert await client.say("HELO mail.leak.lab.test") == "250 mx.old.lab.test greets 127.0.0.1"
        assert (await client.say("STARTTLS")).startswith("502")
        assert (await client.say(f"MAIL FROM:<{SENDER}> SIZE=10")).startswith("501")
        assert (await client.mail(SENDER, "ok@old.lab.test", CONTENT)) == "250 taken"
    assert len(lab.inbox) == 1


async def test_badtls_shows_another_name(lab: Lab) -> None:  # E-rows
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    async with talk(lab, 6) as client:
        await client.hello()
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.start_tls(context, "mx.badtls.lab.test")
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with talk(lab, 6) as client:
        await client.hello()
        await client.start_tls(context, "mx.badtls.lab.test")
        assert client.tls_version()


async def test_brokentls_closes(lab: Lab) -> None:
    async with talk(lab, 7) as client:
        await client.hello()
        assert (await client.say("STARTTLS")).startswith("220")
        assert await client.hear() == ""


async def test_plaintext_before_the_handshake_ends_the_session(lab: Lab) -> None:  # S-rows: STARTTLS injection
    async with talk(lab, 1) as client:
        await client.hello()
        await client.send(b"STARTTLS\r\nMAIL FROM:<injected@x.test>\r\n")
        assert (await client.hear()).startswith("220")
        assert await client.hear() == ""


async def test_magic_parts_on_the_wire(lab: Lab) -> None:
    async with talk(lab, 1) as client:
        await client.hello()
        assert (await client.mail(SENDER, "full@inbox.lab.test", CONTENT)).startswith("452 4.2.2")
        await client.say("RSET")
        assert (await client.mail(SENDER, "grey+60@inbox.lab.test", CONTENT)).startswith("451 4.7.1")
    for expected in ("421", "250"):
        async with talk(lab, 1) as client:
            await client.hello()
            assert (await client.mail(SENDER, "defer+421x1@inbox.lab.test", CONTENT)).startswith(expected)
            if expected == "421":
                assert await client.hear() == ""


async def test_drop_after_dot_stores_and_says_nothing_once(lab: Lab) -> None:
    for expected in ("", "250 2.0.0 taken"):
        async with talk(lab, 1) as client:
            await client.hello()
            assert await client.mail(SENDER, "drop-after-dot@inbox.lab.test", CONTENT) == expected
    assert [arrival.posting.answered for arrival in lab.inbox.newest_first()] == [True, False]


async def test_slow_is_late_and_still_takes_the_mail(lab: Lab) -> None:
    async with talk(lab, 1) as client:
        await client.hello()
        assert (await client.mail(SENDER, "slow+1@inbox.lab.test", CONTENT)).startswith("250")


async def test_flaky_fails_at_every_phase_in_turn(lab: Lab) -> None:
    outcomes = []
    for _ in FLAKY:
        async with talk(lab, 8) as client:
            outcomes.append(await _try(client))
    expected = []
    for mishap in FLAKY:
        stored = 1 if mishap is None or (mishap.step is Step.DOT and mishap.manner is Manner.RESET) else 0
        expected.append(("250" if mishap is None else "421" if mishap.manner is Manner.CLOSE_421 else "", stored))
    assert [answer for answer, _ in expected] == outcomes
    assert len(lab.inbox) == sum(stored for _, stored in expected)


async def _try(client: Talk) -> str:
    try:
        banner = await client.hear()
        if not banner.startswith("220"):
            return banner[:3]
        hello = await client.say("EHLO x.test")
        return (await client.mail(SENDER, "ok@flaky.lab.test", CONTENT))[:3] if hello else ""
    except ConnectionError:
        return ""


async def test_bare_line_ends_are_refused(lab: Lab) -> None:  # S-rows: smuggling
    async with talk(lab, 1) as client:
        await client.hello()
        for bad in (b"a\n.\n\r\n", b"a\r.\r\n", b"a\n.\r\nMAIL FROM:<x@x.test>\r\n"):
            assert (await client.mail(SENDER, "ok@inbox.lab.test", bad)).startswith("550")
    assert len(lab.inbox) == 0


async def test_an_endless_command_line_is_cut_off(lab: Lab) -> None:  # S26
    async with talk(lab, 1) as client:
        await client.hello()
        await client.send(b"NOOP " + b"x" * 10_000)
        assert (await client.hear()).startswith("421 4.5.2")
        assert await client.hear() == ""


async def test_an_endless_text_line_is_cut_off(lab: Lab) -> None:  # S26
    async with talk(lab, 1) as client:
        await client.hello()
        assert (await client.mail(SENDER, "ok@inbox.lab.test", b"x" * 200_000)).startswith("421 4.5.2")


async def test_a_message_past_the_limit_is_refused_and_the_session_goes_on(tmp_path: Path) -> None:
    small = LabHost(1, "mx.small.lab.test", Behaviour("small", max_size=20_000))
    plan = LabPlan(dns_port=0, http_port=0, smtp_port=0, hosts=(small,), domains=())
    lab = Lab(tmp_path, SystemClock(), SeededEntropy(1), plan)
    await lab.start()
    try:
        async with talk(lab, 1) as client:
            await client.hello()
            line = b"y" * 70 + b"\r\n"
            assert (await client.mail(SENDER, "ok@small.lab.test", line * 900)).startswith("552")
            assert (await client.mail(SENDER, "ok@small.lab.test", line * 200)).startswith("250")
        async with talk(lab, 1) as client:
            await client.hello()
            assert (await client.mail(SENDER, "ok@small.lab.test", line * 5000)).startswith("421")
    finally:
        await lab.stop()
    assert len(lab.inbox) == 1


async def test_twenty_errors_end_the_session(lab: Lab) -> None:
    async with talk(lab, 1) as client:
        await client.hello()
        answers = [await client.say("WHAT") for _ in range(20)]
        assert answers[-2].startswith("500")
        assert answers[-1].startswith("421")


async def test_recipients_are_bounded(lab: Lab) -> None:
    async with talk(lab, 1) as client:
        await client.hello()
        await client.say(f"MAIL FROM:<{SENDER}>")
        await client.send(b"".join(f"RCPT TO:<u{i}@inbox.lab.test>\r\n".encode() for i in range(1001)))
        answers = [await client.hear() for _ in range(1001)]
        assert answers[999].startswith("250")
        assert answers[1000].startswith("452 4.5.3")
