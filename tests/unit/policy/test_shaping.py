"""The shaping rules: what comes with the program, how it is merged, divided and checked."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from relay.errors import ConfigurationError
from relay.policy.shaping import Action, Limits, ShapingBook, Share
from relay.policy.shaping_file import load_shaping, obstacle_of, parse_shaping

RULE = '[[provider]]\nname = "a"\n'
REPLY = RULE + 'mx = ["a"]\n[[provider.reply]]\nid = "r"\n'
BOOK = load_shaping(Path(__file__).parents[3] / "config")


@pytest.mark.parametrize(
    ("exchanger", "domain", "connections", "messages"),
    [
        ("gmail-smtp-in.l.google.com", "gmail.com", 5, 50),
        ("mta5.am0.yahoodns.net", "yahoo.com", 5, 20),
        ("outlook-com.olc.protection.outlook.com", "outlook.com", 5, 50),
        ("firm-com.mail.protection.outlook.com", "firm.com", 5, 50),
        ("smtp-in.orange.fr", "orange.fr", 2, 100),
        ("smtp-in.sfr.fr", "neuf.fr", 2, 50),
        ("smtpz4.laposte.net", "laposte.net", 2, 100),
        ("mx1.free.fr", "free.fr", 2, 20),
        ("mx01.mail.icloud.com", "me.com", 10, 5),
        ("mx00.gmx.net", "gmx.de", 4, 20),
        ("mx.unnamed.example", "unnamed.example", 20, 100),
        ("notgoogle.com", "notgoogle.com", 20, 100),
    ],
)
def test_named_providers_and_the_rest(exchanger: str, domain: str, connections: int, messages: int) -> None:
    limits = BOOK.shaping([exchanger], domain).limits
    assert (limits.connections, limits.messages_per_connection) == (connections, messages)
    assert limits.messages is None


def test_a_site_belongs_to_a_provider_only_with_all_its_exchangers() -> None:
    mixed = BOOK.shaping(["mx.google.com", "backup.example"], "b.example")
    assert mixed.limits == Limits()
    assert mixed.replies == ()


def test_rules_are_merged_hosts_first_then_domains() -> None:
    text = """
[[provider]]
name = "one-domain"
domains = ["big.example"]
connections = 3
[[provider]]
name = "hosts"
mx = [".mx.example"]
connections = 10
messages_per_minute = 60
[[provider.reply]]
id = "busy"
regex = 'busy'
action = "suspend"
for = "30m"
"""
    shaping = parse_shaping(text).shaping(["a.mx.example"], "big.example")
    assert (shaping.limits.connections, shaping.limits.messages) == (3, 60)
    assert shaping.origin == {"connections": "one-domain", "messages": "hosts"}
    assert [(rule.id, rule.action) for rule in shaping.replies] == [("busy", Action.SUSPEND)]
    assert parse_shaping(text).shaping(["a.mx.example"], "other.example").limits.connections == 10


@pytest.mark.parametrize("of", [1, 2, 3, 5, 40])
def test_the_shares_of_all_workers_add_up_to_the_limit(of: int) -> None:
    for limit in (1, 2, 5, 20):
        parts = [Share(position, of).limits(Limits(limit, messages=60), "path") for position in range(of)]
        assert sum(part.connections for part in parts) == limit
        assert sum(part.messages or 0 for part in parts) == pytest.approx(60)
    assert ShapingBook().shaping([], "b.example").limits == Limits()


def test_replies_of_the_providers_are_met_by_their_rules() -> None:
    known = {
        ("gmail-smtp-in.l.google.com", "421 4.7.28 Gmail has detected an unusual rate"): "google-rate",
        ("mta5.am0.yahoodns.net", "421 4.7.0 [TSS04] Messages from 192.0.2.9 temporarily deferred"): "yahoo-ts01",
        ("a.olc.protection.outlook.com", "451 4.7.650 The mail server has been rate limited"): "outlook-reputation",
        ("smtp-in.orange.fr", "421 mwinf5c04 ME Trop de connexions OFR004_104 [104]"): "orange-104",
        ("smtp-in.sfr.fr", "550 5.7.1 SFR_IN_105 volume"): "sfr-block",
        ("smtpz4.laposte.net", "421 4.7.1 LPN027_503 Too many"): "laposte-503",
        ("mx1.free.fr", "421 too many errors"): "free-421",
    }
    for (exchanger, reply), expected in known.items():
        rules = BOOK.shaping([exchanger], "x.example").replies
        assert [rule.id for rule in rules if rule.pattern.search(reply)][:1] == [expected]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (RULE + 'mx = [".a.example"]\nspeed = 1\n', 4, "unknown key"),
        (RULE + 'mx = [".a.example"]\nconnections = 0\n', 4, "above 0"),
        (RULE + 'mx = [".a.example"]\nconnections = 2.5\n', 4, "whole number"),
        (RULE, 1, "whom it means"),
        (REPLY + 'regex = "(a+)+"\naction = "alarm"\n', 6, "time"),
        (REPLY + 'regex = "a"\naction = "stop"\n', 7, "slow"),
        (REPLY + 'regex = "a"\naction = "slow"\n', 7, "needs"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_shaping(text, "providers.toml")
    assert str(caught.value).startswith(f"providers.toml:{line}: ")
    assert words in str(caught.value)


def test_no_pattern_that_is_allowed_takes_long_on_a_hostile_reply() -> None:
    for pattern in (r"(a|a)*b", r"(x+x+)+y", r".*.*.*=.*", r"(?=a)b", r"(a)\1", "a" * 201, "["):
        assert obstacle_of(pattern), pattern
    begun = time.process_time()
    for rule in (rule for one in BOOK.rules for rule in one.replies):
        assert not obstacle_of(rule.pattern.pattern)
        rule.pattern.search("4 [SPAMOFR" * 50)
    assert re.search(".*a.*b", "a" * 500) is None
    assert time.process_time() - begun < 5


def test_a_share_that_grows_waits_a_round_and_one_that_shrinks_does_not() -> None:
    for path in ("a", "b", "c"):
        alone, three = Share(0, 1), [Share(0, 1).then(position, 3) for position in range(3)]
        assert alone.of_connections(2, path) == 2
        assert sum(share.of_connections(2, path) for share in three) == 2
        # One of three is gone: who has looked has no more than before, so that the one that has not may keep its part.
        for position, share in enumerate(part.then(n, 3) for n, part in enumerate(three)):
            fewer = share.then(min(position, 1), 2)
            assert fewer.of_connections(2, path) <= share.of_connections(2, path)
            assert fewer.then(min(position, 1), 2) == Share(min(position, 1), 2)
