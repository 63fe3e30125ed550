"""The official client of Mailchimp Transactional, its host alone changed, against the whole relay and the lab."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.webhook_receiver import WebhookReceiver
from tests.support.whole_relay import whole_relay

MailchimpTransactional = pytest.importorskip("mailchimp_transactional", reason="its client is not installed")
ApiClientError = pytest.importorskip("mailchimp_transactional.api_client").ApiClientError


async def test_the_official_client_sends_and_looks(tmp_path: Path) -> None:
    async with whole_relay(tmp_path) as relay, WebhookReceiver() as receiver:

        def client(key: str) -> Any:
            made = MailchimpTransactional.Client(key)
            made.api_client.host = f"{relay.http}/api/1.3"
            return made

        mandrill = client("lab")
        assert await asyncio.to_thread(mandrill.users.ping) == "PONG!"
        message = {
            "from_email": "ann@leak.lab.test",
            "from_name": "Ann",
            "subject": "Für *|NAME|*",
            "html": "<p>Hello *|NAME|*</p>",
            "to": [{"email": "ok@inbox.lab.test", "type": "to"}, {"email": "unknown@inbox.lab.test"}],
            "global_merge_vars": [{"name": "NAME", "content": "you"}],
            "bcc_address": "spy@leak.lab.test",
            "tags": ["welcome"],
        }
        hook = await asyncio.to_thread(
            mandrill.webhooks.add, {"url": receiver.url, "events": ["send", "hard_bounce"], "description": "x"}
        )
        answers = await asyncio.to_thread(mandrill.messages.send, {"message": message})
        assert [one["status"] for one in answers] == ["queued", "queued"]
        for one in answers:
            await relay.until(one["_id"].partition(".")[0])
        (arrival,) = await relay.arrivals("ok@inbox.lab.test")
        content = arrival.posting.content
        assert b"Hello you" in content
        assert b"unknown@" not in content
        assert b"spy@" not in content
        info = [await asyncio.to_thread(mandrill.messages.info, {"id": one["_id"]}) for one in answers]
        assert [one["state"] for one in info] == ["sent", "bounced"]
        assert info[0]["subject"] == "Für you"
        assert "550" in info[1]["diag"]
        [tag] = await asyncio.to_thread(mandrill.tags.list)
        assert (tag["tag"], tag["sent"], tag["hard_bounces"]) == ("welcome", 1, 1)
        by_name = {"tag": "welcome"}
        assert (await asyncio.to_thread(mandrill.tags.info, by_name))["stats"]["today"]["sent"] == 1
        series = await asyncio.to_thread(mandrill.tags.time_series, by_name)
        assert series == await asyncio.to_thread(mandrill.tags.all_time_series)
        assert sum(one["sent"] for one in series) == 1
        posts = await receiver.until_taken(1)
        async with asyncio.timeout(30):
            while {"send", "hard_bounce"} - {event["event"] for post in posts for event in post.mandrill}:
                await asyncio.sleep(0.05)
        assert {answers[0]["_id"], answers[1]["_id"]} == {e["_id"] for post in posts for e in post.mandrill}
        assert (await asyncio.to_thread(mandrill.webhooks.delete, {"id": hook["id"]}))["id"] == hook["id"]
        [reject] = await asyncio.to_thread(mandrill.rejects.list, {"email": "unknown@inbox.lab.test"})
        assert reject["reason"] == "hard-bounce"
        [again] = await asyncio.to_thread(mandrill.messages.send, {"message": {**message, "to": message["to"][1:]}})
        assert (again["status"], again["reject_reason"]) == ("rejected", "hard-bounce")
        with pytest.raises(ApiClientError) as refused:
            await asyncio.to_thread(client("wrong").users.ping)
        assert (refused.value.status_code, refused.value.text["name"]) == (401, "Invalid_Key")
