"""The doctor against a whole relay in the lab: all is well, then one thing after another breaks and is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relay.checkup import examined, means, spool_of
from relay.clock import SystemClock
from relay.doctor.examining import CHECKS, Check, examine
from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, Means
from relay.lab.zone import Fault, Trouble
from relay.listeners import Wanted
from relay.settings import parse_listen
from relay.settings.operating import DoctorSettings
from tests.support.whole_relay import WholeRelay, whole_relay

PTR = "1.0.0.127.in-addr.arpa"
KEY = "lab-rsa._domainkey.leak.lab.test"


async def look(relay: WholeRelay, *names: str, **changes: object) -> list[Finding]:
    """What the doctor finds, by all checks or those named; `changes` are settings of [doctor]."""
    wanted = {
        "addresses": ["127.0.0.1"],
        "targets": [f"mx.inbox.lab.test:{relay.lab.smtp_port}"],
        "blocklists": ["dnsbl.lab.test"],
        "domain_blocklists": [],
        "signed_name": "signed.lab.test",
        **changes,
    }
    settings = relay.settings.model_copy(update={"doctor": DoctorSettings.model_validate(wanted)})
    doors = [
        Wanted("submission", parse_listen(f"127.0.0.1:{relay.smtp_port}"), "submission.listen"),
        Wanted("submission", parse_listen(f"127.0.0.1:{relay.smtps_port}/tls"), "submission.listen"),
        Wanted("inbound", parse_listen(f"127.0.0.1:{relay.inbound_port}"), "inbound.listen"),
    ]
    checks = [check for check in CHECKS if not names or check.name in names]
    async with means(settings, SystemClock()) as how:
        what = await examined(settings, how.resolver, spool_of(settings, relay.stores.database), doors)
        return await examine(how, what, 20.0, lambda check, found: None, checks)


def bad(findings: list[Finding]) -> set[tuple[str, Severity]]:
    return {(one.id, one.severity) for one in findings if one.severity not in {Severity.OK, Severity.NOTE}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WholeRelay]:
    inbound = {
        "listen": ["127.0.0.1:0"],
        "domain": "bounces.leak.lab.test",
        "mta_sts": "none",
        "tls": {"certificate": "relay.pem", "key": "relay.key"},
    }
    async with whole_relay(tmp_path_factory.mktemp("doctor"), inbound=inbound) as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_all_is_well(relay: WholeRelay) -> None:
    """Every check looks, and the lab's relay has nothing that needs a person."""
    findings = await look(relay)
    assert not bad(findings), [finding for finding in findings if finding.severity.rank > 1]
    assert {finding.id for finding in findings} >= {check.name for check in CHECKS} - {"mta-sts"}
    assert len({(finding.id, finding.subject) for finding in findings}) == len(findings)


async def test_names_and_records(relay: WholeRelay) -> None:
    """PTR, SPF, DKIM, DMARC and MX, one after the other."""
    zone = relay.lab.zone
    kept = {
        (name, kind): zone.records(name)[kind]
        for name, kind in (
            (PTR, "PTR"),
            (KEY, "TXT"),
            ("bounces.leak.lab.test", "TXT"),
            ("bounces.leak.lab.test", "MX"),
            ("_dmarc.leak.lab.test", "TXT"),
        )
    }
    broken = [
        (PTR, "PTR", ("other.lab.test.",), "ptr", Severity.ERROR),
        (KEY, "TXT", ("v=DKIM1; k=rsa; p=AAAA",), "dkim", Severity.ERROR),
        ("bounces.leak.lab.test", "TXT", ("v=spf1 ip4:192.0.2.1 -all",), "spf", Severity.ERROR),
        ("bounces.leak.lab.test", "MX", ("10 mx.inbox.lab.test.",), "mx", Severity.ERROR),
        ("_dmarc.leak.lab.test", "TXT", ("v=DMARC1; p=none; psd=n; adkim=s; aspf=s",), "dmarc", Severity.WARNING),
    ]
    for name, kind, records, check, severity in broken:
        zone.publish(name, kind, *records)
        found = await look(relay, check)
        zone.publish(name, kind, *kept[name, kind])
        assert (check, severity) in bad(found), (name, found)
        assert not bad(await look(relay, check)), check
    zone.break_name(PTR, Fault(Trouble.SERVFAIL))
    assert bad(await look(relay, "ptr")) == {("ptr", Severity.UNKNOWN)}
    zone.mend(PTR)


async def test_blocklists(relay: WholeRelay) -> None:
    """A listing is told with its reason; the list's error codes never are one; a dead list says so."""
    zone, question = relay.lab.zone, "1.0.0.127.dnsbl.lab.test"
    zone.publish(question, "A", "127.0.0.4")
    zone.publish(question, "TXT", "sent spam")
    listed = await look(relay, "blocklist")
    assert bad(listed) == {("blocklist", Severity.ERROR)}
    assert "sent spam" in listed[0].evidence
    zone.publish(question, "A", "127.255.255.254")
    assert bad(await look(relay, "blocklist")) == {("blocklist", Severity.UNKNOWN)}
    zone.withdraw(question)
    dead = await look(relay, "blocklist", blocklists=["dead.lab.test"])
    assert bad(dead) == {("blocklist", Severity.UNKNOWN)}
    zone.publish("leak.lab.test.dbl.lab.test", "A", "127.0.1.2")
    domains = await look(relay, "blocklist", domain_blocklists=["dbl.lab.test"])
    zone.withdraw("leak.lab.test.dbl.lab.test")
    assert [one.subject for one in domains if one.severity is Severity.ERROR] == ["leak.lab.test in dbl.lab.test"]


async def test_the_key_of_spamhaus_stays_secret(relay: WholeRelay) -> None:
    """The key is part of the question and of nothing that is shown."""
    secret = "k3y" * 8
    file = relay.settings.folder / "dqs"
    file.write_text(secret)
    file.chmod(0o600)
    zone = relay.lab.zone
    for entry, answer in (("2.0.0.127", "127.0.0.2"), ("1.0.0.127", "127.0.0.3")):
        zone.publish(f"{entry}.{secret}.zen.dq.spamhaus.net", "A", answer)
    found = await look(relay, "blocklist", blocklists=["zen.spamhaus.org"], spamhaus_key_file="dqs")
    assert bad(found) == {("blocklist", Severity.ERROR)}
    assert "CSS" in found[0].evidence
    assert secret not in str(found)


async def test_the_way_out(relay: WholeRelay) -> None:
    """Nobody listens, nobody of that name, silence: each is told for what it is."""
    shut = await look(relay, "port-25", targets=["mx2.two-mx.lab.test:9"])
    assert ("port-25", Severity.ERROR) in bad(shut)
    assert "Hetzner" in next(one.remedy for one in shut if one.id == "port-25")
    unknown = await look(relay, "port-25", targets=["nobody.lab.test:25"])
    assert bad(unknown) == {("port-25", Severity.UNKNOWN)}


async def test_secrets_and_certificates(relay: WholeRelay) -> None:
    """A key everybody may read, and a certificate that is none."""
    file = relay.settings.folder / "relay.key"
    file.chmod(0o644)
    assert bad(await look(relay, "secrets")) == {("secrets", Severity.ERROR)}
    file.chmod(0o600)
    certificate = relay.settings.folder / "relay.pem"
    text = certificate.read_bytes()
    certificate.write_bytes(b"nothing")
    assert bad(await look(relay, "certificate")) == {("certificate", Severity.ERROR)}
    certificate.write_bytes(text)
    assert not bad(await look(relay, "certificate", "secrets"))


async def test_a_slow_and_a_broken_check(relay: WholeRelay) -> None:
    """Neither keeps the others from telling what they found."""

    async def slow(_: Means, __: Examined) -> list[Finding]:
        await asyncio.Event().wait()
        raise AssertionError

    async def broken(_: Means, __: Examined) -> list[Finding]:
        raise ZeroDivisionError

    async with means(relay.settings, SystemClock()) as how:
        what = await examined(relay.settings, how.resolver, spool_of(relay.settings, relay.stores.database), [])
        checks = [Check("slow", "s", slow), Check("broken", "b", broken), CHECKS[-1]]
        told: list[str] = []
        found = await examine(how, what, 0.3, lambda check, _: told.append(check.name), checks)
    assert told == ["slow", "broken", CHECKS[-1].name]
    assert bad(found) == {("slow", Severity.UNKNOWN), ("broken", Severity.UNKNOWN)}
    assert found[-1].severity is Severity.OK
