"""A host that falls short of what one domain demands delays that domain's mail, and no other's on the same host."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.policy.state import State
from tests.support.whole_relay import whole_relay

LETTER = b"From: ann@leak.lab.test\r\nSubject: x\r\n\r\nbody\r\n"


async def test_one_domains_policy_rests_no_other_domains_mail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # E06 I06 B13: both are on mx.badtls.lab.test, whose certificate is another's
    async with whole_relay(tmp_path) as relay:
        strict = await relay.send("ann@leak.lab.test", ["ok@sts-badcert.lab.test"], LETTER)
        async with asyncio.timeout(30):
            while "domain-waits" not in caplog.messages:
                await asyncio.sleep(0.02)
        lenient = await relay.send("ann@leak.lab.test", ["ok@sts-testing.lab.test"], LETTER)
        view = await relay.until(lenient, State.DELIVERED)
        assert view.deliveries[0].attempts == 1
        assert "site-rests" not in caplog.messages
        view = await relay.until(strict, State.WAITING)
        assert view.attempts[0].detail["tls"]["demand"] == "sts"
