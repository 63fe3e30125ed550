"""Aggregate reports as counts, from documents that strangers wrote."""

from __future__ import annotations

import pytest

from relay.report.aggregate_reading import SourceCount, TlsReport, domains_named, read_dmarc, read_tls

ROW = (
    "<record><row><source_ip>{}</source_ip><count>{}</count><policy_evaluated><disposition>none</disposition>"
    "<dkim>{}</dkim><spf>{}</spf></policy_evaluated></row><identifiers><header_from>leak.example</header_from>"
    "</identifiers></record>"
)


def document(*rows: tuple[str, object, str, str], begin: int = 1_700_000_000, head: str = "") -> bytes:
    body = "".join(ROW.format(*row) for row in rows)
    return (
        f'<?xml version="1.0"?>{head}<feedback><report_metadata><org_name>R</org_name><date_range>'
        f"<begin>{begin}</begin><end>{begin + 86_399}</end></date_range></report_metadata>"
        f"<policy_published><domain>Leak.example</domain>"
        f"</policy_published>{body}</feedback>"
    ).encode()


def test_mail_is_counted_by_source() -> None:  # M08
    report = read_dmarc(
        document(
            ("192.0.2.10", 3, "pass", "fail"),
            ("192.0.2.10", 2, "fail", "fail"),
            ("2001:DB8::1", 4, "fail", "pass"),
            ("no address", 4, "pass", "pass"),
            ("192.0.2.11", "-5", "pass", "pass"),
        )
    )
    assert report is not None
    assert (report.domain, report.reporter) == ("leak.example", "R")
    assert report.sources == (
        SourceCount("192.0.2.10", 3, 2),
        SourceCount("2001:db8::1", 4, 0),
        SourceCount("192.0.2.11", 0, 0),
    )


def test_a_namespace_changes_nothing() -> None:
    spaced = document(("192.0.2.10", 1, "pass", "pass")).replace(b"<feedback>", b'<feedback xmlns="urn:ietf:params:x">')
    assert read_dmarc(spaced) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"<feedback>",
        b"<feedback/>",
        document(begin=0),
        document(begin=10**11),
        document(head='<!DOCTYPE feedback [<!ENTITY a "aaaa">]>'),
        b"<?xml version='1.0' encoding='no-such'?><feedback/>",
        b"<a>" * 1000,
        b"<feedback>\xff</feedback>",
    ],
)
def test_what_is_no_report_is_none(content: bytes) -> None:  # S30
    assert read_dmarc(content) is None
    assert read_tls(content) == ()


def test_tls_sessions_are_counted_by_domain() -> None:
    content = (
        b'{"organization-name":"R","policies":[{"policy":{"policy-type":"sts","policy-domain":"Bounces.leak.example"},'
        b'"summary":{"total-successful-session-count":7,"total-failure-session-count":2}}]}'
    )
    assert read_tls(content) == (TlsReport("bounces.leak.example", "R", 9, 2),)
    assert read_tls(b"[" * 100_000) == ()
    assert read_tls(b'{"policies": {}}') == ()


def test_the_domains_of_a_report_are_found_without_its_rows() -> None:  # S28
    told = document(("192.0.2.10", 3, "pass", "fail"))
    broken_later = told[: told.index(b"<record>")] + b"<record><row>&" + b"x" * 10_000_000
    policies = ",".join(f'{{"policy":{{"policy-domain":"{name}"}},"summary":{{}}}}' for name in ("A.test.", "b.test"))
    tls = f'{{"policies":[{policies}]}}'.encode()
    assert domains_named("dmarc", told) == {"leak.example"}
    assert domains_named("dmarc", broken_later) == {"leak.example"}
    assert domains_named("tls-rpt", tls) == {"a.test", "b.test"}
    late = told.replace(b"<policy_published>", b"<!--" + b"x" * 300_000 + b"--><policy_published>")
    assert [domains_named("dmarc", one) for one in (b"", late, b"<feedback/>")] == [frozenset()] * 3
    assert domains_named("tls-rpt", b"[]") == frozenset()
