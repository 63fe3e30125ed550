"""A whole relay that learns: what a host says of an address is heard, counted, and not asked a second time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from relay.clock import SystemClock
from relay.figures.contract import ReportQuery
from relay.mail.address import parse_address
from relay.policy.complaints import Level
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
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


async def test_complaints_stop_their_stream_until_it_is_resumed(tmp_path: Path) -> None:  # P04, N02
    inbound = {
        "listen": ["127.0.0.1:0"],
        "domain": "bounces.leak.lab.test",
        "tls": {"certificate": "relay.pem", "key": "relay.key"},
    }
    news = LETTER.replace(b"Subject", b"X-Leak-Stream: news\r\nSubject")
    async with whole_relay(tmp_path, "", inbound=inbound) as relay, asyncio.timeout(90):
        figures, spool = relay.stores.figures, relay.stores.spool
        for host in ("inbox", "dane", "plain"):
            await relay.send(SENDER, [f"complain@{host}.lab.test"], news)
        while [brake.level for brake in await figures.brakes()] != [Level.STOP]:
            await asyncio.sleep(0.05)
        while not [alarm for alarm in await spool.alarms() if alarm.kind == "complaints"]:
            await asyncio.sleep(0.05)
        assert [alarm.subject for alarm in await spool.alarms()] == ["lab/news"]

        stopped = await relay.send(SENDER, ["ok@inbox.lab.test"], news)
        await relay.until(await relay.send(SENDER, ["ok@inbox.lab.test"], LETTER), State.DELIVERED)
        (delivery,) = (await relay.until(stopped, State.WAITING)).deliveries
        assert delivery.attempts == 0

        assert await figures.loosen("lab", "news") is not None
        while await spool.alarms():
            await asyncio.sleep(0.05)
        await spool.ask(Verb.RETRY, QueueFilter(tenant="lab"), "resumed", timedelta())
        await relay.until(stopped, State.DELIVERED)
