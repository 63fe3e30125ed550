"""The rules of config/bounces.toml: enough of them, each proven by its example, and quick on any text."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relay.errors import ConfigurationError
from relay.report.classifier import UNMATCHED, Classifier, Refusal, refusal_of, refusal_of_reply
from relay.report.phrases import PhraseIndex, stands_in
from relay.report.rules import SCOPES, Permanence, Rule, load_rules, parse_rules, rules_file
from relay.smtp.reply import remote_reply

BOOK = load_rules()
CLASSIFIER = Classifier(BOOK)

HEAD = '[reason.odd]\nabout = "odd"\nscope = "recipient"\npermanent = true\n[providers]\nacme = ["acme.example"]\n'


def test_there_are_at_least_300() -> None:
    assert len(BOOK.rules) >= 300
    assert len({rule.id for rule in BOOK.rules}) == len(BOOK.rules)


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.id)
def test_the_example_hits_exactly_its_rule(rule: Rule) -> None:
    meaning = CLASSIFIER.classify(refusal_of(rule.example, rule.provider))
    assert meaning.rule == rule.id
    assert meaning.reason == rule.reason
    assert meaning.scope == rule.scope
    assert not (meaning.permanent and rule.permanent is Permanence.NEVER)


def test_what_far_sides_write_is_understood() -> None:
    lines = (Path(__file__).resolve().parents[2] / "data" / "refusals.txt").read_text(encoding="utf-8").splitlines()
    wrong = []
    for line in lines[1:]:
        words, _, wanted = line.rpartition("|")
        meaning = CLASSIFIER.classify(refusal_of(words))
        if meaning.reason not in wanted.split(","):
            wrong.append((words, wanted, meaning.reason, meaning.rule))
    assert not wrong


def test_a_path_that_rests_is_no_suspended_account() -> None:  # G13
    words = "delivery temporarily suspended: connect to mx.far.example[192.0.2.1]:25: Connection refused"
    assert CLASSIFIER.classify(refusal_of(words)).reason == "network"


def test_every_reason_is_used_and_every_scope_known() -> None:
    assert {rule.reason for rule in BOOK.rules} == set(BOOK.reasons)
    assert {rule.scope for rule in BOOK.rules} <= SCOPES


def test_words_about_the_sender_never_concern_an_address() -> None:  # P05, G13
    reasons = {"authentication", "reverse-dns", "reputation", "blocklisted", "rate-limit", "sender-rejected", "policy"}
    assert [rule.id for rule in BOOK.rules if rule.reason in reasons and rule.scope == "recipient"] == [
        "google-receiving-too-fast",
        "ms-recipient-thread-limit",
    ]


@pytest.mark.parametrize(
    ("code", "permanent"), [(450, False), (550, True)]
)  # RFC 3463 §2: the class says whether it may pass
def test_the_code_decides_whether_it_may_pass(code: int, permanent: bool) -> None:
    assert CLASSIFIER.classify(refusal_of(f"{code} user unknown")).permanent is permanent


@pytest.mark.parametrize(
    ("permanence", "expected"),
    [
        (Permanence.NEVER, [False, False, False]),
        (Permanence.BY_CODE, [False, False, True]),
        (Permanence.UNLESS_4XX, [True, False, True]),
    ],
)
def test_permanence_without_code_with_4xx_and_with_5xx(permanence: Permanence, expected: list[bool]) -> None:
    assert [permanence.holds(severity) for severity in (0, 4, 5)] == expected


def test_a_full_mailbox_is_never_permanent() -> None:
    assert not CLASSIFIER.classify(refusal_of("552 5.2.2 mailbox full")).permanent


def test_a_live_reply_is_classified_like_its_report() -> None:
    reply = remote_reply(550, ("5.1.1 <ann@far.example>:", "5.1.1 user unknown"))
    assert CLASSIFIER.classify(refusal_of_reply(reply)).rule == "unknown-user"


def test_an_address_says_nothing_about_the_reason() -> None:
    meaning = CLASSIFIER.classify(refusal_of("550 5.1.1 <spam.quota.virus@blocked.example>: user unknown"))
    assert meaning.reason == "unknown-user"


def test_what_no_rule_knows_is_said_so() -> None:
    meaning = CLASSIFIER.classify(Refusal("zzz"))
    assert (meaning.rule, meaning.permanent) == (UNMATCHED, False)
    assert CLASSIFIER.classify(Refusal("zzz", 598)).permanent


def test_who_replied() -> None:
    assert BOOK.provider_of("alt1.gmail-smtp-in.l.google.com") == "google"
    assert BOOK.provider_of("mx1.mail.protection.outlook.com.") == "microsoft"
    assert BOOK.provider_of("notgoogle.com") == ""
    assert CLASSIFIER.provider_of("", "mx.far.example", "orange.fr") == "orange"


def test_a_rule_of_another_provider_does_not_fit() -> None:
    text = "550-5.7.28 come back on another day"
    assert CLASSIFIER.classify(refusal_of(text, "google")).rule == "google-rate-code"
    assert CLASSIFIER.classify(refusal_of(text)).rule == "code-7-28"
    assert CLASSIFIER.classify(refusal_of(text, "yahoo")).rule == "code-7-28"


NASTY = [
    "(",
    "a@",
    ";",
    "=?",
    "5",
    "5.",
    "550 ",
    "user ",
    "user ... ",
    "<",
    "<<",
    "\\",
    "é",
    "  ",
    "a.",
    "-",
    "x@y.",
    "lpn007_4",
]


@pytest.mark.parametrize("piece", NASTY)
def test_nasty_text_costs_no_time(piece: str) -> None:  # S29
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    started = time.process_time()
    CLASSIFIER.classify(refusal_of(text))
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("rule", [rule for rule in BOOK.rules if rule.regex], ids=lambda rule: rule.id)
def test_each_regex_is_linear(rule: Rule) -> None:  # S29
    assert rule.regex is not None
    for piece in NASTY:
        text = piece.lower() * (100_000 // len(piece))
        started = time.process_time()
        rule.regex.search(text)
        assert time.process_time() - started < 0.1, piece


def test_the_phrases_of_all_rules_are_found_in_linear_time() -> None:  # S29
    index = PhraseIndex([rule.phrases for rule in BOOK.rules])
    for piece in ("user ", "a", "domain ", "mailbox ", "quota ", "spf "):
        text = piece * (100_000 // len(piece))
        started = time.process_time()
        index.groups_in(text)
        assert time.process_time() - started < 0.5, piece


def test_a_phrase_with_a_gap() -> None:
    assert stands_in(("user", "unknown"), "the user ann is unknown")
    assert stands_in(("user", "unknown"), f"user {'x' * 200} user ann unknown")
    assert not stands_in(("user", "unknown"), f"user {'x' * 200} unknown")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[rule]", "line 7"),
        ("[other]", "unknown key 'other'"),
        ('[[rule]]\nid = "a"\nreason = "odd"\ncode = [550]', "example is missing"),
        ('[[rule]]\nid = "A b"\nreason = "odd"\ncode = [550]\nexample = "550 x"', "lower-case words"),
        ('[[rule]]\nid = "a"\nreason = "even"\ncode = [550]\nexample = "550 x"', "unknown reason 'even'; allowed: odd"),
        ('[[rule]]\nid = "a"\nreason = "odd"\nexample = "550 x"', "needs a condition"),
        ('[[rule]]\nid = "a"\nreason = "odd"\ncode = [250]\nexample = "550 x"', "400 to 599"),
        ('[[rule]]\nid = "a"\nreason = "odd"\nenhanced = ["5.1"]\nexample = "550 x"', "5.1.1"),
        ('[[rule]]\nid = "a"\nreason = "odd"\nphrases = ["Full"]\nexample = "550 x"', "lower case"),
        ('[[rule]]\nid = "a"\nreason = "odd"\nregex = "(a+)+"\nexample = "550 x"', "no repeated repetition"),
        ('[[rule]]\nid = "a"\nreason = "odd"\nregex = "a*b*c*d*"\nexample = "550 x"', "at most three"),
        ('[[rule]]\nid = "a"\nreason = "odd"\nregex = "("\nexample = "550 x"', "regex is wrong"),
        (
            '[[rule]]\nid = "a"\nreason = "odd"\nprovider = "other"\ncode = [550]\nexample = "550 x"',
            "not in [providers]",
        ),
        ('[[rule]]\nid = "a"\nreason = "odd"\nscope = "all"\ncode = [550]\nexample = "550 x"', "scope is one of"),
        ('[[rule]]\nid = "a"\nreason = "odd"\nwhy = "x"\ncode = [550]\nexample = "550 x"', "unknown key 'why'"),
        (2 * '[[rule]]\nid = "a"\nreason = "odd"\ncode = [550]\nexample = "550 x"\n', "occurs twice"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_rules(HEAD + text)
    assert complaint in str(raised.value)


def test_a_file_of_ones_own_replaces_the_packaged_one(tmp_path: Path) -> None:
    own = tmp_path / "bounces.toml"
    assert rules_file(own).name == "bounces.toml"
    assert rules_file(own) != own
    own.write_text(HEAD + '[[rule]]\nid = "acme"\nprovider = "acme"\nreason = "odd"\ncode = [550]\nexample = "550 x"\n')
    book = load_rules(own)
    assert [rule.id for rule in book.rules] == ["acme"]
    own.write_text(own.read_text().replace('id = "acme"', 'id = "acme-2"'))
    assert [rule.id for rule in load_rules(own).rules] == ["acme-2"]
