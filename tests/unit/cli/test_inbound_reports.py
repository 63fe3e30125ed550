"""Stored reports, as the command shows them, and what `leak dns` proposes from them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from relay.cli.context import stores
from relay.clock import SystemClock
from relay.mail.address import NULL_PATH
from relay.policy.hearing import Followed, Purpose
from relay.settings import load_settings
from relay.spool.inbound_values import Consequence, InboundAddress, NewInbound, NewReport
from tests.support.command import leak
from tests.unit.report.test_aggregate_reading import document

TLS = b'{"policies":[{"policy":{"policy-domain":"leak.example"},"summary":{"total-successful-session-count":3}}]}'


async def store(file: Path) -> None:
    """Fifteen days of DMARC reports, a TLS report and one that nobody can read, as the sorter stores them."""
    now = SystemClock().now()
    documents = [("dmarc", b"what is this"), ("tls-rpt", TLS)]
    for ago in range(1, 16):
        begin = int((now - timedelta(days=ago)).replace(hour=0, minute=0).timestamp())
        rows = (("192.0.2.10", 9, "pass", "pass"), ("203.0.113.66", 5, "fail", "fail"))
        documents.append(("dmarc", document(*rows, begin=begin)))
    async with stores(load_settings(file)) as opened:
        foreign = document(("192.0.2.66", 9, "pass", "pass")).replace(b"Leak.example", b"invented.example")
        for form, content, domain in [*((*one, "leak.example") for one in documents), ("dmarc", foreign, "")]:
            address = InboundAddress("dmarc-reports@leak.example", Purpose.REPORTS)
            (number,) = await opened.inbound.take(NewInbound("192.0.2.1", "mx", False, NULL_PATH, (address,), b"x"))
            stored = Consequence("report", Followed.STORED, {}, document=NewReport(form, domain, content, "x"))
            assert await opened.inbound.settle(number, stored)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text(
        '[node]\nname = "mx.leak.example"\n[spool]\nurl = "sqlite:spool.db"\n[[signing.domain]]\n'
        'domain = "leak.example"\nselectors = ["e1"]\n[[egress.source]]\nname = "one"\naddress = "192.0.2.10"\n'
    )
    asyncio.run(store(path))
    return path


def test_what_was_reported_and_what_follows(file: Path, capsys: pytest.CaptureFixture[str]) -> None:  # M08
    told = json.loads(leak(capsys, "inbound", "reports", "--json", "--config", file).out)
    assert told["dmarc"] == [
        {"domain": "leak.example", "source": "192.0.2.10", "aligned": 135, "unaligned": 0, "reporters": 1},
        {"domain": "leak.example", "source": "203.0.113.66", "aligned": 0, "unaligned": 75, "reporters": 1},
    ]
    assert told["tls"] == [{"domain": "leak.example", "sessions": 3, "failed": 0, "reporters": 1}]
    assert (told["unread"], told["policies"][0]["reject"]) == (1, True)
    assert (told["not_ours"], told["beyond"]) == (1, 0)
    assert "publish p=reject" in leak(capsys, "inbound", "reports", "--config", file).out
    assert "p=reject may be published now" in leak(capsys, "dns", "--config", file).err
