"""Signatures of webhooks, against values computed by others, and what Mandrill's form makes of events."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from relay.event import EventKind
from relay.event.feed import FeedEvent, Position, event_id, parse_event_id
from relay.ids import SpoolId
from relay.notify.mandrill import mandrill_events
from relay.notify.signatures import make_secret, mandrill_signature, standard_headers
from relay.notify.webhook import Form


def test_the_sample_of_standard_webhooks() -> None:
    # The sample that the specification's own libraries are tested with.
    headers = standard_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_mandrill_signs_the_url_and_the_sorted_fields() -> None:
    # base64(HMAC-SHA1("secret", "https://a.example/x" "a1" "b2")), computed with openssl
    assert mandrill_signature("secret", "https://a.example/x", {"b": "2", "a": "1"}) == "ueRM3hk/d5yhYdlp45Ttk0TGQ/Q="


def test_secrets_differ_in_everything_they_are_made_of() -> None:
    made = {
        make_secret(key, form, salt, generation)
        for key in (b"a" * 32, b"b" * 32)
        for form in Form
        for salt in ("1", "11")
        for generation in (1, 2)
    }
    assert len(made) == 16
    assert make_secret(b"a" * 32, Form.STANDARD, "1", 1).startswith("whsec_")


def _event(kind: EventKind, **detail: str) -> FeedEvent:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    message = SpoolId("0" * 26)
    return FeedEvent(Position(0, 1), at, kind, message, 1, 0, "a@b.example", "s@x.example", "", (), {}, detail)


@pytest.mark.parametrize(
    ("kind", "status", "name", "state", "description"),
    [
        (EventKind.BOUNCED, "5.1.1", "hard_bounce", "bounced", "bad_mailbox"),
        (EventKind.BOUNCED, "5.1.2", "hard_bounce", "bounced", "invalid_domain"),
        (EventKind.EXPIRED, "4.2.2", "soft_bounce", "soft-bounced", "mailbox_full"),
        (EventKind.DEFERRED, "4.7.1", "deferral", "deferred", "policy_related"),
        (EventKind.RETURNED, "", "hard_bounce", "bounced", "general"),
    ],
)
def test_bounces_in_mandrills_words(kind: EventKind, status: str, name: str, state: str, description: str) -> None:
    (told,) = json.loads(mandrill_events([_event(kind, status=status, reply=f"550 {status} no")]))
    assert (told["event"], told["msg"]["state"], told["msg"]["bounce_description"]) == (name, state, description)
    assert told["msg"]["diag"] == f"smtp;550 {status} no"


def test_what_mandrill_has_no_name_for_is_not_told() -> None:
    assert mandrill_events([_event(EventKind.ACCEPTED), _event(EventKind.HELD)]) == "[]"


@pytest.mark.parametrize("text", ["", "evt_", "42", "evt_-1", "evt_x", "evt_" + "9" * 30])
def test_only_our_own_event_ids_are_taken(text: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        parse_event_id(text)
    assert parse_event_id(event_id(42)) == 42
