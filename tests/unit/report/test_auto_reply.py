"""The answer to a reply: ours in every word, and marked as what it is."""

from __future__ import annotations

import email
import email.policy

import pytest

from relay.mail.address import parse_address
from relay.report.auto_reply import Words, build_auto_reply
from relay.settings.doors import ANSWER_ENGLISH, ANSWER_FRENCH

WORDS = Words("Nobody reads this.", "Personne ne lit ceci, vérifié.")
US, ANN = parse_address("letters@leak.example"), parse_address("ann@x.example")


def test_both_languages_are_said_the_writers_first() -> None:
    mail = email.message_from_bytes(
        build_auto_reply(WORDS, US, ANN, "<1@x.example>", french_first=True), policy=email.policy.default
    )
    assert (mail["From"], mail["To"], mail["Auto-Submitted"]) == (
        "letters@leak.example",
        "ann@x.example",
        "auto-replied",
    )
    assert (mail["In-Reply-To"], mail["References"]) == ("<1@x.example>", "<1@x.example>")
    assert mail["Subject"].startswith("Auto :")
    text = mail.get_content()
    assert text.index("vérifié") < text.index("Nobody")


@pytest.mark.parametrize(
    "given", ["", "1@x.example", "<1@x.example> <2@x.example>", "<a\r\nBcc: b@x.example@c>", "<é@x>"]
)
def test_a_strange_message_id_is_left_out(given: str) -> None:  # S13
    content = build_auto_reply(WORDS, US, ANN, given)
    assert b"In-Reply-To" not in content
    assert b"Bcc" not in content


def test_the_usual_words_tell_that_nobody_can_be_reached_and_how_to_refuse_or_report() -> None:  # RCP 10
    content = build_auto_reply(Words(ANSWER_ENGLISH, ANSWER_FRENCH), US, ANN)
    text = " ".join(email.message_from_bytes(content, policy=email.policy.default).get_content().split())
    for told in ("cannot be reached", "to report it, use the links", "ne peut pas être joint", "pour en signaler un"):
        assert told in text


def test_one_language_may_be_left_out() -> None:
    assert b"Nobody" not in build_auto_reply(Words("", "Personne."), US, ANN)
    assert not Words(" ", "")
    with pytest.raises(ValueError, match="words"):
        build_auto_reply(Words("", ""), US, ANN)
