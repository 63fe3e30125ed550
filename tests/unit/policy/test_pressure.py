"""Which outcomes mean "too much" for the whole path."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.outcome import DecidedBy, Host, Outcome, Phase, Result, Scope
from relay.policy.pressure import presses
from relay.smtp.reply import remote_reply

DIAGNOSER = load_diagnoser(Path(__file__).parents[3] / "config")


def outcome(phase: Phase, code: int, text: str) -> Outcome:
    result = Result.TEMPORARY if code < 500 else Result.PERMANENT
    answer = remote_reply(code, (text,))
    plain = Outcome(result, Scope.MESSAGE, phase, DecidedBy.REMOTE, answer, Host("mx.example", "192.0.2.1"))
    return DIAGNOSER.explain(plain, "b.example")


@pytest.mark.parametrize(
    ("phase", "code", "text"),
    [
        (Phase.MAIL, 421, "4.7.28 unusual rate of mail; come back later"),
        (Phase.MAIL, 450, "4.2.1 receiving mail too quickly"),
        (Phase.MAIL, 421, "try later"),
        (Phase.MAIL, 451, "4.7.1 please try again later"),
        (Phase.MAIL, 421, "4.7.0 Try again later, closing connection."),
        (Phase.MAIL, 421, "4.4.5 Server busy"),
        (Phase.MAIL, 451, "4.3.2 Please try again later"),
        (Phase.MAIL, 452, "4.5.3 too many recipients"),
        (Phase.MAIL, 454, "4.7.0 throttling failure: maximum sending rate exceeded"),
        (Phase.MAIL, 550, "5.7.1 rate limit exceeded"),
        (Phase.MAIL, 552, "5.7.1 too many messages"),
        (Phase.RCPT, 452, "4.5.3 too many messages from your host, slow down"),
        (Phase.DOT, 421, "4.7.0 too many messages, slow down"),
    ],
)
def test_too_much(phase: Phase, code: int, text: str) -> None:
    assert presses(outcome(phase, code, text))


@pytest.mark.parametrize(
    ("phase", "code", "text"),
    [
        (Phase.MAIL, 421, "4.3.2 service shutting down"),
        (Phase.MAIL, 451, "4.3.0 internal error, disk is full"),
        (Phase.RCPT, 451, "4.7.1 greylisted, come back later"),
        (Phase.RCPT, 450, "4.2.1 The user you are trying to contact is receiving mail too quickly"),
        (Phase.RCPT, 452, "4.2.2 mailbox full"),
        (Phase.RCPT, 550, "5.1.1 no such user"),
        (Phase.MAIL, 550, "5.7.1 sender address rejected"),
    ],
)
def test_something_else(phase: Phase, code: int, text: str) -> None:
    assert not presses(outcome(phase, code, text))
