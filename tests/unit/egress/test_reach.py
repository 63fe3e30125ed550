from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.egress.reach import FAMILY_FAILURES, REMEMBER, ReachMemory
from relay.policy.outcome import Outcome
from relay.policy.route import Candidate
from relay.smtp.transcript import Transcript
from tests.support.egress import CLOCK, PATIENT, SOURCE
from tests.support.hand_clock import HandClock
from tests.support.scripted_smtp import ScriptedSmtp


def test_a_silent_address_comes_later_for_a_while() -> None:  # B07
    clock = HandClock()
    memory = ReachMemory(clock)
    memory.silent("2001:db8::1")
    assert memory.late("2001:db8::1")
    assert not memory.late("2001:db8::2")
    assert not memory.late("192.0.2.1")
    clock.move(REMEMBER + 1)
    assert not memory.late("2001:db8::1")


def test_a_family_in_which_nobody_answers_comes_later_as_a_whole() -> None:  # B07
    clock = HandClock()
    memory = ReachMemory(clock)
    for n in range(FAMILY_FAILURES):
        assert not memory.late("2001:db8::ffff")
        memory.silent(f"2001:db8::{n}")
    assert memory.late("2001:db8::ffff")
    assert not memory.late("192.0.2.1")
    memory.answered("2001:db8::ffff")
    assert not memory.late("2001:db8::fffe"), "somebody answered: the family lives"


def test_one_dead_host_is_no_dead_family() -> None:  # B07
    memory = ReachMemory(HandClock())
    for _ in range(50):
        memory.silent("2001:db8::1")
    assert not memory.late("2001:db8::2")


def test_memory_is_bounded() -> None:
    memory = ReachMemory(HandClock())
    for n in range(10_050):
        memory.silent(f"192.0.2.{n}")
    assert len(memory._silent) == 10_000


async def test_the_dialer_tells_silence_from_refusal() -> None:  # B07
    memory = ReachMemory(CLOCK)
    patience = replace(PATIENT, connect=0.1)
    dialer = SmtpDialer(TlsMeans(client_context(), TrustAnchors(())), timeouts=patience, clock=CLOCK, reach=memory)

    async def dial(address: str, port: int) -> object:
        candidate = Candidate("mx.example.org", address, port)
        return await dialer.dial(candidate, SOURCE, Transcript(CLOCK.monotonic(), []))

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        assert isinstance(await dial(*full.getsockname()), Outcome)
        for filler in fillers:
            filler.close()
    assert memory.late("127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))
        assert isinstance(await dial(*closed.getsockname()), Outcome)
    assert not memory.late("127.0.0.2"), "a refusal is an answer"
    async with ScriptedSmtp() as far:
        session = await dial("127.0.0.1", far.port)
        assert not isinstance(session, Outcome)
        session.abort()  # type: ignore[attr-defined]
    assert not memory.late("127.0.0.1")


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_answer_takes_it_back(address: str) -> None:
    memory = ReachMemory(HandClock())
    memory.silent(address)
    memory.answered(address)
    assert not memory.late(address)
