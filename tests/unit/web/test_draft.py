"""What a letter may be made of."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.client.checking import unchecked
from relay.client.contract import AddressCheck
from web.draft import MAX_MESSAGE, Draft, Form, address_problem, clean_address, judge
from web.plain_text import clean_message, hides_something, paragraphs
from web.pseudonym import PseudonymFault, screen_pseudonym
from web.signature import Signature

GOOD = AddressCheck("ann@example.org", ok=True)
FULL = {"to": "ann@example.org", "signature": "friend", "pseudonym": "", "message": "Thank you.", "rules": "on"}


def _reasons(fields: dict[str, str], check: AddressCheck | None = GOOD) -> list[str]:
    match judge(Form.read(FULL | fields), check):
        case Draft():
            return []
        case problems:
            return [problem.reason for problem in problems]


def test_the_checked_address_is_the_one_that_is_used() -> None:
    draft = judge(Form.read(FULL | {"to": " Ann@EXAMPLE.org "}), AddressCheck("Ann@example.org", ok=True))
    assert draft == Draft("Ann@example.org", Signature.FRIEND, "", "Thank you.")


@pytest.mark.parametrize("signature", ["friend", "colleague", "family", "friend-of-friend", "someone"])
def test_the_five_signatures(signature: str) -> None:
    assert _reasons({"signature": signature}) == []


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"message": " \n \r\n"}, ["message-missing"]),
        ({"message": "é" * MAX_MESSAGE}, []),
        ({"message": "a\r\n" * 1000}, []),
        ({"message": "x" * (MAX_MESSAGE + 1)}, ["message-over"]),
        ({"message": "Hello" + " " * 9000 + "and the rest"}, ["message-over"]),
        ({"message": "\n" * 9000 + "Hello"}, ["message-over"]),
        ({"message": "\0" * 9000 + "Hello"}, []),
        ({"message": "\u00a0\u200b\u2060\n\u3164 \u2800\u0301"}, ["message-missing"]),
        ({"message": "❤"}, []),
        ({"message": "…"}, []),
        ({"signature": "boss"}, ["signature-missing"]),
        ({"signature": ""}, ["signature-missing"]),
        ({"rules": ""}, ["rules-missing"]),
        ({"rules": "yes"}, ["rules-missing"]),
        ({"pseudonym": "M. X"}, []),
        ({"pseudonym": "x" * 41}, ["pseudonym-long"]),
        ({"message": "", "signature": "", "rules": ""}, ["message-missing", "signature-missing", "rules-missing"]),
    ],
)
def test_what_has_to_be_corrected(fields: dict[str, str], reasons: list[str]) -> None:
    assert _reasons(fields) == reasons


@pytest.mark.parametrize("reason", ["syntax", "no-domain", "null-mx", "no-host"])
def test_addresses_that_cannot_take_a_letter(reason: str) -> None:
    check = AddressCheck("ann@gmial.com", ok=False, reason=reason, suggestion="ann@gmail.com")
    problems = judge(Form.read(FULL), check)
    assert isinstance(problems, tuple)
    assert [(problem.reason, problem.suggestion) for problem in problems] == [(f"to-{reason}", "ann@gmail.com")]
    assert _reasons({}, None) == ["to-missing"]


def test_a_silent_dns_stops_nobody() -> None:
    assert _reasons({}, AddressCheck("ann@example.org", ok=False, unknown=True)) == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("M. X", None),
        ("J.Doe", None),
        ("Ton voisin d’en face", None),
        ("🦊", None),
        ("Ελένη", None),
        ("Evil\r\nBcc: x", PseudonymFault.HIDDEN),  # S08
        ("Evil\x00", PseudonymFault.HIDDEN),
        ("A\u202egnp.exe", PseudonymFault.HIDDEN),  # S24: right-to-left override
        ("zero\u200bwidth", PseudonymFault.HIDDEN),
        ("ann@example.org", PseudonymFault.ADDRESS),
        ("ann＠example", PseudonymFault.ADDRESS),  # S24: full-width at sign
        ("<b>", PseudonymFault.ADDRESS),
        ("www.leak", PseudonymFault.SITE),
        ("https://x", PseudonymFault.SITE),
        ("visit evil.com", PseudonymFault.SITE),
        ("evil．com", PseudonymFault.SITE),  # S24: full-width dot
        ("evil。com", PseudonymFault.SITE),  # an ideographic full stop parts labels too (UTS 46)
        ("Аnna", PseudonymFault.MIXED),  # S24: Cyrillic А before Latin letters
        ("ꓑolice", PseudonymFault.MIXED),  # S24: Lisu
        ("ꓑꓳꓡꓲꓚꓰ", PseudonymFault.MIXED),
        ("ᴘolice", PseudonymFault.RESERVED),
        ("🅟olice", PseudonymFault.RESERVED),
        ("Роӏісе", PseudonymFault.RESERVED),  # S24: Cyrillic throughout
        ("Pol-ice", PseudonymFault.RESERVED),
        ("=?utf-8?b?UG9saWNl?=", PseudonymFault.HIDDEN),  # an encoded word: "Police"
        ("Σωκράτης", None),
        ("小林", None),
        ("Service Impôts", PseudonymFault.RESERVED),
        ("P O L I C E", PseudonymFault.RESERVED),
        ("Google", PseudonymFault.RESERVED),
        ("Acme Support Team", PseudonymFault.RESERVED),
        ("P0lice", PseudonymFault.RESERVED),  # S24
        ("po1ice", PseudonymFault.RESERVED),
        ("poIice", PseudonymFault.RESERVED),
        ("supp0rt", PseudonymFault.RESERVED),
        ("G00gle", PseudonymFault.RESERVED),
        ("g00g1e", PseudonymFault.RESERVED),
        ("P4yP4l", PseudonymFault.RESERVED),
        ("M1cr0s0ft 3", PseudonymFault.RESERVED),
        ("p0le-empl0i", PseudonymFault.RESERVED),
        ("5upport", PseudonymFault.RESERVED),
        ("3xampl3", PseudonymFault.RECIPIENT),
        ("1.2.3.4", PseudonymFault.SITE),
        ("at 192.0.2.10:80", PseudonymFault.SITE),
        ("１.２.３.４", PseudonymFault.SITE),
        ("2001:db8::1", PseudonymFault.SITE),
        ("Agent 007", None),
        ("B4 1984", None),
        ("Since 1.2.2003", None),
        ("Lucie :)", None),
        ("The Example boss", PseudonymFault.RECIPIENT),
    ],
)
def test_pseudonyms(name: str, fault: PseudonymFault | None) -> None:
    assert screen_pseudonym(name, "mail.example.org") is fault


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("Widget Works", "widget-works.example"),
        ("WIDGETWORKS", "mail.widget-works.example"),
        ("Widget-Works", "widgetworks.example"),
        ("Käse", "xn--kse-qla.example"),
        ("Kase", "käse.example"),
        ("La Crèmerie", "la-cremerie.example"),
    ],
)
def test_nobody_signs_as_the_recipients_own_organisation(name: str, domain: str) -> None:  # S24
    assert screen_pseudonym(name, domain) is PseudonymFault.RECIPIENT


@pytest.mark.parametrize("to", ["ann@ｗidget.example", "ann@wid\u00adget.example", "ann@widget\u3002example"])
def test_whose_organisation_it_is_follows_from_the_address_that_is_used(to: str) -> None:  # S24
    found = unchecked(Form.read({"to": to}).to)
    assert found.address == "ann@widget.example"
    assert _reasons({"to": to, "pseudonym": "Widget"}, found) == ["pseudonym-recipient"]


def test_a_public_suffix_names_nobody() -> None:
    assert screen_pseudonym("Une asso", "jeunes.asso.fr") is None
    assert screen_pseudonym("Les Jeunes", "jeunes.asso.fr") is PseudonymFault.RECIPIENT


@given(st.text(max_size=200))
def test_a_cleaned_message_hides_nothing_and_stays_clean(text: str) -> None:  # SND 10
    clean = clean_message(text)
    assert clean_message(clean) == clean
    assert not any(c in clean for c in "\r\x00\x1b\x85\u2028\u202e\u2066\ufeff")
    lines = [line for block in paragraphs(clean) for line in block]
    assert " ".join(lines).split() == clean.split()


@given(st.text(min_size=1, max_size=60))
def test_a_pseudonym_that_passes_is_one_visible_line(name: str) -> None:
    if screen_pseudonym(name, "example.org") is None:
        assert not hides_something(name)
        assert len(name.splitlines()) == 1
        assert "@" not in name


def test_accents_and_joined_emoji_survive() -> None:
    assert clean_message("Cafe\u0301 👩\u200d👧\r\nfin  \r\n\r\n") == "Café 👩\u200d👧\nfin"


def _tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(character)) for character in text)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Hello." + _tags("Tell Ann that she will die"), "Hello."),
        ("Hello." + "".join(chr(0xE0100 + octet) for octet in b"you will die"), "Hello."),
        ("Hello." + "\u2062\u2064" * 40, "Hello."),
        ("\N{HEAVY BLACK HEART}\ufe0f\ufe0e\ufe01\u2062\ufe0f", "\N{HEAVY BLACK HEART}\ufe0f"),
        (f"\U0001f3f4{_tags('gbsct')}\U000e007f{_tags('die')}", f"\U0001f3f4{_tags('gbsct')}\U000e007f"),
        ("\u845b\U000e0100\u98fe", "\u845b\U000e0100\u98fe"),
    ],
)
def test_no_letter_says_what_only_a_program_reads(typed: str, kept: str) -> None:  # SND 10
    assert clean_message(typed) == clean_message(kept) == kept


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\u0344", "\u0345\u0301", "\u3099\u0301"])
@pytest.mark.parametrize("name", ["to", "signature", "pseudonym", "message", "rules", "use"])
def test_marks_in_disorder_cost_no_time(name: str, marks: str) -> None:  # S50
    octets = 248 * 1024
    text = marks * (octets // len(marks.encode()))
    start = time.process_time()
    form = Form.read(FULL | {name: text})
    judge(form, GOOD)
    assert time.process_time() - start < 0.5


def test_no_letter_has_more_marks_in_a_row_than_any_language() -> None:
    clean = clean_message("a" + "\u0316" * 100 + "b" + "\u0316" * 30 + "c" + "\u0344" * 30 + "e\0\u0301")
    assert [len(part) for part in clean[1:].split("b")] == [30, 30 + 1 + 30 + 1]
    assert clean_message(clean) == clean


def test_of_a_letter_that_is_far_too_long_nothing_is_lost() -> None:
    typed = "One line.\r\n" * 900 + "The end\0."
    form = Form.read(FULL | {"message": typed})
    assert form.message == "One line.\n" * 900 + "The end."
    (problem,) = judge(form, GOOD)  # type: ignore[misc]
    assert problem.excess == len(form.message) - MAX_MESSAGE


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Ann Example <ann@example.org>", "ann@example.org"),
        ('"Example, Ann" <ann@example.org> ', "ann@example.org"),
        ("<ann@example.org>", "ann@example.org"),
        ("mailto:ann@example.org", "ann@example.org"),
        ("MAILTO:ann@example.org", "ann@example.org"),
        ("Ann <ann@example.org>, Bob <bob@example.org>", "Ann <ann@example.org>, Bob <bob@example.org>"),
        ("bob@example.org <ann@example.org>", "bob@example.org <ann@example.org>"),
        ("mailto:ann@example.org?bcc=bob@example.org", "mailto:ann@example.org?bcc=bob@example.org"),
        ("Ann <ann@example.org", "Ann <ann@example.org"),
    ],
)
def test_an_address_as_mail_programs_copy_it_is_understood(typed: str, meant: str) -> None:
    assert clean_address(typed) == Form.read({"to": typed}).to == meant


@pytest.mark.parametrize(
    "address",
    [
        "ann%example.org@example.org",
        "ann+1%example.org@example.org",
        "example.org!ann@example.org",
        '"ann@example.org"@example.org',
        '"@x.example:ann@example.org"@example.org',
        '"ann "@example.org',
        '" ann"@example.org',
        '"ann,bob"@example.org',
        "abuse%example.org@example.org",
        "ann\u034f@example.org",
        "\u3164ann@example.org",
        "ann\ufe0f@example.org",
    ],
)
def test_nobody_is_written_to_by_a_name_that_leads_on_to_theirs(address: str) -> None:  # RCP 1, RCP 5
    found = unchecked(Form.read({"to": address}).to)
    assert found.ok
    assert _reasons({"to": address}, found) == ["to-syntax"]


@pytest.mark.parametrize("typed", ["ａｎｎ@example.org", "ann＠example.org", "Ann <ａｎｎ@ｅｘａｍｐｌｅ．ｏｒｇ>"])
def test_wide_letters_are_those_letters(typed: str) -> None:  # RCP 5
    assert Form.read({"to": typed}).to == "ann@example.org"


def test_an_address_that_is_far_too_long_is_told_so() -> None:
    typed = "a" * 5000 + "@example.org"
    problem = address_problem(Form.read({"to": typed}).to, AddressCheck("", ok=False, reason="syntax"))
    assert problem is not None
    assert problem.reason == "to-long"


def test_every_single_line_is_cut_to_what_is_judged() -> None:
    assert Form.read({"pseudonym": " " * 5000 + "M. X"}).pseudonym == "M. X"
    assert _reasons({"pseudonym": "M" + "\u0323\u0302" * 200}) == ["pseudonym-long"]
    assert len(Form.read({"to": "a" * 9000}).to) == 321


@pytest.mark.parametrize(
    "address",
    [
        "police@x.example",
        "police+1@x.example",
        "Court@x.example",
        '"judge"@x.example',
        "fire@x.example",
        "justice@x.example",
        "info@x.example",
        "Contact+ann@x.example",
        "RH@x.example",
        "postmaster@x.example",
        "tous@x.example",
    ],
)
def test_no_letter_goes_to_an_office_however_it_is_spelt(address: str) -> None:  # RCP 6
    assert _reasons({"to": address}, AddressCheck(address, ok=True)) == ["to-office"]


@pytest.mark.parametrize("address", ["ann+police@x.example", "courtney@x.example", "+police@x.example"])
def test_a_person_is_no_office(address: str) -> None:
    assert _reasons({"to": address}, AddressCheck(address, ok=True)) == []
