"""The doctor's judgements: values in, findings out."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.authentication.dmarc import DmarcVerdict
from relay.authentication.spf import SpfVerdict
from relay.doctor import (
    blocklists,
    certificates,
    machine,
    names,
    policies,
    reach,
    relaying,
    resolving,
    returns,
    sealing,
    senders,
)
from relay.doctor.finding import Finding, Severity, worst
from relay.doctor.providers import open_port_25, provider_of, set_ptr
from relay.doctor.subject import Door, MailDomain, Outlet, Place, ResolverFacts, TlsPair
from relay.policy.mta_sts import StsMode, StsPolicy, policy_id
from relay.policy.tls import Fault, TlsResult
from relay.resolver.contract import DnsAnswer, DnsFailure
from relay.signing.keys import KeyFile, KeyType

OUTLET = Outlet("ip1", "mail.leak.example", "", ("192.0.2.10",))
NOBODY = DnsAnswer((), DnsFailure.NXDOMAIN)
SILENT = DnsAnswer((), DnsFailure.TIMEOUT)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def reached(*errors: str) -> list[reach.Reached]:
    return [reach.Reached(f"mx{number}.example:25", error) for number, error in enumerate(errors)]


def ptr(*found: str, back: str = "192.0.2.10") -> Finding:
    answer = DnsAnswer(found) if found else NOBODY
    return names.judge_ptr("192.0.2.10", "mail.leak.example", answer, {name: DnsAnswer((back,)) for name in found})


def key(problem: str = "", bits: int = 2048) -> KeyFile:
    return KeyFile("leak.example", "s1", Path("s1.pem"), KeyType.RSA, bits, "v=DKIM1; k=rsa; p=AAAA", problem)


def dkim(*records: str, bits: int = 2048) -> Finding:
    return senders.judge_dkim("s1._domainkey.leak.example", key(bits=bits), DnsAnswer(records) if records else NOBODY)


def certificate(days: float, fault: Fault | None = None, *, strict: bool = True) -> Finding:
    read = certificates.Read((b"der",), NOW + timedelta(days=days))
    pair = TlsPair("submission.tls", Path("c.pem"), Path("k.pem"), strict)
    return certificates.judge(pair, "mail.leak.example", read, fault, NOW)


def servers(host: str, *, trust: bool, answer: DnsAnswer | None) -> Finding:
    return resolving.judge_servers(ResolverFacts((f"{host}:53",), trust, "ietf.org"), answer)


def dmarc(result: str, policy: str = "reject", spf: str = "pass") -> Finding:
    domain = MailDomain("leak.example", (), "bounces.leak.example")
    both = DmarcVerdict(result, "why", "leak.example", "leak.example", policy)
    return senders.judge_dmarc(domain, both, DmarcVerdict(spf, "why"))


def mx(records: tuple[str, ...], said: returns.Answered | None, *, is_return: bool = True) -> Finding:
    answer = DnsAnswer(records) if records else NOBODY
    return returns.judge("bounces.leak.example", answer, said, {"mail.leak.example"}, returns=is_return)


POLICY = StsPolicy(StsMode.TESTING, ("mail.leak.example",), 604800)
ANNOUNCED = DnsAnswer((f"v=STSv1; id={policy_id(POLICY)};",))
BROKEN = Fault("no connection", TlsResult.STS_FETCH_ERROR)
SIGNED = DnsAnswer(("192.0.2.1",), None, True)
UNSIGNED = DnsAnswer(("192.0.2.1",))
SUBMISSION = Door("submission", Place("192.0.2.10", 587), False)
OURS = "10 mail.leak.example"
TAKES = returns.Answered("mail.leak.example", asked_postmaster=True)


def listed(*codes: str, zone: str = "zen.spamhaus.org") -> Finding:
    answer = DnsAnswer(codes) if codes else NOBODY
    return blocklists.judge(blocklists.Listing("192.0.2.10", zone, blocklists.read_answer(answer), codes))


CASES: list[tuple[str, Callable[[], Finding], Severity, str]] = [
    ("port 25 open", lambda: reach.judge_port_25(OUTLET, reached("", ""), None, smarthost=False), Severity.OK, ""),
    (
        "one target away",
        lambda: reach.judge_port_25(OUTLET, reached("", "x"), None, smarthost=False),
        Severity.NOTE,
        "",
    ),
    (
        "port 25 shut",
        lambda: reach.judge_port_25(OUTLET, reached("no connection", "no connection"), None, smarthost=False),
        Severity.ERROR,
        "Hetzner",
    ),
    (
        "smarthost away",
        lambda: reach.judge_port_25(OUTLET, reached("x"), None, smarthost=True),
        Severity.ERROR,
        "smarthost",
    ),
    ("address unknown", lambda: reach.judge_address(Outlet("a", "m", "", ()), [], private=False), Severity.WARNING, ""),
    (
        "address right",
        lambda: reach.judge_address(OUTLET, [reach.Reached("t", "", "192.0.2.10")], private=True),
        Severity.OK,
        "",
    ),
    (
        "seen as another",
        lambda: reach.judge_address(OUTLET, [reach.Reached("t", "", "198.51.100.9")], private=False),
        Severity.WARNING,
        "doctor.addresses",
    ),
    (
        "behind NAT",
        lambda: reach.judge_address(Outlet("a", "m", "", ("10.0.0.1",)), [], private=False),
        Severity.WARNING,
        "public",
    ),
    ("ptr right", lambda: ptr("mail.leak.example"), Severity.OK, ""),
    ("no ptr", ptr, Severity.ERROR, "192.0.2.10"),
    ("ptr leads elsewhere", lambda: ptr("mail.leak.example", back="192.0.2.11"), Severity.ERROR, "A 192.0.2.10"),
    ("ptr of the host", lambda: ptr("static.1.your-server.de"), Severity.WARNING, "Robot"),
    ("two names", lambda: ptr("mail.leak.example", "other.example"), Severity.NOTE, "keep"),
    (
        "ptr unknown",
        lambda: names.judge_ptr("192.0.2.10", "mail.leak.example", SILENT, {}),
        Severity.UNKNOWN,
        "",
    ),
    ("ehlo right", lambda: names.judge_ehlo(OUTLET, DnsAnswer(("192.0.2.10",))), Severity.OK, ""),
    ("ehlo nobody", lambda: names.judge_ehlo(OUTLET, NOBODY), Severity.ERROR, "A 192.0.2.10"),
    ("ehlo another", lambda: names.judge_ehlo(OUTLET, DnsAnswer(("192.0.2.9",))), Severity.WARNING, "publish"),
    (
        "ehlo local",
        lambda: names.judge_ehlo(Outlet("a", "box.localdomain", "", ()), NOBODY),
        Severity.ERROR,
        "node.name",
    ),
    (
        "spf pass",
        lambda: senders.judge_spf("192.0.2.1", SpfVerdict("pass", "w", "d.example"), path=True),
        Severity.OK,
        "",
    ),
    (
        "spf fail",
        lambda: senders.judge_spf("192.0.2.1", SpfVerdict("fail", "w", "d.example"), path=True),
        Severity.ERROR,
        "ip4:192.0.2.1",
    ),
    (
        "spf of the ehlo name",
        lambda: senders.judge_spf("2001:db8::1", SpfVerdict("none", "w", "d.example"), path=False),
        Severity.WARNING,
        "ip6:2001:db8::1",
    ),
    (
        "spf permerror",
        lambda: senders.judge_spf("192.0.2.1", SpfVerdict("permerror", "w", "d.example"), path=True),
        Severity.ERROR,
        "10 look-ups",
    ),
    (
        "spf temperror",
        lambda: senders.judge_spf("192.0.2.1", SpfVerdict("temperror", "w", "d.example"), path=True),
        Severity.UNKNOWN,
        "",
    ),
    ("dkim right", lambda: dkim("v=DKIM1; k=rsa; p=AA AA"), Severity.OK, ""),
    ("dkim nothing", dkim, Severity.ERROR, "leak dns"),
    ("dkim another", lambda: dkim("v=DKIM1; k=rsa; p=BBBB"), Severity.ERROR, "leak dns"),
    ("dkim revoked", lambda: dkim("v=DKIM1; p="), Severity.ERROR, "leak dns"),
    ("dkim twice", lambda: dkim("v=DKIM1; p=AAAA", "v=DKIM1; p=BBBB"), Severity.ERROR, "one"),
    ("dkim testing", lambda: dkim("v=DKIM1; t=y:s; p=AAAA"), Severity.WARNING, "publish"),
    ("dkim short", lambda: dkim("v=DKIM1; p=AAAA", bits=1024), Severity.WARNING, "rotate"),
    (
        "dkim key gone",
        lambda: senders.judge_dkim("n", key("it is missing"), NOBODY),
        Severity.ERROR,
        "mend",
    ),
    ("key old", lambda: senders.judge_age("n", timedelta(days=500)), Severity.WARNING, "rotate"),
    ("key young", lambda: senders.judge_age("n", timedelta(days=5)), Severity.OK, ""),
    ("dmarc reject", lambda: dmarc("pass"), Severity.OK, ""),
    ("dmarc none policy", lambda: dmarc("pass", "none"), Severity.NOTE, "p=reject"),
    ("dmarc missing", lambda: dmarc("none"), Severity.ERROR, "v=DMARC1"),
    ("dmarc unaligned path", lambda: dmarc("pass", spf="fail"), Severity.WARNING, "return domain"),
    ("dmarc unknown", lambda: dmarc("temperror"), Severity.UNKNOWN, ""),
    ("mx ours", lambda: mx((OURS,), TAKES), Severity.OK, ""),
    ("mx missing", lambda: mx((), None), Severity.ERROR, "MX 10 mail.leak.example"),
    ("mx null", lambda: mx(("0 .",), None), Severity.ERROR, "publish"),
    ("mx another's", lambda: mx(("10 mx.example",), returns.Answered("mx.example")), Severity.ERROR, "publish"),
    (
        "mx deaf",
        lambda: mx((OURS,), returns.Answered("mail.leak.example", "no connection")),
        Severity.WARNING,
        "hairpin",
    ),
    (
        "from at another's",
        lambda: mx(("10 mx.example",), returns.Answered("mx.example"), is_return=False),
        Severity.OK,
        "",
    ),
    ("sts right", lambda: policies.judge("d.example", POLICY, ANNOUNCED, POLICY), Severity.OK, ""),
    ("sts silent", lambda: policies.judge("d.example", POLICY, ANNOUNCED, BROKEN), Severity.ERROR, "mta-sts.d.example"),
    ("sts not announced", lambda: policies.judge("d.example", POLICY, NOBODY, POLICY), Severity.NOTE, "leak dns"),
    (
        "sts old id",
        lambda: policies.judge("d.example", POLICY, DnsAnswer(("v=STSv1; id=old;",)), POLICY),
        Severity.WARNING,
        "leak dns",
    ),
    ("certificate right", lambda: certificate(60), Severity.OK, ""),
    ("certificate soon", lambda: certificate(9), Severity.WARNING, "renew"),
    ("certificate tomorrow", lambda: certificate(1), Severity.ERROR, "renew"),
    ("certificate over", lambda: certificate(-1), Severity.ERROR, "renew"),
    (
        "certificate of another",
        lambda: certificate(60, Fault("no match", TlsResult.HOST_MISMATCH)),
        Severity.WARNING,
        "names mail.leak.example",
    ),
    (
        "certificate nobody knows, between hosts",
        lambda: certificate(60, Fault("unknown", TlsResult.NOT_TRUSTED), strict=False),
        Severity.NOTE,
        "ACME",
    ),
    ("not listed", listed, Severity.OK, ""),
    ("listed", lambda: listed("127.0.0.3"), Severity.ERROR, "check.spamhaus.org"),
    ("policy listing", lambda: listed("127.0.0.10"), Severity.ERROR, "declared this range"),
    ("listed elsewhere", lambda: listed("127.0.0.2", zone="bl.example"), Severity.ERROR, "bl.example"),
    ("the list's error code", lambda: listed("127.255.255.254"), Severity.UNKNOWN, "resolver"),
    ("a helpful resolver", lambda: listed("198.51.100.7"), Severity.UNKNOWN, "resolver"),
    ("no test entry", lambda: blocklists.judge_silent("zen.spamhaus.org", NOBODY), Severity.UNKNOWN, "Data Query"),
    ("clock right", lambda: machine.judge_clock("ntp", timedelta(seconds=1)), Severity.OK, ""),
    ("clock late", lambda: machine.judge_clock("ntp", timedelta(seconds=90)), Severity.WARNING, "chrony"),
    ("clock wrong", lambda: machine.judge_clock("ntp", timedelta(hours=-2)), Severity.ERROR, "signatures"),
    ("disk wide", lambda: machine.judge_room("/s", 9 * 10**9, 10**10, 10**8), Severity.OK, ""),
    ("disk narrow", lambda: machine.judge_room("/s", 3 * 10**8, 10**10, 10**8), Severity.WARNING, "make room"),
    ("disk full", lambda: machine.judge_room("/s", 10**7, 10**10, 10**8), Severity.ERROR, "452"),
    ("fsync fast", lambda: machine.judge_fsync("/s", 0.002), Severity.OK, ""),
    ("fsync slow", lambda: machine.judge_fsync("/s", 0.3), Severity.WARNING, "SSD"),
    ("secrets private", lambda: machine.judge_modes("n", {Path("a"): 0o600, Path("t"): 0o640}), Severity.OK, ""),
    ("secrets open", lambda: machine.judge_modes("n", {Path("a"): 0o644}), Severity.ERROR, "chmod o= a"),
    ("secrets hidden", lambda: machine.judge_modes("n", {Path("a"): None}), Severity.UNKNOWN, "user"),
    ("password open", lambda: machine.judge_configuration(Path("c"), 0o644), Severity.WARNING, "chmod"),
    ("password private", lambda: machine.judge_configuration(Path("c"), 0o640), Severity.OK, ""),
    ("sealing keys", lambda: sealing.judge_keys("n", {"2026-11", "2027-01"}, NOW), Severity.OK, ""),
    ("sealing keys end", lambda: sealing.judge_keys("n", {"2026-11", "2026-12"}, NOW), Severity.WARNING, "new-keys"),
    ("sealing key missing", lambda: sealing.judge_keys("n", {"2026-12", "2027-01"}, NOW), Severity.WARNING, "new-keys"),
    ("sealing keys ended", lambda: sealing.judge_keys("n", {"2026-10"}, NOW), Severity.ERROR, "new-keys"),
    ("no sealing keys", lambda: sealing.judge_keys("n", (), NOW), Severity.NOTE, "new-keys"),
    ("versions", lambda: machine.judge_versions("3.11.7", "3.51.3"), Severity.OK, ""),
    ("old sqlite", lambda: machine.judge_versions("3.11.7", "3.40.1"), Severity.ERROR, "apsw"),
    ("validates", lambda: servers("127.0.0.1", trust=True, answer=SIGNED), Severity.OK, ""),
    ("does not validate", lambda: servers("127.0.0.1", trust=True, answer=UNSIGNED), Severity.WARNING, "unbound"),
    ("everybody's resolver", lambda: servers("8.8.8.8", trust=False, answer=SIGNED), Severity.WARNING, "unbound"),
    ("a distant AD bit", lambda: servers("192.0.2.53", trust=True, answer=SIGNED), Severity.WARNING, "unbound"),
    ("no DANE", lambda: servers("192.0.2.53", trust=False, answer=UNSIGNED), Severity.NOTE, "unbound"),
    ("no DNS", lambda: servers("127.0.0.1", trust=False, answer=SILENT), Severity.ERROR, "DNS"),
    (
        "refuses strangers",
        lambda: relaying.judge(SUBMISSION, relaying.Asked((), "530"), ()),
        Severity.OK,
        "",
    ),
    (
        "an open relay",
        lambda: relaying.judge(SUBMISSION, relaying.Asked(("<a@b>",)), ()),
        Severity.ERROR,
        "stop the node",
    ),
    (
        "trusts this machine",
        lambda: relaying.judge(SUBMISSION, relaying.Asked(("<a@b>",)), ("192.0.2.0/24",)),
        Severity.NOTE,
        "not trusted",
    ),
    ("not running", lambda: relaying.judge(SUBMISSION, relaying.Asked(error="refused"), ()), Severity.UNKNOWN, "run"),
]


@pytest.mark.parametrize(("judge", "severity", "remedy"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_judgement(judge: Callable[[], Finding], severity: Severity, remedy: str) -> None:
    """Each has its evidence, and whatever a person must act on has a remedy."""
    finding = judge()
    assert finding.severity is severity, finding
    assert finding.evidence
    assert remedy in finding.remedy
    assert finding.remedy or not finding.severity.alarms


def test_worst() -> None:
    assert worst([]) is Severity.OK
    assert worst([ptr(), ptr("mail.leak.example")]) is Severity.ERROR


def test_providers() -> None:
    hetzner = provider_of(["static.88-1-2-3.clients.your-server.de"])
    assert hetzner is not None
    assert "Limits" in open_port_25(hetzner)
    assert "Vultr" not in open_port_25(hetzner)
    assert "Robot" in set_ptr(hetzner, "192.0.2.1", "mail.leak.example")
    assert provider_of(["notyour-server.de", "mail.leak.example"]) is None


@pytest.mark.parametrize(
    ("address", "question"),
    [("192.0.2.10", "10.2.0.192"), ("2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2")],
)
def test_reversed_address(address: str, question: str) -> None:
    assert blocklists.reversed_address(address) == question


def test_time_of_a_server() -> None:
    moment = datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)
    seconds = int(moment.timestamp()) + 2_208_988_800
    packet = b"\x24\x01" + bytes(38) + struct.pack("!II", seconds, 1 << 31)
    assert machine.read_ntp(packet) == moment
    later = b"\x24\x01" + bytes(38) + struct.pack("!II", 100, 0)
    assert machine.read_ntp(later).year == 2036
    for wrong in (b"", bytes(48), b"\x24\x00" + bytes(46)):
        with pytest.raises(OSError, match="time server"):
            machine.read_ntp(wrong)
