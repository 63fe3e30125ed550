"""Stages: every state of a delivery has one, and failures read alike."""

from __future__ import annotations

from datetime import UTC, datetime

from relay.client.contract import LetterState
from relay.policy.state import State
from web.letters import LetterRecord
from web.timeline import Stage, Standing, Teller

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

TELLER = Teller(NOW)


def _at_relay(state: str, attempts: int = 0) -> Standing:
    return TELLER.at_relay(LetterState(state, attempts, NOW, NOW))


def test_every_state_has_a_stage() -> None:
    for state in State:
        stage = _at_relay(state.label).stage
        assert stage is not Stage.UNCLEAR
        assert stage.final is state.final


def test_failures_cannot_be_told_apart() -> None:
    failed = (State.BOUNCED, State.SUPPRESSED, State.EXPIRED, State.RETURNED, State.CANCELLED)
    assert {_at_relay(state.label, 3) for state in failed} == {Standing(Stage.UNDELIVERABLE)}


def test_a_postponed_letter_tells_its_next_try() -> None:
    assert _at_relay("waiting") == Standing(Stage.WAITING)
    assert _at_relay("waiting", 1) == Standing(Stage.RETRYING, NOW)


def test_what_the_relay_does_not_know() -> None:
    assert TELLER.at_relay(None) == Standing(Stage.FORGOTTEN)
    assert _at_relay("a-state-of-tomorrow") == Standing(Stage.UNCLEAR)


def test_letters_that_the_relay_does_not_have() -> None:
    def record(message_id: str | None, due: datetime | None, *, refused: bool = False) -> LetterRecord:
        return LetterRecord("id", "en", "friend", NOW, message_id, refused=refused, due=due)

    assert TELLER.before_relay(record(None, NOW)) == Standing(Stage.WAITING)
    assert TELLER.before_relay(record(None, None, refused=True)) == Standing(Stage.UNDELIVERABLE)
    assert TELLER.before_relay(record("m", None)) is None
