"""What follows from mail that came back: only a token of ours makes a report count, and RETURNED follows DELIVERED."""

from __future__ import annotations

import pytest

from relay.event import EventKind
from relay.policy.hearing import Followed, Purpose, concerned, hear, masked
from relay.policy.state import State
from relay.report.result import Kind, Means, Reading, Recipient, Said

FAILED = Recipient(
    "bob@x.example",
    Said.FAILED,
    "5.1.1",
    "unknown-user",
    True,
    "no-such-user",
    "recipient",
    diagnostic="550 5.1.1 <bob@x.example>: nobody here",
    code=550,
)
BOUNCE = Reading(Kind.BOUNCE, (FAILED,), Means.STATUS, reporting_mta="mx.x.example")


def complaint(kind: str) -> Reading:
    return Reading(Kind.COMPLAINT, (), Means.FEEDBACK, feedback_type=kind)


def test_a_delivered_mail_returns_with_its_reason_and_without_an_address() -> None:  # G14
    hearing = hear(Purpose.RETURN, BOUNCE, State.DELIVERED, "bob@x.example")
    assert (hearing.followed, hearing.event) == (Followed.RETURNED, EventKind.RETURNED)
    assert hearing.told["reason"] == "unknown-user"
    assert hearing.told["permanent"] is True
    assert hearing.told["rule"] == "no-such-user"
    assert hearing.told["reply"] == "550 5.1.1 <<recipient>>: nobody here"
    assert not hearing.shown


@pytest.mark.parametrize("state", [State.WAITING, State.LEASED, State.HELD])
def test_a_failure_while_it_waits_is_recorded(state: State) -> None:
    hearing = hear(Purpose.RETURN, BOUNCE, state, "bob@x.example")
    assert (hearing.followed, hearing.event) == (Followed.RECORDED, EventKind.ATTEMPTED)


@pytest.mark.parametrize("state", [State.BOUNCED, State.RETURNED, State.SUPPRESSED])
def test_what_is_final_otherwise_stays(state: State) -> None:
    hearing = hear(Purpose.RETURN, BOUNCE, state, "bob@x.example")
    assert (hearing.followed, hearing.event) == (Followed.RECORDED, None)


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.REPLY])
@pytest.mark.parametrize("reading", [BOUNCE, complaint("abuse")])
def test_without_a_token_nothing_is_believed_and_a_person_sees_it(purpose: Purpose, reading: Reading) -> None:  # S22
    hearing = hear(purpose, reading, None, None)
    assert hearing.shown
    assert hearing.event is None


@pytest.mark.parametrize("reading", [BOUNCE, complaint("abuse"), *map(Reading, Kind)])
@pytest.mark.parametrize("state", [None, State.DELIVERED])
def test_where_a_letter_is_answered_programs_change_nothing(reading: Reading, state: State | None) -> None:  # RCP 10
    """Of such mail nothing is kept, so there is nothing to show to anybody."""
    hearing = hear(Purpose.REPLY, reading, state, "bob@x.example")
    assert (hearing.followed, hearing.event, hearing.shown) == (Followed.KEPT, None, False)


@pytest.mark.parametrize("said", [Said.DELAYED, Said.DELIVERED, Said.RELAYED, Said.EXPANDED])
def test_only_a_failure_counts(said: Said) -> None:  # G13
    reading = Reading(Kind.BOUNCE, (Recipient("bob@x.example", said),))
    hearing = hear(Purpose.RETURN, reading, State.DELIVERED, "bob@x.example")
    assert (hearing.followed, hearing.event) == (Followed.KEPT, None)


@pytest.mark.parametrize(
    ("kind", "followed", "event"),
    [
        ("abuse", Followed.COMPLAINED, EventKind.COMPLAINED),
        ("fraud", Followed.COMPLAINED, EventKind.COMPLAINED),
        ("opt-out", Followed.OPTED_OUT, EventKind.OPTED_OUT),
        ("not-spam", Followed.RECORDED, None),
        ("auth-failure", Followed.RECORDED, None),
    ],
)
def test_complaints_by_their_type(kind: str, followed: Followed, event: EventKind | None) -> None:  # N02
    hearing = hear(Purpose.FEEDBACK, complaint(kind), State.DELIVERED, None)
    assert (hearing.followed, hearing.event) == (followed, event)


def test_an_automatic_answer_changes_nothing() -> None:  # G15
    hearing = hear(Purpose.RETURN, Reading(Kind.AUTO_REPLY), State.DELIVERED, "bob@x.example")
    assert (hearing.followed, hearing.event) == (Followed.KEPT, None)


def test_people_and_challenges_are_shown_but_replies_to_a_from_address_are_kept() -> None:
    assert hear(Purpose.RETURN, Reading(Kind.OTHER), State.DELIVERED, None).shown
    assert hear(Purpose.RETURN, Reading(Kind.CHALLENGE), State.DELIVERED, None).shown
    assert hear(Purpose.POSTMASTER, Reading(Kind.OTHER), None, None).shown
    assert hear(Purpose.SENDER, Reading(Kind.OTHER), None, None).followed is Followed.KEPT


def test_the_block_that_speaks_of_the_delivery() -> None:
    other = Recipient("carl@x.example", Said.DELIVERED)
    assert concerned([other, FAILED], "BOB@x.example") is FAILED
    assert concerned([other], "bob@x.example") is other, "forwarded: the only block speaks of it"
    assert concerned([other, FAILED], "ann@x.example") is FAILED
    assert concerned([], "ann@x.example") is None


def test_strangers_words_are_bounded_and_name_nobody() -> None:
    assert masked("no\r\nsuch  user bob@x.example, " + "a" * 9000) == "no such user <recipient>, " + "a" * 974
