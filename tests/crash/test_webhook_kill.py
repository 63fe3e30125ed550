"""A relay killed between a webhook's post and its record tells the event again: at least once, never not (R32)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp

from tests.support.crash_world import World, world
from tests.support.webhook_receiver import Received, WebhookReceiver

LETTERS = 30
KILLS = 2
ALLOWED = {"LEAK_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES": "true", "LEAK_WEBHOOKS__ALLOW_HTTP": "true"}


async def send_letters(outside: World, url: str) -> None:
    """Letters first, so that no kill interrupts them; then a webhook that is told everything from the beginning."""
    headers = {"Authorization": f"Bearer {outside.key}"}
    address = f"http://127.0.0.1:{outside.nodes[0].http_port}/api/v1"
    async with aiohttp.ClientSession(headers=headers) as client:
        for number in range(LETTERS):
            body = {"from": "a@leak.lab.test", "to": [f"to-{number}@plain.lab.test"], "subject": "x", "text": "y"}
            async with client.post(f"{address}/messages", json=body) as answer:
                assert answer.status == 202, await answer.text()
        async with client.post(f"{address}/webhooks", json={"url": url, "after": "0-0"}) as answer:
            assert answer.status == 201, await answer.text()


async def test_no_event_is_lost_by_a_kill_between_post_and_record(tmp_path: Path) -> None:
    async with WebhookReceiver() as receiver, world(tmp_path, workers=1, started=False) as outside:
        kills = 0

        def judge(_post: Received) -> int:
            """Kill the relay when it has posted and has no answer yet."""
            nonlocal kills
            if kills < KILLS and len(receiver.posts) >= 10 * (kills + 1):
                kills += 1
                assert outside.relay.process is not None
                outside.relay.process.kill()
            return 200

        receiver.judge = judge
        await outside.relay.start(wait=True, **ALLOWED)
        await send_letters(outside, receiver.url)
        expected = 2 * LETTERS
        async with asyncio.timeout(90):
            while len({post.event["id"] for post in receiver.taken}) < expected or kills < KILLS:
                assert outside.relay.process is not None
                if outside.relay.process.returncode is not None:
                    await outside.relay.start(wait=True, **ALLOWED)
                await asyncio.sleep(0.05)
        assert await outside.relay.terminate() == 0
    told = Counter(post.event["id"] for post in receiver.taken)
    first: dict[str, list[str]] = {}
    for post in receiver.taken:
        kinds = first.setdefault(post.event["message_id"], [])
        if post.event["kind"] not in kinds:
            kinds.append(post.event["kind"])
    assert set(map(tuple, first.values())) == {("accepted", "delivered")}
    print(f"\n{expected} events, {kills} kills, {sum(told.values()) - expected} told again")
