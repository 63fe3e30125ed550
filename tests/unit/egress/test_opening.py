from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
import trustme

from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.tls import TlsDemand
from relay.policy.way import Source
from tests.support.egress import PATIENT, Dialing, message
from tests.support.scripted_smtp import Answer, Say, ScriptedSmtp, Session

SHORT = PATIENT.scaled(0.02)


def verdict(outcome: Outcome) -> tuple[Result, Scope, Phase, DecidedBy, int, str]:
    return (
        outcome.result,
        outcome.scope,
        outcome.phase,
        outcome.decided_by,
        outcome.reply.code,
        outcome.reply.status,
    )


async def test_nothing_is_said_before_the_greeting() -> None:  # A01
    heard: list[int] = []

    def banner(session: Session, _: str) -> Answer:
        asyncio.get_running_loop().call_later(0.15, lambda: heard.append(len(session.received)))
        return Say("220-far.test\n220 ESMTP", delay=0.2)

    async with ScriptedSmtp({"banner": banner}) as far, Dialing(far).session():
        assert heard == [0]
        assert far.sessions[0].commands == ["EHLO out.example.org"]


@pytest.mark.parametrize(
    ("banner", "result", "code", "said"),
    [
        ("554 5.7.1 no", Result.PERMANENT, 554, ["QUIT"]),
        ("521 no", Result.PERMANENT, 521, ["QUIT"]),
        ("450 4.7.0 busy", Result.TEMPORARY, 450, ["QUIT"]),
        ("421 4.3.2 busy", Result.TEMPORARY, 421, []),
    ],
)
async def test_a_greeting_that_refuses_is_the_hosts(
    banner: str, result: Result, code: int, said: list[str]
) -> None:  # A02
    async with ScriptedSmtp({"banner": banner}) as far:
        outcome = await Dialing(far).refusal()
        assert (outcome.result, outcome.scope, outcome.phase) == (result, Scope.HOST, Phase.BANNER)
        assert outcome.reply.code == code
        assert outcome.host is not None
        assert outcome.host.address == "127.0.0.1"
        await asyncio.sleep(0.05)
        assert far.sessions[0].commands == said


@pytest.mark.parametrize(
    ("code", "helo"), [(500, True), (502, True), (504, True), (550, True), (554, False), (451, False)]
)
async def test_helo_only_where_ehlo_is_unknown(code: int, helo: bool) -> None:  # A03
    async with ScriptedSmtp({"EHLO": f"{code} what?"}) as far:
        opened = await Dialing(far).dial()
        assert ("HELO out.example.org" in far.sessions[0].commands) is helo
        assert isinstance(opened, Outcome) is not helo
        if isinstance(opened, Outcome):
            assert (opened.scope, opened.phase, opened.reply.code) == (Scope.HOST, Phase.EHLO, code)
        else:
            opened.abort()


@pytest.mark.parametrize("answer", ["421 4.3.2 bye", Say(None, then="close"), Say(None, then="reset")])
async def test_no_helo_after_421_or_a_drop(answer: Answer) -> None:  # A03 A21
    async with ScriptedSmtp({"EHLO": answer}) as far:
        outcome = await Dialing(far).refusal()
        assert (outcome.result, outcome.scope, outcome.phase) == (Result.TEMPORARY, Scope.HOST, Phase.EHLO)
        assert far.sessions[0].verbs() == ["EHLO"]


async def test_after_helo_no_extension_is_used() -> None:  # A04
    async with ScriptedSmtp({"EHLO": "502 no", "HELO": "250-far\n250-PIPELINING\n250-SIZE 10\n250 STARTTLS"}) as far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert outcome.result is Result.DELIVERED
            (outcome,) = await dialing.deliver(session, message(content=b"\r\n\xc3\xa9\r\n"))
            assert verdict(outcome)[0] is Result.PERMANENT
            assert outcome.reply.status == "5.6.3"
        assert far.sessions[0].commands[2] == "MAIL FROM:<sender@example.org>"


@pytest.mark.parametrize(("step", "phase"), [("banner", Phase.BANNER), ("EHLO", Phase.EHLO)])
async def test_time_outs_name_their_phase(step: str, phase: Phase) -> None:  # A15
    async with ScriptedSmtp({step: Say(None)}) as far:
        outcome = await Dialing(far, timeouts=SHORT).refusal()
        assert verdict(outcome) == (Result.TEMPORARY, Scope.HOST, phase, DecidedBy.NETWORK, 451, "4.4.2")
        assert phase.value in outcome.reply.text


async def test_two_greetings_are_one_too_many() -> None:  # A22
    async with ScriptedSmtp({"banner": "220 far\n250 surprise"}) as far:
        outcome = await Dialing(far).refusal()
        assert (outcome.result, outcome.scope, outcome.reply.status) == (Result.TEMPORARY, Scope.HOST, "4.5.0")
        assert far.sessions[0].commands == []


async def test_a_refused_connection_is_the_hosts() -> None:
    far = ScriptedSmtp()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        far.port = taken.getsockname()[1]
        outcome = await Dialing(far).refusal()
    assert verdict(outcome) == (Result.TEMPORARY, Scope.HOST, Phase.CONNECT, DecidedBy.NETWORK, 451, "4.4.1")


async def test_a_host_that_does_not_answer_costs_the_connect_time_out() -> None:  # A15
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        far = ScriptedSmtp()
        far.port = full.getsockname()[1]
        outcome = await Dialing(far, timeouts=replace(PATIENT, connect=0.1)).refusal()
        for filler in fillers:
            filler.close()
    assert verdict(outcome) == (Result.TEMPORARY, Scope.HOST, Phase.CONNECT, DecidedBy.NETWORK, 451, "4.4.1")


async def test_the_source_address_is_bound_and_its_name_said() -> None:  # A05
    async with ScriptedSmtp() as far, Dialing(far, source=Source("nine", "127.0.0.9", "nine.example.org")).session():
        assert far.sessions[0].peer[0] == "127.0.0.9"
        assert far.sessions[0].commands == ["EHLO nine.example.org"]


@pytest.mark.parametrize("address", ["192.0.2.77", "::1"])
async def test_a_source_that_cannot_be_used_is_not_the_hosts_fault(address: str) -> None:
    async with ScriptedSmtp() as far:
        outcome = await Dialing(far, source=Source("bad", address, "x.example.org")).refusal()
        assert (outcome.result, outcome.scope, outcome.phase) == (Result.TEMPORARY, Scope.SOURCE, Phase.CONNECT)
        assert far.sessions == []


async def test_starttls_is_used_where_offered_and_the_certificate_judged() -> None:  # E01 E09 E11
    authority = trustme.CA()
    async with ScriptedSmtp(tls=authority) as far:
        dialing = Dialing(far, authority=authority)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert outcome.result is Result.DELIVERED
            assert session.tls is not None
            assert (session.tls.protocol, session.tls.verified, session.tls.error) == ("TLSv1.3", True, "")
            assert outcome.tls == session.tls
        assert far.sessions[0].encrypted
        assert far.sessions[0].server_name == "localhost"
        assert any("certificate verified" in line for line in dialing.said())


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_bad_certificate_strands_no_letter(trusted: bool) -> None:  # E05 E09
    authority = trustme.CA()
    async with ScriptedSmtp(tls=authority, tls_names=("localhost",) if not trusted else ("other.test",)) as far:
        dialing = Dialing(far, authority=authority if trusted else trustme.CA())
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert outcome.result is Result.DELIVERED
            assert session.tls is not None
            assert not session.tls.verified
            assert session.tls.error


async def test_what_was_offered_in_clear_is_forgotten() -> None:  # E02 D05
    authority = trustme.CA()
    far = ScriptedSmtp(tls=authority, extensions=(), extensions_clear=("PIPELINING", "SIZE 10", "SMTPUTF8"))
    async with far:
        dialing = Dialing(far)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert outcome.result is Result.DELIVERED, "the limit of 10 octets is not valid any more"
        assert far.sessions[0].commands[:4] == [
            "EHLO out.example.org",
            "STARTTLS",
            "EHLO out.example.org",
            "MAIL FROM:<sender@example.org>",
        ]


@pytest.mark.parametrize("surplus", ["\n250-AUTH PLAIN\n250 SIZE 1", "\n250 AU", "\n250-x"])
@pytest.mark.parametrize("whole", [True, False])
async def test_octets_behind_the_220_end_the_session(surplus: str, whole: bool) -> None:  # E03 S04
    octets = ("220 go" + surplus).replace("\n", "\r\n").encode() + (b"\r\n" if whole else b"")
    async with ScriptedSmtp({"STARTTLS": Say(octets, then="tls")}, tls=trustme.CA()) as far:
        outcome = await Dialing(far).refusal()
        assert verdict(outcome) == (Result.TEMPORARY, Scope.HOST, Phase.STARTTLS, DecidedBy.RELAY, 451, "4.5.0")
        assert len(far.sessions) == 1, "no second connection in clear"
        assert "SIZE" not in far.octets.decode()


@pytest.mark.parametrize(
    "starttls",
    [
        "454 4.7.0 not now",
        "502 5.5.1 no",
        Say(None),
        Say(None, then="close"),
        Say("220 go", then="close"),
        Say("220 go", then="go on"),
        Say("220 go", then="reset"),
    ],
)
async def test_failed_tls_gets_one_try_in_clear_and_is_remembered(starttls: Answer) -> None:  # E05
    async with ScriptedSmtp({"STARTTLS": starttls}, tls=trustme.CA()) as far:
        dialing = Dialing(far, timeouts=replace(PATIENT, handshake=0.3, starttls=0.3))
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert outcome.result is Result.DELIVERED
            assert session.tls is None
            assert outcome.tls is not None
            assert outcome.tls.error
        assert len(far.sessions) == 2
        async with dialing.session():
            pass
        assert [s.verbs().count("STARTTLS") for s in far.sessions] == [1, 0, 0]


@pytest.mark.parametrize("demand", [TlsDemand.ENCRYPT, TlsDemand.VERIFY, TlsDemand.STS])
@pytest.mark.parametrize("starttls", ["454 4.7.0 not now", Say("220 go", then="close")])
async def test_a_policy_never_falls_back(demand: TlsDemand, starttls: Answer) -> None:  # E06
    async with ScriptedSmtp({"STARTTLS": starttls}, tls=trustme.CA()) as far:
        outcome = await Dialing(far, demand=demand).refusal()
        assert (outcome.result, outcome.scope, outcome.reply.status) == (Result.TEMPORARY, Scope.HOST, "4.7.10")
        assert len(far.sessions) == 1


async def test_demands_are_met_or_defer() -> None:  # E06
    authority = trustme.CA()
    async with ScriptedSmtp() as plain:
        assert (await Dialing(plain, demand=TlsDemand.ENCRYPT).refusal()).phase is Phase.STARTTLS
    async with ScriptedSmtp(tls=authority) as far:
        async with Dialing(far, demand=TlsDemand.ENCRYPT).session() as session:
            assert session.tls is not None
        async with Dialing(far, demand=TlsDemand.VERIFY, authority=authority).session() as session:
            assert session.tls is not None
        outcome = await Dialing(far, demand=TlsDemand.VERIFY).refusal()
        assert (outcome.phase, outcome.reply.status) == (Phase.TLS, "4.7.10")
        async with Dialing(far, demand=TlsDemand.NONE).session() as session:
            assert session.tls is None


async def test_a_session_in_clear_says_what_was_demanded() -> None:  # E11
    async with ScriptedSmtp() as plain:
        dialing = Dialing(plain)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert session.tls is None
            assert session.candidate == dialing.candidate
    assert outcome.tls is not None
    assert (outcome.tls.protocol, outcome.tls.demand) == ("", "may")
    assert (outcome.tls.failure, outcome.tls.policy) == ("starttls-not-supported", "no-policy-found")
    async with ScriptedSmtp() as plain:
        dialing = Dialing(plain, demand=TlsDemand.NONE)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
    assert outcome.tls is not None
    assert (outcome.tls.demand, outcome.tls.error, outcome.tls.failure) == ("none", "", "")


async def test_what_one_demand_learned_of_a_broken_host_spares_no_other() -> None:  # E05 E06
    async with ScriptedSmtp({"STARTTLS": "454 4.7.0 not now"}, tls=trustme.CA()) as far:
        dialing = Dialing(far)
        async with dialing.session():
            pass
        dialing.demand = TlsDemand.ENCRYPT
        assert (await dialing.refusal()).reply.status == "4.7.10"
        assert [s.verbs().count("STARTTLS") for s in far.sessions] == [1, 0, 1]
