"""Stages: every state of a delivery has one, and failures read alike."""

from __future__ import annotations

from dataclasses import replace
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


def test_a_letter_whose_provider_makes_it_wait_reads_as_any_under_way() -> None:
    assert {_at_relay(state, tries) for state in ("waiting", "leased") for tries in (0, 1)} == {Standing(Stage.WAITING)}


def test_what_the_relay_does_not_know() -> None:
    assert TELLER.at_relay(None) == Standing(Stage.FORGOTTEN)
    assert _at_relay("a-state-of-tomorrow") == Standing(Stage.UNCLEAR)


def test_letters_that_the_relay_does_not_have() -> None:
    def record(message_id: str | None, due: datetime | None, *, refused: bool = False) -> LetterRecord:
        return LetterRecord("id", "en", "friend", NOW, message_id, refused=refused, due=due)

    assert TELLER.before_departure(record(None, NOW)) is None
    assert TELLER.before_departure(record("m", None)) is None
    assert TELLER.beside(record(None, NOW), None) == Standing(Stage.WAITING)
    gone = record(None, None, refused=True)
    assert TELLER.before_departure(gone) is None
    assert TELLER.beside(gone, None) == Standing(Stage.UNDELIVERABLE)
    assert TELLER.beside(replace(gone, beside="m"), None) == Standing(Stage.FORGOTTEN), "as the one beside it"
