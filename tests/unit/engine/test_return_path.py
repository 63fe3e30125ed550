"""Return paths: one a delivery where they are ours, constant over its attempts; otherwise what was submitted."""

from __future__ import annotations

from dataclasses import replace

from relay.engine.return_path import ReturnPaths
from relay.ids import SeededEntropy, new_spool_id
from relay.mail.address import NULL_PATH, Address, parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.spool.work import Door, Duty, Parcel
from relay.tokens import Token, TokenKey, TokenKind, Tokens, subject_delivery
from tests.support.hand_clock import HandClock

CLOCK = HandClock()
TOKENS = Tokens([TokenKey(b"k" * 32)], CLOCK)
OURS = ReturnPaths(TOKENS, {"leak.example": "bounces.leak.example"})
ID = new_spool_id(1_790_000_000_000, SeededEntropy(1))


def parcel(*recipients: str, sign_as: str | None = "leak.example") -> Parcel:
    to = tuple(Recipient(parse_address(one)) for one in recipients)
    now, sender = CLOCK.now(), Address("ann", "leak.example")
    duties = tuple(Duty(7, n, ID, 1, one, 0, now) for n, one in enumerate(to))
    envelope = Envelope(sender, to)
    return Parcel(7, ID, 1, Door.SMTP, sender, envelope, duties, 3, b"", b"", sign_as, now, now, "", b"abc")


def test_each_delivery_gets_a_parcel_and_a_path_that_names_it() -> None:  # G14
    parts = OURS.split(parcel("a@x.example", "b@x.example"))
    assert [[str(one.address) for one in part.envelope.recipients] for part in parts] == [
        ["a@x.example"],
        ["b@x.example"],
    ]
    for n, part in enumerate(parts):
        path = OURS.mail_from(part)
        assert isinstance(path, Address)
        assert path.domain == "bounces.leak.example"
        token = TOKENS.verify(path.local)
        assert isinstance(token, Token)
        assert (token.kind, subject_delivery(token.subject)) == (TokenKind.RETURN, (ID, n))


def test_it_is_the_same_at_every_attempt() -> None:
    one = parcel("a@x.example")
    later = replace(one, duties=(replace(one.duties[0], attempts=5),), prelude=b"other", content=None)
    assert OURS.mail_from(one) == OURS.mail_from(later)


def test_what_was_submitted_is_kept_where_no_return_domain_is_ours() -> None:
    for paths, one in [
        (ReturnPaths(), parcel("a@x.example", "b@x.example")),
        (ReturnPaths(TOKENS, {}), parcel("a@x.example", "b@x.example")),
        (OURS, parcel("a@x.example", "b@x.example", sign_as="other.example")),
        (OURS, parcel("a@x.example", "b@x.example", sign_as=None)),
    ]:
        assert paths.split(one) == [one]
        assert paths.mail_from(one) == Address("ann", "leak.example")


def test_the_null_path_stays_null() -> None:
    one = replace(parcel("a@x.example", "b@x.example"), reverse_path=NULL_PATH)
    assert OURS.split(one) == [one]
    assert OURS.mail_from(one) is NULL_PATH


def test_feedback_id_finds_the_message_and_tells_nobody_whose_it_is() -> None:  # N01
    token, stream, tenant, door, sender = OURS.feedback_id(replace(parcel("a@x.example"), stream="a b:c")).split(":")
    found = TOKENS.verify(token)
    assert isinstance(found, Token)
    assert (found.kind, subject_delivery(found.subject)) == (TokenKind.FEEDBACK, (ID, 0))
    assert (stream, tenant, door, sender) == ("a-b-c", "t1", "smtp", "leak-example")


def test_feedback_id_is_left_out_where_complaints_do_not_come_to_us() -> None:
    assert ReturnPaths().feedback_id(parcel("a@x.example")) == ""
    assert OURS.feedback_id(parcel("a@x.example", sign_as=None)) == ""
    assert OURS.feedback_id(replace(parcel("a@x.example"), door=Door.NOTICE)) == ""
