"""The records to publish, and their comparison with a real name server on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relay.cli.dns_compare import Finding, compare, merged_dmarc, merged_spf
from relay.cli.dns_records import Purpose, Record, wanted_records
from relay.resolver.contract import DnsAnswer, DnsFailure
from relay.settings import settings_from
from relay.signing.keys import KeyType, make_key
from tests.support.command import leak, leak_program
from tests.support.dns_server import DnsServer, Zone

_CONFIGURATION = """\
[node]
name = "mx.leak.example"
[[signing.domain]]
domain = "leak.example"
selectors = ["e1"]
return_domain = "bounces.leak.example"
[[egress.source]]
name = "one"
address = "192.0.2.10"
[[egress.source]]
name = "two"
address = "2001:db8::10"
ehlo = "mx2.leak.example"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text(_CONFIGURATION)
    make_key(tmp_path / "dkim_keys", "leak.example", "e1", KeyType.ED25519)
    return path


def _records(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str, str], str]:
    rows = json.loads(leak(capsys, "dns", "--json", "--config", file).out)
    return {(row["purpose"], row["type"], row["name"]): row["value"] for row in rows}


def test_the_records(file: Path, capsys: pytest.CaptureFixture[str]) -> None:  # L09
    records = _records(file, capsys)
    spf = "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"
    key = records.pop(("DKIM", "TXT", "e1._domainkey.leak.example"))
    assert key.startswith("v=DKIM1; k=ed25519; p=")
    reverse = ".".join(reversed("20010db8000000000000000000000010")) + ".ip6.arpa"
    assert records == {
        ("host", "A", "mx.leak.example"): "192.0.2.10",
        ("host", "AAAA", "mx2.leak.example"): "2001:db8::10",
        ("reverse", "PTR", "10.2.0.192.in-addr.arpa"): "mx.leak.example",
        ("reverse", "PTR", reverse): "mx2.leak.example",
        ("SPF", "TXT", "mx.leak.example"): spf,
        ("SPF", "TXT", "mx2.leak.example"): spf,
        ("SPF", "TXT", "leak.example"): spf,
        ("SPF", "TXT", "bounces.leak.example"): spf,
        # Neither rua nor MX: nothing listens for what they would bring.
        ("DMARC", "TXT", "_dmarc.leak.example"): "v=DMARC1; p=none; aspf=r",
    }


def test_the_zone_form(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = leak(capsys, "dns", "--zone", "--config", file).out.splitlines()
    assert 'leak.example. 3600 IN TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"' in lines
    assert 'bounces.leak.example. 3600 IN TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"' in lines
    assert not any(" MX " in line for line in lines)
    assert "mx.leak.example. 3600 IN A 192.0.2.10" in lines
    assert leak(capsys, "dns", "--zone", "--check", "--config", file).status == 2


def test_a_hidden_address_is_named_by_its_host(tmp_path: Path) -> None:
    settings = settings_from(
        {
            "node": {"name": "mx.leak.example"},
            "signing": {"domain": [{"domain": "leak.example", "selectors": ["e1"]}]},
            "egress": {"source": [{"name": "a", "address": "10.0.0.1"}]},
        },
        tmp_path,
    )
    records = wanted_records(settings)
    assert {record.value for record in records if record.purpose is Purpose.SPF} == {"v=spf1 a:mx.leak.example -all"}
    [dkim] = [record for record in records if record.purpose is Purpose.DKIM]
    assert dkim.value == ""
    assert "is missing" in dkim.problem
    assert dkim.zone_line().startswith("; e1._domainkey.leak.example. TXT: ")


def _zone(file: Path, capsys: pytest.CaptureFixture[str]) -> Zone:
    zone: Zone = {}
    for (_, kind, name), value in _records(file, capsys).items():
        zone.setdefault(name, {}).setdefault(kind, []).append(value)
    return zone


async def test_check_against_a_name_server(file: Path, capsys: pytest.CaptureFixture[str]) -> None:  # L09
    zone = _zone(file, capsys)
    zone["leak.example"]["TXT"].append("some-other-verification=1")
    async with DnsServer(zone) as server:
        environment = {"LEAK_RESOLVER__NAMESERVERS": f"127.0.0.1:{server.port}"}
        good = await leak_program("dns", "--check", "--config", str(file), environment=environment)
        assert (good.status, good.err) == (0, "")
        assert {line.split()[0] for line in good.out.splitlines()[1:]} == {"ok"}
        del zone["bounces.leak.example"]
        zone["_dmarc.leak.example"]["TXT"] = ["v=DMARC1; p=reject; aspf=s"]
        bad = await leak_program("dns", "--check", "--json", "--config", str(file), environment=environment)
    assert bad.status == 1
    assert "2 of 10 records are not as they should be" in bad.err
    found = {(row["type"], row["name"]): row for row in json.loads(bad.out)}
    assert found["TXT", "bounces.leak.example"]["finding"] == "missing"
    assert found["TXT", "_dmarc.leak.example"]["finding"] == "different"
    assert found["TXT", "leak.example"]["live"] == ["v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"]


_SPF = Record(Purpose.SPF, "a.example", "TXT", "v=spf1 ip4:192.0.2.1 -all")
_DKIM = Record(Purpose.DKIM, "s._domainkey.a.example", "TXT", "v=DKIM1; k=rsa; p=QUJD")
_DMARC = Record(Purpose.DMARC, "_dmarc.a.example", "TXT", "v=DMARC1; p=none; aspf=r")
_MX = Record(Purpose.BOUNCES, "b.a.example", "MX", "10 mx.a.example")
_PTR = Record(Purpose.REVERSE, "1.2.0.192.in-addr.arpa", "PTR", "mx.a.example")


@pytest.mark.parametrize(
    ("record", "live", "finding", "hint"),
    [
        (_SPF, ["v=spf1 include:x.example ip4:192.0.2.1 ~all"], Finding.OK, ""),
        (_SPF, ["v=spf1 include:x.example -all"], Finding.DIFFERENT, "v=spf1 include:x.example ip4:192.0.2.1 -all"),
        (_SPF, ["v=spf1 ip4:192.0.2.1 -all", "v=spf1 -all"], Finding.DIFFERENT, "several SPF records"),
        (_SPF, ["v=spf10 -all"], Finding.MISSING, "publish it"),
        (_DKIM, ["k=rsa; p=QU JD"], Finding.OK, ""),
        (_DKIM, ["p=QUJD"], Finding.OK, ""),
        (_DKIM, ["v=DKIM1; p="], Finding.DIFFERENT, "revoked"),
        (_DKIM, ["v=DKIM1; p=WFla"], Finding.DIFFERENT, "another key"),
        (_DKIM, ["p=QUJD", "p=WFla"], Finding.DIFFERENT, "several records"),
        (_DMARC, ["v=DMARC1;p=quarantine"], Finding.OK, ""),
        (_DMARC, ["v=DMARC1; p=maybe"], Finding.DIFFERENT, "not valid"),
        (_DMARC, ["v=DMARC1; p=none", "v=DMARC1; p=none"], Finding.DIFFERENT, "several DMARC"),
        (_MX, ["5 other.example", "20 mx.a.example"], Finding.OK, ""),
        (_MX, ["0 ."], Finding.DIFFERENT, "bounces go to ."),
        (_PTR, ["MX.a.example."], Finding.OK, ""),
        (_PTR, ["host-1.isp.example"], Finding.DIFFERENT, "another value"),
        (_PTR, [], Finding.MISSING, "publish it"),
    ],
)
def test_comparison(record: Record, live: list[str], finding: Finding, hint: str) -> None:
    compared = compare(record, DnsAnswer(tuple(live)))
    assert compared.finding is finding
    assert hint in compared.hint


def test_a_silent_dns_is_no_verdict() -> None:
    assert compare(_SPF, DnsAnswer((), DnsFailure.TIMEOUT)).finding is Finding.UNKNOWN
    assert compare(_SPF, DnsAnswer((), DnsFailure.NXDOMAIN)).finding is Finding.MISSING


@pytest.mark.parametrize(
    ("live", "merged"),
    [
        ("v=spf1 ip4:192.0.2.1 mx ~all", "v=spf1 ip4:192.0.2.1 mx ~all"),
        ("v=spf1 +IP4:192.0.2.1 -all", "v=spf1 +IP4:192.0.2.1 -all"),
        ("v=spf1 mx ~all", "v=spf1 mx ip4:192.0.2.1 ~all"),
        ("v=spf1 redirect=_spf.x.example", "v=spf1 ip4:192.0.2.1 redirect=_spf.x.example"),
        ("v=spf1", "v=spf1 ip4:192.0.2.1"),
        ("v=spf1 ip4:192.0.2.0/24 -all", "v=spf1 ip4:192.0.2.0/24 -all"),
        ("v=spf1 -ip4:192.0.2.0/24 ~all", "v=spf1 -ip4:192.0.2.0/24 ip4:192.0.2.1 ~all"),
        (
            "v=spf1 ip4:198.51.100.0/24 ip6:::/0 ip4:x -all",
            "v=spf1 ip4:198.51.100.0/24 ip6:::/0 ip4:x ip4:192.0.2.1 -all",
        ),
    ],
)
def test_an_spf_record_that_is_there_is_added_to(live: str, merged: str) -> None:
    assert merged_spf(live, "v=spf1 ip4:192.0.2.1 -all") == merged
    assert merged_spf(merged, "v=spf1 ip4:192.0.2.1 -all") == merged


@pytest.mark.parametrize(
    ("live", "merged"),
    [
        ("v=DMARC1; p=reject; rua=mailto:us@a.example", "v=DMARC1; p=reject; rua=mailto:us@a.example"),
        ("v=DMARC1;p=reject;", "v=DMARC1; p=reject; rua=mailto:us@a.example"),
        (
            "v=DMARC1; p=quarantine; rua=mailto:them@b.example; aspf=s; adkim=s",
            "v=DMARC1; p=quarantine; rua=mailto:them@b.example,mailto:us@a.example; adkim=s",
        ),
    ],
)
def test_a_dmarc_record_that_is_there_is_added_to(live: str, merged: str) -> None:
    assert merged_dmarc(live, "v=DMARC1; p=none; aspf=r; rua=mailto:us@a.example") == merged


async def test_an_spf_record_beyond_ten_look_ups_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:  # M03
    zone = _zone(file, capsys)
    for number in range(4):
        zone[f"s{number}.x.example"] = {"TXT": ["v=spf1 a mx ?all"]}
    includes = " ".join(f"include:s{number}.x.example" for number in range(4))
    zone["leak.example"]["TXT"] = [f"v=spf1 {includes} ip4:192.0.2.10 ip6:2001:db8::10 -all"]
    async with DnsServer(zone) as server:
        environment = {"LEAK_RESOLVER__NAMESERVERS": f"127.0.0.1:{server.port}"}
        told = await leak_program("dns", "--check", "--config", str(file), environment=environment)
    assert told.status == 1
    assert "it needs 12 DNS look-ups" in told.out
