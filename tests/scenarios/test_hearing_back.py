"""A whole relay that learns: what a host says of an address is heard, counted, and not asked a second time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from relay.clock import SystemClock
from relay.figures.contract import ReportQuery
from relay.mail.address import parse_address
from relay.policy.state import State
from tests.support.whole_relay import whole_relay

LETTER = b"From: Ann <ann@leak.lab.test>\r\nTo: you@inbox.lab.test\r\nSubject: hello\r\n\r\nA line.\r\n"
SENDER = "ann@leak.lab.test"


async def test_nobody_is_asked_twice_for_who_is_not_there(tmp_path: Path) -> None:
    async with whole_relay(tmp_path) as relay, asyncio.timeout(60):
        first = await relay.send(SENDER, ["unknown@inbox.lab.test", "ok@inbox.lab.test"], LETTER)
        await relay.until(first)
        tenant = (await relay.view(first)).tenant_id
        while not await relay.stores.suppressions.find(tenant, "", [parse_address("unknown@inbox.lab.test")]):
            await asyncio.sleep(0.05)
        second = await relay.until(await relay.send(SENDER, ["unknown@inbox.lab.test", "ok@inbox.lab.test"], LETTER))
        assert [one.state for one in second.deliveries] == [State.SUPPRESSED, State.DELIVERED]
        now = SystemClock().now()
        query = ReportQuery(now - timedelta(hours=2), now + timedelta(hours=1), (), tenant)
        counts: dict[str, int] = {}
        while counts.get("suppressed", 0) < 1 or counts.get("delivered", 0) < 2:
            counts = next((dict(row.counts) for row in await relay.stores.figures.report(query)), {})
            await asyncio.sleep(0.05)
        assert counts == {"accepted": 2, "delivered": 2, "bounced": 1, "suppressed": 1}
