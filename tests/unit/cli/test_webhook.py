"""`leak webhook` on a real SQLite spool, with a receiver on loopback that keeps what it is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from relay.event import EventKind
from relay.policy.alarms import AlarmKind
from relay.settings import load_settings
from tests.support.command import Ran, leak
from tests.support.webhook_receiver import WebhookReceiver


@contextmanager
def receiving() -> Iterator[WebhookReceiver]:
    """A receiver on a loop of its own, since a command runs one in this thread."""
    receiver, loop = WebhookReceiver(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(receiver.__aenter__(), loop).result(30)
        try:
            yield receiver
        finally:
            asyncio.run_coroutine_threadsafe(receiver.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Commands:
    """`leak webhook …` with one configuration."""

    def __init__(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = file
        self._capsys = capsys

    def __call__(self, *words: str) -> Ran:
        return leak(self._capsys, "--config", self.file, *words)

    def only(self) -> dict[str, object]:
        [one] = json.loads(self("webhook", "list", "--json").out)
        return dict(one)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Commands:
    file = tmp_path / "relay.toml"
    file.write_text('[spool]\nurl = "sqlite:spool.db"\n[webhooks]\nallow_private_addresses = true\nallow_http = true\n')
    commands = Commands(file, capsys)
    assert commands("user", "add", "shop", "--sender", "shop.example", "--api-key").status == 0
    return commands


def test_a_life_of_a_webhook(run: Commands) -> None:
    with receiving() as receiver:
        added = run("webhook", "add", receiver.url, "--tenant", "shop", "--kinds", "bounced,delivered", "--json")
        secret = json.loads(added.out)["secret"]
        assert "added webhook" not in added.out
        one = run.only()
        assert (one["tenant"], one["kinds"], one["enabled"]) == ("shop", ["delivered", "bounced"], True)
        assert secret not in run("webhook", "list").out
        tried = run("webhook", "test", "1")
        assert (tried.status, tried.out.split(",")[0]) == (0, f"{receiver.url} took it: HTTP status 200")
        [post] = receiver.posts
        assert Webhook(secret).verify(post.body, post.headers)["type"] == "test"
        rotated = json.loads(run("webhook", "rotate", "1", "--yes", "--json").out)["secret"]
        assert run("webhook", "test", "1").status == 0
        for key in (secret, rotated):  # for a day both sign
            Webhook(key).verify(receiver.posts[1].body, receiver.posts[1].headers)
        receiver.judge = lambda _: 500
        refused = run("webhook", "test", "1", "--json")
        assert (refused.status, json.loads(refused.out)["status"]) == (1, 500)
    assert "nothing was posted" in run("webhook", "log", "1").out
    assert run("webhook", "disable", "1").status == 0
    assert (run.only()["enabled"], run.only()["disabled_why"]) == (False, "by hand")
    assert run("webhook", "replay", "1", "--after", "0-0", "--yes").status == 0
    assert run.only()["cursor"] == "0-0"
    assert run("webhook", "enable", "1").status == 0
    assert run.only()["enabled"] is True
    assert run("webhook", "remove", "1", "--yes").status == 0
    assert run("webhook", "list").out.startswith("no webhooks")


def test_mandrill_s_form_is_asked_before_it_is_believed(run: Commands) -> None:
    with receiving() as receiver:
        add = ("webhook", "add", receiver.url, "--tenant", "shop", "--form", "mandrill")
        receiver.judge = lambda _: 404
        assert run(*add).status == 1
        receiver.judge = lambda _: 200
        assert run(*add).status == 0
        assert run("webhook", "test", "1").status == 0
        assert receiver.posts[-1].mandrill == []


def test_a_disabled_one_s_alarm_ends_with_it(run: Commands) -> None:
    assert run("webhook", "add", "https://hooks.example/x", "--tenant", "shop").status == 0

    async def alarm(*, raised: bool) -> list[str]:
        from relay.clock import SystemClock
        from relay.ids import SystemEntropy
        from relay.opening import open_stores

        stores = await open_stores(load_settings(run.file, {}), SystemClock(), SystemEntropy())
        try:
            if raised:
                await stores.spool.raise_alarm(AlarmKind.WEBHOOK_DISABLED, "1", "away for days")
            return [one.kind for one in await stores.spool.alarms()]
        finally:
            await stores.close()

    assert asyncio.run(alarm(raised=True)) == [AlarmKind.WEBHOOK_DISABLED]
    assert run("webhook", "enable", "1").status == 0
    assert asyncio.run(alarm(raised=False)) == []


def test_wrong_use(run: Commands) -> None:
    url = "https://hooks.example/x"
    wrong: tuple[tuple[tuple[str, ...], int], ...] = (
        (("add", url, "--tenant", "nobody"), 1),
        (("add", url, "--tenant", "shop", "--kinds", "opened"), 2),
        (("add", url, "--tenant", "shop", "--form", "soap"), 2),
        (("add", url, "--tenant", "shop", "--after", "yesterday"), 2),
        (("add", "gopher://hooks.example/x", "--tenant", "shop"), 2),
        (("add", "https://2130706433/x", "--tenant", "shop"), 2),  # S36
        (("test", "7"), 1),
        (("log", "7"), 1),
        (("replay", "7", "--yes"), 2),
        (("replay", "7", "--event", "first"), 1),
        (("enable", "7"), 1),
        (("remove", "7", "--yes"), 1),
    )
    assert [(words, run("webhook", *words).status) for words, _ in wrong] == list(wrong)
    refused = run("webhook", "add", "https://hooks.example/x", "--tenant", "shop", "--kinds", "opened")
    assert all(kind.label in refused.err for kind in EventKind)
