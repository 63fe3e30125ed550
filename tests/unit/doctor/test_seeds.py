"""Seeds without a mailbox: what a receiver's header says, what is judged of it, and how the history is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from relay.doctor.finding import Severity
from relay.doctor.seed_chart import by_seed, chart, share_of_inbox, sparkline
from relay.doctor.seed_header import Told, read_header
from relay.doctor.seeding import judge
from relay.figures.seeds import Landing, SeedLetter

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OURS = b"DKIM-Signature: v=1; d=leak.example; s=a; b=x\r\nMessage-ID: <1@leak.example>\r\nFrom: a@leak.example\r\n"

GOOGLE = b"""\
Delivered-To: me@gmail.example\r
Received: by 2002:a05:6000:1 with SMTP id a1csp;\r
        Sun, 22 Nov 2026 04:00:02 -0800 (PST)\r
ARC-Authentication-Results: i=1; mx.google.com; dkim=fail; spf=fail\r
Authentication-Results: mx.google.com;\r
       dkim=pass header.i=@leak.example header.s=a header.b="dkim=fail";\r
       dkim=neutral (no key) header.i=@leak.example header.s=e;\r
       spf=pass (google.com: domain of r@b.leak.example designates 192.0.2.1 as permitted sender) smtp.mailfrom="r@b";\r
       dmarc=pass (p=REJECT sp=REJECT dis=NONE (nested)) header.from=leak.example\r
Received: from mail.leak.example (mail.leak.example. [192.0.2.1])\r
        by mx.google.com with ESMTPS id x (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r
        Sun, 22 Nov 2026 04:00:01 -0800 (PST)\r
"""
OUTLOOK = b"""\
Received: from BY5.namprd.outlook.example (2603:1::1) by SA1.namprd.outlook.example with HTTPS; Sun, 22 Nov 2026\r
Received: from mail.leak.example (192.0.2.1) by BY5.mail.protection.outlook.example\r
 (10.0.0.1) with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA) id 15; Sun, 22 Nov 2026 12:00:01\r
Authentication-Results: spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=b.leak.example;\r
 dkim=pass (signature was verified) header.d=leak.example;dmarc=pass action=none\r
 header.from=leak.example;compauth=pass reason=100\r
X-Forefront-Antispam-Report: CIP:192.0.2.1;SCL:5;\r
"""
PLAIN = b"""\
Received: from mail.leak.example (mail.leak.example [192.0.2.1])\r
\tby mx.small.example (Postfix) with ESMTP id 1; Sun, 22 Nov 2026 12:00:01 +0000\r
"""


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (GOOGLE, Told("pass", "pass", "pass", "TLS 1.3")),
        (OUTLOOK, Told("pass", "pass", "pass", "TLS 1.2", "X-Forefront-Antispam-Report: CIP:192.0.2.1;SCL:5;")),
        (PLAIN, Told(tls="no")),
        (b"", Told()),
        (b"no field at all\r\n", Told()),
    ],
    ids=["google", "outlook", "plain", "nothing", "broken"],
)
def test_header(header: bytes, told: Told) -> None:
    assert read_header(header + OURS if header else b"", {"mail.leak.example"}) == told


def test_only_what_stands_above_our_letter_counts() -> None:
    """A field that left with the letter is no receiver's word."""
    ours = OURS + b"Authentication-Results: mx.google.com; dmarc=pass\r\n"
    assert read_header(PLAIN + ours, {"mail.leak.example"}) == Told(tls="no")
    assert read_header(ours, {"mail.leak.example"}) == Told()


def seen(
    landing: Landing = Landing.INBOX, *, results: str = "pass pass pass", tls: str = "TLS 1.3", delay: float = 4
) -> SeedLetter:
    spf, dkim, dmarc = results.split(" ")
    return SeedLetter("a", AT, landing, "Lists", spf, dkim, dmarc, tls, delay)


@pytest.mark.parametrize(
    ("letter", "severity", "words"),
    [
        (seen(), Severity.OK, "inbox after 4 s"),
        (seen(Landing.JUNK), Severity.WARNING, "junk"),
        (seen(results="pass pass fail"), Severity.ERROR, "dmarc=fail"),
        (seen(results="softfail pass pass", tls=""), Severity.WARNING, "spf=softfail"),
        (seen(tls="no"), Severity.WARNING, "no TLS"),
        (seen(tls="yes", delay=700), Severity.NOTE, "after 12 min"),
        (seen(results="  "), Severity.NOTE, "no authentication results"),
        (seen(Landing.OTHER), Severity.NOTE, "folder Lists"),
    ],
)
def test_judgement(letter: SeedLetter, severity: Severity, words: str) -> None:
    finding = judge(letter)
    assert finding.severity is severity
    assert words in finding.evidence
    assert bool(finding.remedy) == (severity is not Severity.OK)


def test_history() -> None:
    """Newest to the right; a chart that is well-formed with every kind of place, and with none at all."""
    letters = [
        SeedLetter("b<&>", AT + timedelta(hours=n), landing, delay=None if landing is Landing.MISSING else 10.0**n)
        for n, landing in enumerate(Landing)
    ]
    assert sparkline(letters) == ".JoxRw  ▁▃▅ ██"
    assert share_of_inbox(letters) == "1 of 5"
    assert list(by_seed([*letters, SeedLetter("a", AT, Landing.INBOX)])) == ["a", "b<&>"]
    for some in ([], letters):
        root = ET.fromstring(chart(some, AT + timedelta(hours=6)))
        assert sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}title")) == len(some)
