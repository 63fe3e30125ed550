from __future__ import annotations

import pytest

from relay.policy.mta_sts import StsMode, StsPolicy, StsSyntaxError, parse_policy, record_id

GOOD = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmx: *.example.net\r\nmax_age: 86400\r\n"


@pytest.mark.parametrize(
    ("records", "found"),
    [
        (["v=STSv1; id=20260101T0000Z;"], "20260101T0000Z"),
        (["v=STSv1; id=20260101;"], "20260101"),
        (["v=STSv1;id=a1"], "a1"),
        (["v=STSv1 ; id=a1 ; more=x"], "a1"),
        (["v=STSv1; id=" + "a" * 32], "a" * 32),
        (["v=STSv1; id=" + "a" * 33], ""),
        (["v=STSv1; id="], ""),
        (["v=STSv1; id=a-b"], ""),
        (["v=STSv1; nothing"], ""),
        (["v=STSv1"], ""),
        (["v=STSv2; id=a1"], ""),
        ([" v=STSv1; id=a1"], ""),
        (["id=a1; v=STSv1"], ""),
        (["v=STSv1; id=a1; id=b2"], "a1"),
        (["v=spf1 -all", "v=STSv1; id=a1"], "a1"),
        (["v=STSv1; id=a1", "v=STSv1; id=b2"], ""),
        ([], ""),
    ],
)
def test_the_record_is_one_with_an_id(records: list[str], found: str) -> None:  # I01
    assert record_id(records) == found


def test_a_policy_is_read() -> None:  # I02
    expected = StsPolicy(StsMode.ENFORCE, ("mx1.example.org", "*.example.net"), 86400)
    assert parse_policy(GOOD) == expected
    assert parse_policy(GOOD.replace("\r\n", "\n")) == expected
    assert parse_policy(GOOD.rstrip()) == expected
    assert parse_policy(GOOD + "future: whatever\r\nmode: none\r\nmax_age: 5\r\n") == expected
    assert parse_policy(GOOD.replace("mx1.example", "MX1.Example")) == expected
    assert parse_policy("version: STSv1\nmode: none\nmax_age: 0\n") == StsPolicy(StsMode.NONE, (), 0)
    assert parse_policy(GOOD.replace("86400", "31557600")).max_age == 31557600


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("STSv1", "STSv2"),
        GOOD.replace("version: STSv1\r\n", ""),
        GOOD.replace("enforce", "report"),
        GOOD.replace("86400", "31557601"),
        GOOD.replace("86400", "-1"),
        GOOD.replace("86400", "1e3"),
        GOOD.replace("86400", "٣"),
        GOOD.replace("max_age: 86400\r\n", ""),
        GOOD.replace("mx: mx1.example.org\r\nmx: *.example.net\r\n", ""),
        GOOD.replace("mx1.example.org", "mx1.*.org"),
        GOOD.replace("mx1.example.org", "mx1 example"),
        GOOD.replace("mx: mx1", "mx mx1"),
        GOOD.replace("\r\n", "\r"),
        "<!DOCTYPE html><html>policy: none</html>",
    ],
)
def test_what_is_no_policy(text: str) -> None:  # I02
    with pytest.raises(StsSyntaxError):
        parse_policy(text)


@pytest.mark.parametrize(
    ("exchanger", "listed"),
    [
        ("mx1.example.org", True),
        ("MX1.Example.ORG.", True),
        ("mx2.example.org", False),
        ("a.mx1.example.org", False),
        ("a.example.net", True),
        ("example.net", False),
        ("a.b.example.net", False),
        ("xexample.net", False),
        ("", False),
    ],
)
def test_exchangers_are_matched_by_name_or_one_label_under_a_star(exchanger: str, listed: bool) -> None:  # I04
    assert parse_policy(GOOD).allows(exchanger) is listed
