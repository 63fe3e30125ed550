"""Who may be answered by a program: a person who writes from his own address, and nobody else (RFC 3834 §2)."""

from __future__ import annotations

import pytest

from relay.mail.address import parse_address
from relay.policy.answering import Incoming, prefers_french, why_silent

ANN = parse_address("ann@x.example")


def reply(*fields: tuple[str, str], path: str = "ann@x.example") -> Incoming:
    return Incoming(path, (ANN,), [("from", "ann@x.example"), ("subject", "Re: hello"), *fields])


@pytest.mark.parametrize("fields", [(), (("auto-submitted", "no"),), (("x-auto-response-suppress", "DR, RN"),)])
def test_a_person_may_be_answered(fields: tuple[tuple[str, str], ...]) -> None:
    assert not why_silent(reply(*fields))
    assert not why_silent(reply(*fields, path="ann@X.example"))


@pytest.mark.parametrize(
    "field",
    [
        ("auto-submitted", "auto-replied"),
        ("auto-submitted", "auto-generated; owner-email=x"),
        ("auto-submitted", ""),
        ("precedence", "bulk"),
        ("precedence", "list"),
        ("precedence", "junk"),
        ("list-id", "<news.x.example>"),
        ("list-unsubscribe", "<https://x.example/u>"),
        ("x-auto-response-suppress", "OOF, AutoReply"),
        ("x-auto-response-suppress", "All"),
        ("x-autoreply", "yes"),
        ("feedback-id", "1:2:3:x"),
        ("content-type", "multipart/report; report-type=delivery-status"),
    ],
)
def test_a_program_is_not(field: tuple[str, str]) -> None:  # G15, N08, S18
    assert why_silent(reply(field))


@pytest.mark.parametrize("path", ["", "bob@x.example", "ann@y.example", "ANN@x.example.evil.example", "ann"])
def test_nobody_is_answered_at_an_address_that_did_not_write(path: str) -> None:  # S18
    assert why_silent(reply(path=path))


@pytest.mark.parametrize("authors", [(), (ANN, parse_address("bob@x.example"))])
def test_from_must_name_one_author(authors: tuple[object, ...]) -> None:
    assert why_silent(Incoming("ann@x.example", authors, ()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "local", ["mailer-daemon", "postmaster", "no-reply", "noreply+x", "owner-news", "news-request"]
)
def test_addresses_of_programs_are_not(local: str) -> None:
    author = parse_address(f"{local}@x.example")
    assert why_silent(Incoming(str(author), (author,), ()))


def test_the_language_is_the_writers() -> None:
    assert not prefers_french(ANN, ())
    assert prefers_french(ANN, [("content-language", "fr-CA")])
    assert prefers_french(parse_address("ann@x.fr"), ())
    assert not prefers_french(parse_address("ann@x.fr"), [("accept-language", "en-GB, fr")])
