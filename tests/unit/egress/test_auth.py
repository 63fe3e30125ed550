from __future__ import annotations

from base64 import b64decode

import pytest
import trustme

from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.route import Candidate, Login
from relay.policy.tls import TlsDemand
from tests.support.egress import PATIENT, Dialing, message
from tests.support.scripted_smtp import Answer, Say, ScriptedSmtp, Session

LOGIN = Login("relay@example.org", "pass word é")
BOTH = ("PIPELINING", "8BITMIME", "AUTH CRAM-MD5 LOGIN PLAIN")


def taking(_: Session, line: str) -> Answer:
    """A far side that wants user and password in two answers, or both at once."""
    return "334 VXNlcm5hbWU6" if line == "AUTH LOGIN" else "235 2.7.0 welcome"


def secrets_in(dialing: Dialing) -> bool:
    return any(word in " ".join(dialing.said()) for word in ("cGFzcw", "pass word", "AHJlbGF5"))


async def test_plain_in_one_round_and_only_inside_tls() -> None:  # S05 E02
    authority = trustme.CA()
    far = ScriptedSmtp({"AUTH": taking}, tls=authority, extensions=BOTH, extensions_clear=("AUTH PLAIN",))
    async with far:
        dialing = Dialing(far, authority=authority, demand=TlsDemand.VERIFY, login=LOGIN)
        async with dialing.session() as session:
            (outcome,) = await dialing.deliver(session, message())
            assert outcome.result is Result.DELIVERED
        said = far.sessions[0].commands
        assert said[:3] == ["EHLO out.example.org", "STARTTLS", "EHLO out.example.org"]
        assert b64decode(said[3].removeprefix("AUTH PLAIN ")).decode() == "\0relay@example.org\0pass word é"
        assert "we: AUTH PLAIN …" in dialing.said()
        assert not secrets_in(dialing)


async def test_login_where_nothing_better_is_offered() -> None:
    prompts = iter(["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"])
    script = {"AUTH": lambda *_: next(prompts), "*": lambda *_: next(prompts)}
    async with ScriptedSmtp(script, tls=trustme.CA(), extensions=("AUTH LOGIN",)) as far:
        dialing = Dialing(far, demand=TlsDemand.ENCRYPT, login=LOGIN)
        async with dialing.session():
            pass
        assert [b64decode(line).decode() for line in far.sessions[0].commands[4:6]] == [LOGIN.user, LOGIN.password]
        assert not secrets_in(dialing)


@pytest.mark.parametrize("demand", [TlsDemand.NONE, TlsDemand.MAY, TlsDemand.ENCRYPT, TlsDemand.VERIFY])
async def test_a_password_never_leaves_in_clear(demand: TlsDemand) -> None:  # S05
    async with ScriptedSmtp(extensions=BOTH) as stripped:
        refusal = await Dialing(stripped, demand=demand, login=LOGIN).refusal()
        assert (refusal.result, refusal.reply.status) == (Result.TEMPORARY, "4.7.10")
        assert "AUTH" not in stripped.sessions[0].verbs()
    for starttls in ("454 4.7.0 not now", Say("220 go", then="close")):
        async with ScriptedSmtp({"STARTTLS": starttls}, tls=trustme.CA(), extensions=BOTH) as broken:
            await Dialing(broken, demand=demand, login=LOGIN).refusal()
            assert len(broken.sessions) == 1
            assert "AUTH" not in broken.sessions[0].verbs()


async def test_an_unverified_host_gets_no_password_where_verify_is_demanded() -> None:  # S05
    async with ScriptedSmtp(tls=trustme.CA(), extensions=BOTH) as far:
        refusal = await Dialing(far, demand=TlsDemand.VERIFY, login=LOGIN).refusal()
        assert (refusal.phase, refusal.result) == (Phase.TLS, Result.TEMPORARY)
        assert "AUTH" not in far.sessions[0].verbs()


@pytest.mark.parametrize(
    ("answer", "scope", "decided_by"),
    [
        ("535 5.7.8 wrong", Scope.HOST, DecidedBy.REMOTE),
        ("454 4.7.0 later", Scope.HOST, DecidedBy.REMOTE),
        ("250 what?", Scope.HOST, DecidedBy.REMOTE),
        ("334 more?", Scope.HOST, DecidedBy.REMOTE),
        ("421 4.3.2 bye", Scope.HOST, DecidedBy.REMOTE),
        ("354 what?", Scope.HOST, DecidedBy.RELAY),
        (Say(None, then="close"), Scope.HOST, DecidedBy.NETWORK),
        (Say(None), Scope.HOST, DecidedBy.NETWORK),
    ],
)
async def test_a_refused_login_delays_mail_and_loses_none(answer: Answer, scope: Scope, decided_by: DecidedBy) -> None:
    patience = PATIENT.scaled(0.1) if answer == Say(None) else PATIENT
    async with ScriptedSmtp({"AUTH": answer}, tls=trustme.CA(), extensions=BOTH) as far:
        refusal = await Dialing(far, demand=TlsDemand.ENCRYPT, login=LOGIN, timeouts=patience).refusal()
        assert (refusal.result, refusal.scope, refusal.phase) == (Result.TEMPORARY, scope, Phase.AUTH)
        assert refusal.decided_by is decided_by


async def test_no_mechanism_we_speak() -> None:
    async with ScriptedSmtp(tls=trustme.CA(), extensions=("AUTH CRAM-MD5 XOAUTH2",)) as far:
        refusal = await Dialing(far, demand=TlsDemand.ENCRYPT, login=LOGIN).refusal()
        assert (refusal.phase, refusal.decided_by) == (Phase.AUTH, DecidedBy.RELAY)
        assert isinstance(refusal, Outcome)


def test_nobody_prints_a_password() -> None:  # S46 S47
    assert "pass word" not in repr(Candidate("mx.example.org", "127.0.0.1", 587, login=LOGIN))
