"""The whole relay and a receiver of webhooks: mail goes its way whatever the receiver does, and it hears everything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
from standardwebhooks import Webhook as Reference

from relay.policy.state import State
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.whole_relay import WholeRelay, whole_relay

HEADERS = {"Authorization": "Bearer lab"}
LETTERS = 12


async def ask(relay: WholeRelay, method: str, path: str, document: Any = None) -> Any:
    async with (
        aiohttp.ClientSession(relay.http, headers=HEADERS) as client,
        client.request(method, f"/api/v1{path}", json=document) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json()


async def posts(relay: WholeRelay, webhook: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await ask(relay, "GET", f"/webhooks/{webhook}/posts"))["posts"]
    return found


async def test_a_receiver_that_is_silent_and_then_down_delays_no_mail_and_hears_all(tmp_path: Path) -> None:
    # R32
    async with WebhookReceiver() as receiver, whole_relay(tmp_path, webhooks={"timeout": "1s"}) as relay:
        receiver.delay = 60
        made = await ask(relay, "POST", "/webhooks", {"url": receiver.url, "kinds": ["delivered", "bounced"]})
        sent = []
        for number in range(LETTERS):
            who = "unknown" if number % 4 == 0 else f"person-{number}"
            letter = {"from": "shop@leak.lab.test", "to": [f"{who}@inbox.lab.test"], "subject": "x", "text": "y"}
            sent.append((await ask(relay, "POST", "/messages", letter))["id"])
        for message in sent:
            await relay.until(message, State.DELIVERED, State.BOUNCED)
        async with asyncio.timeout(30):
            while (hook := await ask(relay, "GET", f"/webhooks/{made['id']}"))["failures"] < 3:
                await asyncio.sleep(0.1)
        assert (hook["enabled"], hook["taken_at"], receiver.taken) == (True, None, [])
        assert hook["next_post"] is not None
        receiver.delay = 0
        told = await receiver.until_taken(LETTERS)
        assert {post.event["message_id"] for post in told} == set(sent)
        assert {post.event["kind"] for post in told} == {"delivered", "bounced"}
        for post in told:
            Reference(made["secret"]).verify(post.body, post.headers)
        async with asyncio.timeout(30):  # the record follows the posts
            while {one["error"] for one in await posts(relay, made["id"])} != {"", "no answer in time"}:
                await asyncio.sleep(0.1)
