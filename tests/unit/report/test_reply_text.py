"""A reply's own words, as mail programs of all kinds write replies: no quote, no signature, no name of a file."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.report.reply_text import CUT, MAX_CHARACTERS, read_reply_text

OWN = "Thank you for this.\nI had no idea."


def mail(body: str, kind: str = "text/plain; charset=utf-8", *fields: str) -> bytes:
    """A reply with that body."""
    header = ["From: Bob <bob@x.example>", "Subject: Re: hello", "MIME-Version: 1.0", f"Content-Type: {kind}", *fields]
    return "\r\n".join([*header, "", body.replace("\n", "\r\n")]).encode()


QUOTED = "> Dear Bob,\n> you were kind.\n>\n> ────────────\n> https://leak.example/r/secret\n"
PROGRAMS = {
    "gmail, english": f"{OWN}\n\nOn Mon, Nov 23, 2026 at 9:14 AM A friend <letter@leak.example>\nwrote:\n\n{QUOTED}",
    "gmail, french": f"{OWN}\n\nLe lun. 23 nov. 2026 à 09:14, Un·e ami·e <letter@leak.example> a\nécrit :\n\n{QUOTED}",
    "thunderbird": f"{OWN}\n\nOn 23/11/2026 09:14, A friend wrote:\n{QUOTED}\n",
    "thunderbird, french": f"{OWN}\n\nLe 23/11/2026 à 09:14, Un·e ami·e a écrit :\n{QUOTED}",
    "apple": f"{OWN}\n\nSent from my iPhone\n\n> On 23 Nov 2026, at 09:14, A friend <a1@leak.example> wrote:\n"
    f"> \n{QUOTED}",
    "apple, french": f"{OWN}\n\nEnvoyé de mon iPhone\n\n> Le 23 nov. 2026 à 09:14, Un·e ami·e <a1b2@leak.example> a\n"
    f"> écrit :\n{QUOTED}",
    "outlook": f"{OWN}\n\n-----Original Message-----\nFrom: A friend <letter@leak.example>\nSent: Monday\nTo: Bob\n"
    "Subject: hello\n\nDear Bob,\nyou were kind.\n",
    "outlook, rule": f"{OWN}\n\nGet Outlook for Android<https://aka.ms/x>\n________________________________\n"
    "From: A friend <letter@leak.example>\nSent: Monday\nTo: Bob\nSubject: hello\n\nDear Bob,\n",
    "outlook, french": f"{OWN}\n\nDe : Un·e ami·e <letter@leak.example>\nEnvoyé : lundi 23 novembre 2026 09:14\n"
    "À : bob@x.example\nObjet : bonjour\n\nCher Bob,\n",
    "orange": f"{OWN}\n\n\n> Message du 23/11/26 09:14\n> De : Un·e ami·e\n{QUOTED}",
    "signature": f"{OWN}\n\n-- \nBob Martin\nDirecteur, 06 12 34 56 78\n",
    "no marks but the footer's rule": f"{OWN}\n────────────\nYou get this because somebody wrote it\n"
    "https://leak.example/r/secret\n",
    "below the quote": f"On Monday, A friend wrote:\n{QUOTED}\n{OWN}\n",
    "between": "> Dear Bob,\n\nThank you for this.\n\n> you were kind.\nI had no idea.\n",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_letter_and_the_signature_are_left_out(program: str) -> None:
    words = read_reply_text(mail(PROGRAMS[program]))
    assert words.replace("\n\n", "\n") == OWN
    assert "secret" not in words


PAGES = {
    "gmail": '<div dir="ltr">Thank you for this.<div>I had no idea.</div></div><br><div class="gmail_quote">'
    "<div>On Monday A friend wrote:</div><blockquote><p>Dear Bob</p>secret</blockquote></div>",
    "outlook": "<p>Thank you for this.</p><p>I had no idea.</p><hr><div id='divRplyFwdMsg'><b>From:</b> A friend</div>"
    "Dear Bob",
    "a plain quote": "<p>Thank you for this.</p><blockquote>Dear <blockquote>x</blockquote> Bob</blockquote>"
    "<p>I had no idea.</p>",
    "an open quote": "Thank you for this.<br>I had no idea.<blockquote>Dear Bob",
}


@pytest.mark.parametrize("program", PAGES)
def test_of_html_alone_the_quote_is_left_out(program: str) -> None:
    words = read_reply_text(mail(f"<html><body>{PAGES[program]}</body></html>", "text/html; charset=utf-8"))
    assert [line.strip() for line in words.split("\n") if line.strip()] == OWN.split("\n")


def test_attachments_and_html_beside_the_text_are_not_read() -> None:
    body = (
        "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain\n\nYes.\n"
        "--c\nContent-Type: text/html\n\n<p>No.</p>\n--c--\n"
        '--b\nContent-Type: text/plain; name="notes.txt"\nContent-Disposition: attachment; filename="notes.txt"\n\n'
        "A file.\n--b--\n"
    )
    assert read_reply_text(mail(body, "multipart/mixed; boundary=b")) == "Yes."
    only = '--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename="x.txt"\n\nA file.\n--b--\n'
    assert read_reply_text(mail(only, "multipart/mixed; boundary=b")) == ""
    forwarded = "--b\nContent-Type: message/rfc822\n\nSubject: x\n\nSomebody else's words.\n--b--\n"
    assert read_reply_text(mail(forwarded, "multipart/mixed; boundary=b")) == ""


def test_a_long_reply_is_cut_and_says_so() -> None:
    words = read_reply_text(mail("word " * 1000))
    assert len(words) <= MAX_CHARACTERS
    assert words.endswith(CUT)


def test_ordinary_sentences_are_not_taken_for_quotes() -> None:
    body = "He wrote:\nI am sorry.\n\nFrom: the heart, thank you.\nOn Monday I leave -- for good.\n- one\n- two"
    assert read_reply_text(mail(body)) == body


@given(st.binary(max_size=600))
def test_whatever_comes_it_gives_words_or_none(raw: bytes) -> None:  # S28
    assert len(read_reply_text(b"Content-Type: text/html\r\n\r\n" + raw)) <= MAX_CHARACTERS
    assert "\x00" not in read_reply_text(raw)


def test_a_hostile_page_or_quote_is_read_in_linear_time() -> None:  # S28
    page = ("<div " + " id=" * 75) * 215 + "<p class='x y gmail_quote'>secret"
    quoted = "\n".join(["schrieb " * 37, *["> secret"] * 1900])
    began = process_time()
    assert "secret" not in read_reply_text(mail(page, "text/html"))
    assert "secret" not in read_reply_text(mail(quoted))
    assert process_time() - began < 0.5
