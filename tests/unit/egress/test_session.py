from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import trustme

from relay.egress.contract import StaleSessionError
from relay.mail.address import Address
from relay.mail.envelope import Notify, Recipient, Return
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from tests.support.egress import CONTENT, PATIENT, Dialing, message
from tests.support.scripted_smtp import DEFAULT_EXTENSIONS, Answer, Say, ScriptedSmtp, Step
from tests.support.scripted_smtp import Session as FarSession

PLAIN = tuple(name for name in DEFAULT_EXTENSIONS if name != "PIPELINING")
BOTH = pytest.mark.parametrize("extensions", [DEFAULT_EXTENSIONS, PLAIN], ids=["pipelined", "one-by-one"])


def brief(outcomes: tuple[Outcome, ...]) -> list[tuple[str, str, str, int]]:
    return [(o.result.value, o.scope.value, o.phase.value, o.reply.code) for o in outcomes]


async def test_quoted_local_parts_are_named_as_they_are() -> None:  # A23 A24
    quoted = ['"a b"@example.net', '"a@b"@example.net', '""@example.net', '"Joe\\"Q"@example.net', "Joe.Q@example.net"]
    async with ScriptedSmtp(extensions=("PIPELINING",)) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message(*quoted))
            assert [one.result.value for one in outcomes] == ["delivered"] * len(quoted)
            await session.quit()
    assert far.messages[0].to == quoted
    for address in quoted:
        assert f"RCPT TO:<{address}>\r\n".encode() in far.octets


@BOTH
async def test_a_message_arrives_as_it_was(extensions: tuple[str, ...]) -> None:  # A09 A23
    async with ScriptedSmtp(extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message("Joe.Q@EXAMPLE.net"))
            assert brief(outcomes) == [("delivered", "recipient", "dot", 250)]
            assert session.transactions == 1
            assert session.usable
            await session.quit()
        (taken,) = far.messages
        assert taken.content == CONTENT
        assert taken.to == ["Joe.Q@example.net"]
        assert far.sessions[0].verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
        assert far.octets.replace(b"\r\n", b"").count(b"\n") == 0  # A10


@BOTH
async def test_each_recipient_has_its_own_outcome(extensions: tuple[str, ...]) -> None:  # A17
    script: dict[str, Step] = {"RCPT": ["250 ok", "450 4.2.1 later", "550 5.1.1 no", "299 odd but fine", "599 no"]}
    async with ScriptedSmtp(script, extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message(*(f"r{n}@example.net" for n in range(5))))
            assert brief(outcomes) == [
                ("delivered", "recipient", "dot", 250),
                ("temporary", "recipient", "rcpt", 450),
                ("permanent", "recipient", "rcpt", 550),
                ("delivered", "recipient", "dot", 250),
                ("permanent", "recipient", "rcpt", 599),
            ]
        assert far.messages[0].to == ["r0@example.net", "r3@example.net"]


@BOTH
@pytest.mark.parametrize(
    ("answer", "result"), [("451 4.7.1 later", "temporary"), ("499 x", "temporary"), ("550 no", "permanent")]
)
async def test_a_refused_sender_concerns_the_message(
    answer: str, result: str, extensions: tuple[str, ...]
) -> None:  # A07 A19
    async with ScriptedSmtp({"MAIL": [answer, "250 ok"]}, extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message("a@example.net", "b@example.net"))
            assert brief(outcomes) == [(result, "message", "mail", int(answer[:3]))] * 2
            (outcome,) = await dialing.deliver(session, message())
            assert outcome.result is Result.DELIVERED
        verbs = far.sessions[0].verbs()
        assert verbs[verbs.index("MAIL") + 1 :].index("RSET") < verbs[verbs.index("MAIL") + 1 :].index("MAIL")


async def test_without_pipelining_no_data_when_nobody_was_accepted() -> None:  # A18
    async with ScriptedSmtp({"RCPT": "550 no"}, extensions=PLAIN) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            await dialing.deliver(session, message())
        assert "DATA" not in far.sessions[0].verbs()


@pytest.mark.parametrize("dot", ["554 5.5.1 no valid recipients", "250 taken, whatever it was"])
async def test_nobody_accepted_and_354_gets_a_lone_dot(dot: str) -> None:  # D06
    async with ScriptedSmtp(
        {"RCPT": ["550 5.1.1 no", "550 5.1.1 no", "250 ok"], "DATA": "354 go", "DOT": [dot, "250 ok"]}
    ) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message("a@example.net", "b@example.net"))
            assert brief(outcomes) == [("permanent", "recipient", "rcpt", 550)] * 2
            assert brief(await dialing.deliver(session, message())) == [("delivered", "recipient", "dot", 250)]
        assert far.messages[-1].content == CONTENT
        assert all(m.content in {b"", CONTENT} for m in far.messages)


@BOTH
@pytest.mark.parametrize(("enough", "rounds"), [("452 4.5.3 too many", 4), ("452 too many", 4), ("552 too many", 4)])
async def test_recipients_over_the_limit_follow_at_once(
    enough: str, rounds: int, extensions: tuple[str, ...]
) -> None:  # A14
    def ten(session: FarSession, _: str) -> Answer:
        return "250 ok" if len(session.recipients) < 10 else enough

    async with ScriptedSmtp({"RCPT": ten}, extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message(*(f"r{n}@example.net" for n in range(37))))
            assert brief(outcomes) == [("delivered", "recipient", "dot", 250)] * 37
            assert session.transactions == 1
        assert [len(m.to) for m in far.messages] == [10, 10, 10, 7]
        assert len(far.messages) == rounds
        assert sorted(to for m in far.messages for to in m.to) == sorted(f"r{n}@example.net" for n in range(37))


@pytest.mark.parametrize("answer", ["452 4.2.2 mailbox full", "452 4.3.1 disk full"])
async def test_a_full_mailbox_is_not_too_many(answer: str) -> None:  # A14
    async with ScriptedSmtp({"RCPT": ["250 ok", answer]}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message("a@example.net", "b@example.net"))
            assert brief(outcomes)[1] == ("temporary", "recipient", "rcpt", 452)
        assert len(far.messages) == 1


async def test_a_limit_below_one_is_an_answer() -> None:  # A14
    async with ScriptedSmtp({"RCPT": "552 full"}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert brief(await dialing.deliver(session, message())) == [("permanent", "recipient", "rcpt", 552)]


@BOTH
@pytest.mark.parametrize(
    ("answer", "expected", "usable"),
    [
        ("451 4.3.0 later", ("temporary", "message", "data", 451), True),
        ("554 5.7.1 no", ("permanent", "message", "data", 554), True),
        ("250 what?", ("temporary", "host", "data", 451), False),
        ("399 what?", ("temporary", "host", "data", 451), False),
        ("421 bye", ("temporary", "host", "data", 421), False),
    ],
)
async def test_data_needs_exactly_354(  # A07
    answer: str, expected: tuple[str, str, str, int], usable: bool, extensions: tuple[str, ...]
) -> None:
    async with ScriptedSmtp({"DATA": answer}, extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert brief(await dialing.deliver(session, message())) == [expected]
            assert session.usable is usable
        assert far.messages == []


@pytest.mark.parametrize(
    ("answer", "expected", "usable"),
    [
        ("550 5.7.1 spam", ("permanent", "message", "dot", 550), True),
        ("451 4.3.0 later", ("temporary", "message", "dot", 451), True),
        ("421 4.3.2 bye", ("temporary", "host", "dot", 421), False),
        (Say(None, then="close"), ("unknown", "message", "dot", 451), False),
        (Say(None, then="reset"), ("unknown", "message", "dot", 451), False),
        (Say("354 what?"), ("unknown", "message", "dot", 451), False),
        (Say("hello"), ("unknown", "message", "dot", 451), False),
        (Say("250 ok", then="close"), ("delivered", "recipient", "dot", 250), None),
    ],
)
async def test_the_answer_to_the_dot(  # A16 A21
    answer: Answer, expected: tuple[str, str, str, int], usable: bool | None
) -> None:
    async with ScriptedSmtp({"DOT": answer}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message("a@example.net", "b@example.net"))
            assert brief(outcomes) == [expected] * 2
            assert usable is None or session.usable is usable


async def test_silence_after_the_dot_is_unknown() -> None:  # A15 A16
    async with ScriptedSmtp({"DOT": Say(None)}) as far:
        dialing = Dialing(far, timeouts=replace(PATIENT, dot=0.1))
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert (outcome.result, outcome.decided_by) == (Result.UNKNOWN, DecidedBy.NETWORK)
            assert not session.usable


@BOTH
@pytest.mark.parametrize("phase", ["mail", "rcpt", "data"])
async def test_silence_before_the_dot_is_temporary_and_names_the_phase(
    phase: str, extensions: tuple[str, ...]
) -> None:  # A15
    script: dict[str, Step] = {
        phase.upper(): Say(None, then="close") if extensions is DEFAULT_EXTENSIONS else Say(None)
    }
    async with ScriptedSmtp(script, extensions=extensions) as far:
        dialing = Dialing(far, timeouts=replace(PATIENT, **{phase: 0.1}))
        async with dialing.session() as session:
            assert brief(await dialing.deliver(session, message())) == [("temporary", "host", phase, 451)]
            assert not session.usable


async def test_421_keeps_what_was_decided_before() -> None:  # A21
    async with ScriptedSmtp({"RCPT": ["550 5.1.1 no", "250 ok", "421 4.3.2 bye"]}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message("a@example.net", "b@example.net", "c@example.net"))
            assert brief(outcomes) == [
                ("permanent", "recipient", "rcpt", 550),
                ("temporary", "host", "rcpt", 421),
                ("temporary", "host", "rcpt", 421),
            ]
            assert not session.usable


@pytest.mark.parametrize("last", [Say("250 ok", then="close"), Say("250 ok\n421 4.4.2 idle")])
async def test_a_reused_session_that_was_closed_is_no_attempt(last: Say) -> None:  # A21
    async with ScriptedSmtp({"DOT": last}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert (await dialing.deliver(session, message()))[0].result is Result.DELIVERED
            await asyncio.sleep(0.05)
            assert not session.usable
            with pytest.raises(StaleSessionError):
                await dialing.deliver(session, message())


@pytest.mark.parametrize("second", ["421 4.7.0 enough", Say(None, then="close")])
async def test_a_reused_session_that_ends_at_mail_is_no_attempt_either(second: Answer) -> None:  # A21
    async with ScriptedSmtp({"MAIL": ["250 ok", second]}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert (await dialing.deliver(session, message()))[0].result is Result.DELIVERED
            with pytest.raises(StaleSessionError):
                await dialing.deliver(session, message())
            assert not session.usable


async def test_a_fresh_session_that_was_closed_is_an_outcome() -> None:
    async with ScriptedSmtp({"MAIL": "421 4.7.0 enough"}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert brief(await dialing.deliver(session, message())) == [("temporary", "host", "mail", 421)]


async def test_a_surplus_answer_is_not_credited_to_the_next_message() -> None:  # A22
    async with ScriptedSmtp({"DOT": "250 ok\n250 ok"}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert (await dialing.deliver(session, message()))[0].result is Result.DELIVERED
            assert not session.usable


async def test_an_answer_before_the_content_is_no_delivery() -> None:  # A22
    async with ScriptedSmtp({"DATA": "354 go\n250 taken"}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert (outcome.result, outcome.scope, outcome.reply.status) == (Result.TEMPORARY, Scope.HOST, "4.5.0")


@BOTH
async def test_a_lost_lease_delivers_nothing(extensions: tuple[str, ...]) -> None:
    async with ScriptedSmtp({"RCPT": ["550 no", "250 ok"]}, extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(
                session, message("a@example.net", "b@example.net", may_finish=lambda: False)
            )
            assert brief(outcomes) == [("permanent", "recipient", "rcpt", 550), ("temporary", "message", "data", 451)]
            assert not session.usable
        await asyncio.sleep(0.05)
        assert far.messages == []
        assert CONTENT[:5] not in far.octets


@pytest.mark.parametrize("size", [3_000, 3_000_000])
async def test_a_bare_line_end_never_leaves(size: int) -> None:  # S02 A10
    async with ScriptedSmtp() as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            content = b"A: b\r\n\r\n" + b"x\r\n" * (size // 3) + b"\n.\r\nMAIL FROM:<evil@example.org>\r\n"
            outcomes = await dialing.deliver(session, message(content=content))
            assert [(o.result, o.scope, o.reply.status) for o in outcomes] == [
                (Result.PERMANENT, Scope.MESSAGE, "5.6.0")
            ]
        await asyncio.sleep(0.05)
        assert far.messages == []
        assert b"\n" not in far.octets.replace(b"\r\n", b"")


async def test_a_large_content_goes_out_under_back_pressure() -> None:  # D07
    content = [b"A: b\r\n\r\n", b".line of a large letter\r\n" * 200_000]
    async with ScriptedSmtp(receive_buffer=8192) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert brief(await dialing.deliver(session, message(content=content)))[0][0] == "delivered"
        assert far.messages[0].content == b"".join(content)


async def test_two_thousand_recipients_do_not_deadlock() -> None:  # D07
    async with ScriptedSmtp({"RCPT": "250 2.1.5 " + "x" * 100}, receive_buffer=4096) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            outcomes = await dialing.deliver(session, message(*(f"r{n}@example.net" for n in range(2000))))
            assert {o.result for o in outcomes} == {Result.DELIVERED}
        assert len(far.messages[0].to) == 2000


class _EarlyRefuser(asyncio.Protocol):
    """Answers the content after its first octets, as hosts do that see a virus or their limit."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]
        self._write(b"220 hello\r\n")

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"EHLO"):
            self._write(b"250-far\r\n250 PIPELINING\r\n")
        elif data.startswith(b"MAIL"):
            self._write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        elif self._answer:
            self._write(self._answer)
            self._answer = b""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"552 5.3.4 too large\r\n", ("permanent", "message", "dot", 552)),
        (b"250 thank you\r\n", ("temporary", "host", "data", 451)),
    ],
)
async def test_an_answer_in_the_middle_of_the_content(answer: bytes, expected: tuple[str, str, str, int]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _EarlyRefuser(answer), "127.0.0.1", 0)
    far = ScriptedSmtp()
    far.port = server.sockets[0].getsockname()[1]
    dialing = Dialing(far)
    async with dialing.session() as session:
        assert brief(await dialing.deliver(session, message(content=b"x" * 70 + b"\r\n" + b"y\r\n" * 10_000_000))) == [
            expected
        ]
        assert not session.usable
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("extensions", "content", "sender", "status"),
    [
        (("SIZE 1000",), b"x\r\n" * 1000, "s@example.org", "5.3.4"),  # D04
        ((), b"\r\n\xe9\r\n", "s@example.org", "5.6.3"),  # D13
        (("8BITMIME",), b"A: \xc3\xa9\r\n\r\n", "s@example.org", "5.6.7"),  # D16 D19
        (("8BITMIME",), b"\r\n", "é@example.org", "5.6.7"),  # D16
    ],
)
async def test_what_a_host_cannot_take_is_not_begun(
    extensions: tuple[str, ...], content: bytes, sender: str, status: str
) -> None:
    async with ScriptedSmtp(extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message(content=content, sender=sender))
            assert (outcome.result, outcome.scope, outcome.phase) == (Result.PERMANENT, Scope.MESSAGE, Phase.MAIL)
            assert (outcome.decided_by, outcome.reply.status) == (DecidedBy.RELAY, status)
            assert session.usable
        assert far.sessions[0].verbs() == ["EHLO"]


async def test_parameters_go_only_where_they_are_offered() -> None:  # D04 D14 D15
    recipient = Recipient(Address("é", "example.net"), Notify.FAILURE, "rfc822;a@example.net")
    transaction = message(
        recipient, "b@example.net", content=b"A: b\r\n\r\nt\xc3\xa9\r\n", ret=Return.HEADERS, envid="a b"
    )
    async with ScriptedSmtp() as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            await dialing.deliver(session, transaction)
        _, mail, rcpt, other, *_ = far.sessions[0].commands
        assert (
            mail
            == f"MAIL FROM:<sender@example.org> SIZE={transaction.size} BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+20b"
        )
        assert rcpt == "RCPT TO:<é@example.net> NOTIFY=FAILURE ORCPT=rfc822;a@example.net"
        assert other == "RCPT TO:<b@example.net>"


async def test_the_null_path_is_sent_as_such() -> None:
    async with ScriptedSmtp(extensions=()) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            await dialing.deliver(session, message(sender=""))
        assert far.messages[0].mail == "MAIL FROM:<>"


@pytest.mark.parametrize("local", ["a\r\nRSET", "a>\r\nDATA", "a\x00b", "a\x7fb", "a\x1bb"])
async def test_no_address_can_inject_a_command(local: str) -> None:  # S07
    async with ScriptedSmtp() as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            # The parser would never make such an address; the writer is the second wall.
            (outcome,) = await dialing.deliver(session, message(Recipient(Address(local, "example.net"))))
            assert outcome.result is Result.PERMANENT
        assert far.sessions[0].verbs() == ["EHLO"]


@BOTH
async def test_neither_outcome_nor_transcript_names_the_recipient(extensions: tuple[str, ...]) -> None:
    script: dict[str, Step] = {"RCPT": "550-5.1.1 <ANN@example.NET>:\n550 5.1.1 no ann@example.net here"}
    async with ScriptedSmtp(script, extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            recipient = Recipient(Address("ann", "example.net"), orcpt="rfc822;ann@example.net")
            (outcome,) = await dialing.deliver(session, message(recipient, sender="token@bounces.example.org"))
            assert outcome.reply.lines == ("5.1.1 <recipient>:", "5.1.1 no <recipient> here")
        said = "\n".join(dialing.said())
        assert "ann@" not in said.lower()
        assert "token@" not in said
        assert "we: MAIL FROM:<…@bounces.example.org>" in said
        assert "we: RCPT TO:<recipient>" in said
        assert "A line." not in said


async def test_the_result_never_waits_for_quit() -> None:  # A20
    async with ScriptedSmtp({"QUIT": Say(None)}) as far:
        dialing = Dialing(far, timeouts=replace(PATIENT, quit=0.1))
        async with dialing.session() as session:
            assert (await dialing.deliver(session, message()))[0].result is Result.DELIVERED
            await session.quit()
            assert not session.usable


async def test_a_cancelled_transaction_closes_its_session() -> None:
    async with ScriptedSmtp({"DOT": Say("250 ok", delay=30)}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            sending = asyncio.create_task(dialing.deliver(session, message()))
            await asyncio.sleep(0.05)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert not session.usable


def test_the_same_on_the_loop_of_the_standard_library() -> None:
    async def run() -> None:
        async with ScriptedSmtp({"RCPT": ["250 ok", "550 no", "250 ok"]}, tls=trustme.CA()) as far:
            dialing = Dialing(far)
            async with dialing.session() as session:
                outcomes = await dialing.deliver(session, message("a@example.net", "b@example.net"))
                assert [o.result for o in outcomes] == [Result.DELIVERED, Result.PERMANENT]
                large = message(content=b"A: b\r\n\r\n" + b"line\r\n" * 200_000)
                assert (await dialing.deliver(session, large))[0].result is Result.DELIVERED
                await session.quit()
        async with ScriptedSmtp({"STARTTLS": Say("220 go\n250 x", then="tls")}, tls=trustme.CA()) as far:
            assert (await Dialing(far).refusal()).phase is Phase.STARTTLS  # S04
        silent = ScriptedSmtp({"STARTTLS": Say("220 go", then="close")}, tls=trustme.CA())
        async with silent as far, Dialing(far).session() as session:  # E05
            assert session.tls is None

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())


CHUNKS = (*DEFAULT_EXTENSIONS, "CHUNKING", "BINARYMIME")


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_chunk_has_the_content_as_it_is_and_is_never_mixed_with_data(pipelining: bool) -> None:
    # D10, D11, RFC 3030: exact octets, no dot processing; BINARYMIME is never declared
    extensions = CHUNKS if pipelining else CHUNKS[1:]
    bodies = [b".\r\n..\r\n.x\r\n", b"no end of line", b"", b"line\r\n" * 100_000, b"line\r\n" * 100_000 + b"no end"]
    async with ScriptedSmtp(extensions=extensions) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            for body in bodies:
                content = b"Subject: x\r\n\r\n" + body
                (outcome,) = await dialing.deliver(session, message(content=content))
                assert outcome.result is Result.DELIVERED
        (seen,) = far.sessions
        assert seen.verbs().count("BDAT") == len(bodies)
        assert "DATA" not in seen.verbs()
        assert "BINARYMIME" not in " ".join(seen.commands)
        ended = [body if body.endswith(b"\n") or not body else body + b"\r\n" for body in bodies]
        assert [one.content for one in far.messages] == [b"Subject: x\r\n\r\n" + body for body in ended]


async def test_no_chunk_leaves_without_recipients_or_lease_or_with_a_bare_line_end() -> None:
    # A18, D06, S02: BDAT needs no go-ahead, so the guards stand before it
    async with ScriptedSmtp({"RCPT": ["550 no", "250 ok", "250 ok", "250 ok"]}, extensions=CHUNKS) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            (refused,) = await dialing.deliver(session, message())
            assert refused.phase is Phase.RCPT
            (bare,) = await dialing.deliver(session, message(content=b"Subject: x\r\n\r\na\nb\r\n"))
            assert bare.result is Result.PERMANENT
        async with dialing.session() as session:
            (lost,) = await dialing.deliver(session, message(may_finish=lambda: False))
            assert lost.decided_by is DecidedBy.RELAY
        assert far.messages == []
        assert b"BDAT" not in far.octets


async def test_the_answer_to_a_chunk_is_the_answer_to_the_message() -> None:  # A16, A17, D10
    script: dict[str, list[str | Say]] = {"DOT": ["552 5.3.4 too big", "250 ok", Say("", then="reset")]}
    async with ScriptedSmtp(script, extensions=CHUNKS) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            (refused,) = await dialing.deliver(session, message())
            assert (refused.result, refused.phase) == (Result.PERMANENT, Phase.DOT)
            (taken,) = await dialing.deliver(session, message())
            assert taken.result is Result.DELIVERED
            (unknown,) = await dialing.deliver(session, message())
            assert unknown.result is Result.UNKNOWN
        assert far.sessions[0].verbs().count("RSET") == 1


async def test_tls_that_ends_inside_a_chunk_ends_the_session_and_delivers_nothing() -> None:  # S06
    authority = trustme.CA()
    async with ScriptedSmtp({"CHUNK": Say("", then="close")}, extensions=CHUNKS, tls=authority) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            assert session.tls is not None
            (broken,) = await dialing.deliver(session, message(content=b"A: b\r\n\r\n" + b"line\r\n" * 500_000))
            assert broken.result in {Result.TEMPORARY, Result.UNKNOWN}
            with pytest.raises(StaleSessionError):
                await dialing.deliver(session, message())
        assert far.messages == []
        assert len(far.sessions) == 1
        assert far.sessions[0].verbs()[-1] == "BDAT", "nothing follows, in clear or not"


async def test_chunking_can_be_turned_off() -> None:
    async with ScriptedSmtp(extensions=CHUNKS) as far:
        dialing = Dialing(far)
        dialing.dialer._chunking = False
        async with dialing.session() as session:
            await dialing.deliver(session, message())
        assert "DATA" in far.sessions[0].verbs()
