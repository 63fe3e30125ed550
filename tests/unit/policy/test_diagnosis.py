"""What refusals mean while mail is being sent: config/diagnosis.toml over config/bounces.toml."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.egress import outcomes
from relay.engine.attempt import internal_failure
from relay.errors import ConfigurationError
from relay.policy import unroutable
from relay.policy.diagnosis import OWN, DiagnosisRule
from relay.policy.diagnosis_file import ABOUT_US, load_diagnoser, parse_diagnosis
from relay.policy.outcome import Course, DecidedBy, Diagnosis, Host, Outcome, Phase, Result, Scope
from relay.policy.retry import RetrySchedule
from relay.policy.state import State
from relay.policy.verdict import Situation, decide
from relay.report.classifier import UNCLASSIFIED, UNMATCHED
from relay.report.rules import load_rules
from relay.smtp.reply import Reply, remote_reply, reply

DIAGNOSER = load_diagnoser()
BOUNCES = load_rules()
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEAST = '[meaning.unclassified]\nverdict = "as-said"\n'


def said(text: str) -> Reply:
    """A reply as the wire had it: "550-5.1.1 words"."""
    match = re.fullmatch(r"(\d{3})[ -](.*)", text)
    assert match is not None, text
    return remote_reply(int(match[1]), (match[2],))


@pytest.mark.parametrize("rule", DIAGNOSER.book.rules, ids=lambda rule: rule.words.id)
def test_the_example_hits_exactly_its_rule(rule: DiagnosisRule) -> None:
    phase = min(rule.phases, default=Phase.RCPT)
    assert DIAGNOSER.diagnose(said(rule.words.example), phase, rule.words.provider).rule == rule.words.id


def test_every_meaning_of_a_bounce_has_its_consequence() -> None:
    assert set(DIAGNOSER.book.policies) == set(BOUNCES.reasons) | {UNCLASSIFIED}


def test_rules_that_are_built_upon_exist() -> None:
    known = {rule.id for rule in BOUNCES.rules}
    assert [rule.words.id for rule in DIAGNOSER.book.rules if not rule.taken_by <= known] == []


KNOWN = [
    line
    for line in (Path(__file__).parents[2] / "data" / "known_replies.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("line", KNOWN)
def test_replies_of_the_large_providers(line: str) -> None:
    question, _, expected = line.partition(" => ")
    provider, phase, text = question.split(" ", 2)
    found = DIAGNOSER.diagnose(said(text), Phase(phase), provider.strip("-"))
    assert f"{found.meaning} {found.scope} {found.verdict}" == expected


def test_words_about_us_never_speak_against_an_address() -> None:  # P05, G13
    for rule in BOUNCES.rules:
        for phase in (Phase.BANNER, Phase.MAIL, Phase.RCPT, Phase.DOT):
            found = DIAGNOSER.diagnose(said(f"550 {rule.example}"), phase, rule.provider)
            if found.meaning in ABOUT_US and found.meaning != "rate-limit":
                assert found.scope is not Scope.RECIPIENT, rule.id


def test_a_failed_connection_is_told_in_the_systems_words() -> None:
    error = ConnectionRefusedError(111, "Connect call failed ('192.0.2.1', 25)")
    told = outcomes.not_connected(error, Host("mx.far.example", "192.0.2.1"), binding=False)
    assert told.reply.text == "no connection: connection refused"


OWN_OUTCOMES = [
    unroutable.no_such_domain(),
    unroutable.null_mx(),
    unroutable.dns_unavailable(),
    unroutable.no_host(),
    unroutable.no_reachable_address(),
    unroutable.loop(),
    unroutable.literal_refused(),
    unroutable.literal_not_public(),
    outcomes.not_connected(TimeoutError(), Host("mx.far.example", "192.0.2.1"), binding=False),
    outcomes.not_connected(OSError(99, "cannot assign"), Host("mx.far.example", "192.0.2.1"), binding=True),
    outcomes.broken(outcomes.SessionBrokenError(Phase.RCPT), Host("mx.far.example", ""), None, sent=False),
    outcomes.broken(outcomes.SessionBrokenError(Phase.DOT), Host("mx.far.example", ""), None, sent=True),
    outcomes.tls_refused("TLS is required", Phase.TLS, Host("mx.far.example", ""), None),
    outcomes.no_login(Host("mx.far.example", ""), None),
    outcomes.abandoned(Host("mx.far.example", ""), None),
    outcomes.unfit(552, "5.3.4", "too large", Host("mx.far.example", ""), None),
    outcomes.unfit(553, "5.6.7", "no SMTPUTF8", Host("mx.far.example", ""), None),
    outcomes.unfit(554, "5.6.3", "no 8-bit", Host("mx.far.example", ""), None),
    internal_failure(Phase.PERMIT, "the attempt failed on our side"),
]


@pytest.mark.parametrize("outcome", OWN_OUTCOMES, ids=lambda outcome: f"{outcome.reply.status} {outcome.reply.text}")
def test_our_own_words_are_named_and_never_overruled(outcome: Outcome) -> None:
    found = DIAGNOSER.explain(outcome, "far.example").diagnosis
    assert found is not None
    assert found.meaning != UNCLASSIFIED
    assert found.rule.startswith("own-")
    assert found.verdict is Course.AS_SAID


def test_nobody_far_away_speaks_in_our_name() -> None:
    found = DIAGNOSER.diagnose(said("550 5.1.2 the domain does not exist"), Phase.RCPT, "")
    assert not found.rule.startswith("own-")
    assert DIAGNOSER.diagnose(said("550 5.9.9 zzz"), Phase.RCPT, OWN).rule == UNMATCHED


def test_the_host_or_else_the_domain_tells_the_provider() -> None:
    answer = said("421-4.7.28 come back later")
    failed = Outcome(Result.TEMPORARY, Scope.MESSAGE, Phase.DOT, DecidedBy.REMOTE, answer)
    by_host = DIAGNOSER.explain(replace(failed, host=Host("alt1.gmail-smtp-in.l.google.com", "")), "far.example")
    by_domain = DIAGNOSER.explain(failed, "gmail.com")
    assert by_host.diagnosis == by_domain.diagnosis
    assert by_host.diagnosis is not None
    assert by_host.diagnosis.rule == "google-rate-code"
    delivered = replace(failed, result=Result.DELIVERED)
    assert DIAGNOSER.explain(delivered, "gmail.com") is delivered


@pytest.mark.parametrize(
    ("result", "verdict", "age", "state"),
    [
        (Result.PERMANENT, Course.AS_SAID, 0, State.BOUNCED),
        (Result.TEMPORARY, Course.AS_SAID, 0, State.WAITING),
        (Result.PERMANENT, Course.WAIT, 0, State.WAITING),
        (Result.PERMANENT, Course.REST, 23, State.WAITING),
        (Result.PERMANENT, Course.REST, 24, State.BOUNCED),  # patience is over
        (Result.TEMPORARY, Course.REST, 48, State.WAITING),  # a 4xx never bounces for want of patience
        (Result.TEMPORARY, Course.BOUNCE, 0, State.BOUNCED),
        (Result.UNKNOWN, Course.BOUNCE, 0, State.WAITING),  # A16
    ],
)
def test_what_follows_from_a_diagnosis(result: Result, verdict: Course, age: int, state: State) -> None:
    patience = timedelta(days=1) if verdict is Course.REST else None
    diagnosis = Diagnosis("odd", Scope.SOURCE, verdict, "odd", None, patience)
    outcome = Outcome(result, Scope.MESSAGE, Phase.MAIL, DecidedBy.REMOTE, reply(550, "5.7.1", "no"), None)
    situation = Situation(1, NOW, NOW + timedelta(days=4), 0.0, timedelta(hours=age))
    schedule = RetrySchedule((timedelta(minutes=5),), 0.0)
    assert decide(replace(outcome, diagnosis=diagnosis), situation, schedule).state is state


@pytest.mark.parametrize("piece", ["(", "rp-00", "dbl.", "[ts", "domain block lis", "5.7.", "a", "é ", "550 "])
def test_nasty_text_costs_no_time(piece: str) -> None:  # S29
    answer = remote_reply(550, ((piece * 100_000)[:100_000],))
    started = time.process_time()
    DIAGNOSER.diagnose(answer, Phase.RCPT, "microsoft")
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[meaning.odd]\nverdict = 1", "d.toml:3: meaning.odd: unknown meaning; bounces.toml has address-syntax"),
        ("[[rule]", "d.toml: "),
        ("[other]", "d.toml:3: other: unknown key; allowed here: meaning, rule"),
        ("[meaning.policy]", "d.toml:3: meaning.policy: verdict is missing"),
        ('[meaning.policy]\nverdict = "pray"', "d.toml:4: meaning.policy: verdict: write one of as-said, bounce"),
        (
            '[meaning.policy]\nverdict = "wait"\nscope = "recipient"',
            "d.toml:5: meaning.policy: scope: policy is about us",
        ),
        ('[meaning.policy]\nverdict = "wait"\nrest = "5m"', 'd.toml:5: meaning.policy: rest: only verdict = "rest"'),
        ('[meaning.policy]\nverdict = "wait"\npatience = "long"', "d.toml:5: meaning.policy: patience: 'long' is not"),
        ('[[rule]]\nid = "a"\nexample = "550 x"', "d.toml:3: rule 'a': needs a condition"),
        ('[[rule]]\nid = "a"\ncode = [550]', "d.toml:3: rule 'a': example: is missing"),
        ('[[rule]]\nid = "a"\nexample = "550 x"\n\ncode = [250]', "d.toml:7: rule 'a': code is a list of numbers"),
        ('[[rule]]\nid = "a"\nexample = "550 x"\nregex = "(a+)+"', "d.toml:6: rule 'a': a regex has at most"),
        ('[[rule]]\nid = "a"\nexample = "550 x"\nphase = ["dinner"]', "d.toml:6: rule 'a': phase: write a list of"),
        ('[[rule]]\nid = "a"\nexample = "550 x"\ncode = [550]\nprovider = "x"', "d.toml:7: rule 'a': provider: write"),
        ('[[rule]]\nid = "a"\nexample = "550 x"\ncode = [550]\nwhy = "x"', "d.toml:7: rule 'a': why: unknown key"),
        (2 * '[[rule]]\nid = "a"\nexample = "550 x"\ncode = [550]\n', "d.toml:8: rule 'a': id: occurs twice"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_key(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_diagnosis(LEAST + text, BOUNCES, "d.toml")
    assert complaint in str(raised.value)


def test_all_complaints_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_diagnosis('[[rule]]\nid = "A"\n[[rule]]\nid = "b"\n', BOUNCES, "d.toml")
    assert len(str(raised.value).splitlines()) >= 5


def test_a_file_of_ones_own_replaces_the_packaged_one(tmp_path: Path) -> None:
    own = tmp_path / "diagnosis.toml"
    own.write_text(
        LEAST + '[[rule]]\nid = "mine"\ncode = [571]\nmeaning = "policy"\nverdict = "wait"\nexample = "571 x"\n'
    )
    mine = load_diagnoser(tmp_path)
    assert mine.diagnose(said("571 go away"), Phase.RCPT).rule == "mine"
    assert load_diagnoser(tmp_path / "elsewhere").diagnose(said("571 go away"), Phase.RCPT).rule != "mine"
