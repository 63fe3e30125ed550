"""Webhooks on both databases: told at least once and in order per message, whatever the receiver does (R32)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from standardwebhooks import Webhook as Reference
from standardwebhooks import WebhookVerificationError

from relay.engine import courier as courier_module
from relay.engine.courier import Courier, CourierParts
from relay.engine.postman import DOWN_AFTER, IN_FLIGHT, Postman
from relay.event import EventKind
from relay.event.feed import BEGINNING
from relay.ids import SpoolId
from relay.notify.book import WebhookBook, migrate_webhooks
from relay.notify.poster import Poster, PostRules
from relay.notify.webhook import Form, NewWebhook, Webhook
from relay.policy.state import State
from relay.spool.work import Incarnation, Settlement
from relay.wary_clock import WaryClock
from tests.support.feed_bench import FeedBench, feed_bench
from tests.support.webhook_receiver import Received, WebhookReceiver


@dataclass
class Bench:
    """A webhook, its receiver, and a courier to send."""

    feed: FeedBench
    book: WebhookBook
    receiver: WebhookReceiver
    poster: Poster
    me: Incarnation
    clock: WaryClock
    told: set[int] = field(default_factory=set)
    disabled_why: str = ""
    holds: bool = True

    async def add(self, **fields: Any) -> Webhook:
        defaults: dict[str, Any] = {
            "tenant": 1,
            "url": self.receiver.url,
            "form": Form.STANDARD,
            "kinds": frozenset(),
            "description": "",
            "position": BEGINNING,
        }
        made = await self.book.add(NewWebhook(**{**defaults, **fields}), 10)
        assert made is not None
        await self.book.take(self.me)
        return await self.get(made.id)

    async def get(self, webhook: int = 1) -> Webhook:
        found = await self.book.get(webhook, 1)
        assert found is not None
        return found

    async def send(self, webhook: int = 1) -> Webhook:
        """Let a courier run to its end; the webhook afterwards."""
        hook = await self.get(webhook)
        parts = CourierParts(self.feed.spool, self.book, self.clock, self.feed.entropy, timedelta(days=5))
        postman = Postman(hook, self.book.secrets(hook), self.poster, self.clock)
        courier = Courier(parts, postman, self.me, lambda: self.holds, self.told)
        await courier.run()
        self.disabled_why = courier.disabled_why
        return await self.get(webhook)

    async def letters(self, count: int) -> list[SpoolId]:
        """Messages with two events each: accepted, held."""
        return [
            (await self.feed.accept("a@b.example", initial={0: State.HELD}, hold_reason="x")).id for _ in range(count)
        ]

    def by_message(self) -> dict[str, list[str]]:
        """The kinds taken, message by message."""
        found: dict[str, list[str]] = {}
        for post in self.receiver.taken:
            found.setdefault(post.event["message_id"], []).append(post.event["kind"])
        return found


@pytest.fixture(params=["sqlite", "postgres"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    url = "" if request.param == "sqlite" else await request.getfixturevalue("postgres_server").create()

    async def nowhere(_host: str) -> list[str]:
        return []

    async with feed_bench(tmp_path, url, processes=2) as feed, WebhookReceiver() as receiver:
        book = WebhookBook(feed.database, feed.clock, feed.entropy, b"k" * 32)
        await migrate_webhooks(feed.database)
        poster = Poster(nowhere, ssl.create_default_context(), feed.clock, PostRules(10.0, private=True, clear=True))
        yield Bench(feed, book, receiver, poster, await feed.spool.register("node", 0), WaryClock(feed.clock))
        await poster.close()


BOTH = ["accepted", "held"]


async def test_every_event_is_told_once_and_signed(bench: Bench) -> None:
    hook = await bench.add()
    letters = await bench.letters(30)
    after = await bench.send()
    assert bench.by_message() == dict.fromkeys(letters, BOTH)
    assert 1 < bench.receiver.most_at_once <= IN_FLIGHT
    assert after.position == await bench.feed.spool.last_event()
    assert after.taken_at is not None
    reference = Reference(bench.book.secret(hook))
    for post in bench.receiver.posts:
        assert reference.verify(post.body, post.headers)["data"]["id"] == post.headers["webhook-id"]
    forged = {**bench.receiver.posts[0].headers, "webhook-id": "evt_1000"}
    with pytest.raises(WebhookVerificationError):
        reference.verify(bench.receiver.posts[0].body, forged)
    log = await bench.book.posts(1, 1000)
    assert (len(log), {one.error for one in log}, {one.status for one in log}) == (60, {""}, {200})
    await bench.send()
    assert len(bench.receiver.posts) == 60


async def test_only_the_tenants_events_of_the_kinds_asked_for(bench: Bench) -> None:
    # S49
    await bench.add(kinds=frozenset({EventKind.HELD}))
    (mine,) = await bench.letters(1)
    await bench.feed.accept("x@y.example", tenant=2, initial={0: State.HELD})
    await bench.send()
    assert bench.by_message() == {mine: ["held"]}


async def test_a_receiver_that_is_down_takes_no_room_and_misses_nothing(bench: Bench) -> None:
    # R32
    await bench.add()
    letters = await bench.letters(40)
    bench.receiver.judge = lambda _: 503
    hook = await bench.send()
    first = len(bench.receiver.posts)
    assert DOWN_AFTER <= first <= DOWN_AFTER + IN_FLIGHT
    assert (hook.parked, hook.position) == (0, BEGINNING)
    assert hook.next_at > bench.feed.clock.now()
    for asked in range(1, 25):
        bench.feed.clock.forward(hours=1)
        letters += await bench.letters(1)
        hook = await bench.send()
        assert len(bench.receiver.posts) == first + asked
    assert (hook.parked, hook.position, hook.is_enabled) == (0, BEGINNING, True)
    assert timedelta(minutes=50) < hook.next_at - bench.feed.clock.now() < timedelta(minutes=80)
    bench.receiver.judge = lambda _: 204
    bench.feed.clock.forward(hours=2)
    hook = await bench.send()
    assert bench.by_message() == dict.fromkeys(letters, BOTH)
    assert len(bench.receiver.taken) == 2 * len(letters)
    assert (hook.failures, hook.failing_since) == (0, None)


async def test_it_fails_in_the_middle_and_nothing_is_told_twice(bench: Bench) -> None:
    await bench.add()
    letters = await bench.letters(30)
    bench.receiver.judge = lambda _: 200 if len(bench.receiver.taken) < 21 else 0
    hook = await bench.send()
    assert BEGINNING < hook.position < await bench.feed.spool.last_event()
    bench.receiver.judge = lambda _: 200
    await bench.send()
    assert bench.by_message() == dict.fromkeys(letters, BOTH)
    assert len(bench.receiver.taken) == 60


async def test_what_is_refused_alone_is_parked_and_its_message_waits_behind(bench: Bench) -> None:
    await bench.add()
    (poison,) = await bench.letters(1)
    others = await bench.letters(5)

    def judge(post: Received) -> int:
        return 500 if post.event["message_id"] == poison else 200

    bench.receiver.judge = judge
    hook = await bench.send()
    assert (hook.parked, hook.position) == (2, await bench.feed.spool.last_event())
    assert bench.by_message() == dict.fromkeys(others, BOTH)
    # Later events of the message wait behind it, though the receiver would take them.
    bench.receiver.judge = lambda post: 500 if post.event["kind"] == "accepted" else 200
    settled = Settlement(1, 0, State.CANCELLED, event=EventKind.CANCELLED)
    await bench.feed.spool.settle(bench.me, [settled])
    cancel = "INSERT INTO event (at, message, n, kind) VALUES (0, 1, 0, 8)"
    await bench.feed.database.write(lambda connection: connection.execute(cancel))
    bench.feed.clock.forward(minutes=1)
    hook = await bench.send()
    assert (hook.parked, poison in bench.by_message()) == (3, False)
    bench.receiver.judge = lambda _: 200
    bench.feed.clock.forward(minutes=5)
    hook = await bench.send()
    assert bench.by_message()[poison] == [*BOTH, "cancelled"]
    assert hook.parked == 0


async def test_what_is_refused_for_days_is_given_up_alone(bench: Bench) -> None:
    hook = await bench.add()
    (poison,) = await bench.letters(1)
    bench.receiver.judge = lambda post: 400 if post.event["message_id"] == poison else 200
    for _ in range(7):
        await bench.letters(1)
        hook = await bench.send()
        assert hook.is_enabled
        bench.feed.clock.forward(days=1)
    assert (hook.parked, hook.failures) == (0, 0)
    assert poison not in bench.by_message()
    assert len(bench.by_message()) == 7


async def test_whoever_takes_nothing_for_days_is_disabled_and_can_be_enabled(bench: Bench) -> None:
    hook = await bench.add()
    letters = await bench.letters(10)
    bench.receiver.judge = lambda _: 500
    for _ in range(6):
        hook = await bench.send()
        bench.feed.clock.forward(days=1)
    assert not hook.is_enabled
    assert bench.disabled_why == hook.disabled_why == "nothing was taken for 5 days; the last time: HTTP status 500"
    bench.receiver.judge = lambda _: 200
    assert await bench.book.enable(1, 1)
    await bench.send()
    assert bench.by_message() == dict.fromkeys(letters, BOTH)


async def test_a_clock_that_is_ahead_disables_nobody_and_gives_nothing_up(bench: Bench) -> None:  # R27
    """One refusal, the clock ten years ahead, the next one: that is not ten years of refusals."""
    down = await bench.add()
    bench.receiver.judge = lambda _: 500
    await bench.letters(3)
    await bench.send()
    bench.feed.clock.jump(days=3650)
    down = await bench.send()
    assert (down.is_enabled, bench.disabled_why) == (True, "")
    bench.receiver.judge = lambda _: 200
    bench.feed.clock.forward(hours=1)
    down = await bench.send()
    (poison,) = await bench.letters(1)
    bench.receiver.judge = lambda post: 400 if post.event["message_id"] == poison else 200
    assert (await bench.send()).parked
    await bench.letters(1)
    bench.feed.clock.jump(days=3650)
    assert (await bench.send()).parked, "it waits on"
    for _ in range(3):
        bench.feed.clock.forward(days=1)
        await bench.letters(1)
        down = await bench.send()
    assert not down.parked, "nobody set the clock back: it is believed"


async def test_what_was_refused_while_the_clock_was_ahead_is_not_parked_for_years(bench: Bench) -> None:  # R27
    await bench.add()
    first, _ = await bench.letters(2)
    bench.receiver.judge = lambda post: 400 if post.event["message_id"] == first else 200
    bench.feed.clock.jump(days=3650)
    assert (await bench.send()).parked
    bench.receiver.judge = lambda _: 200
    bench.feed.clock.jump(days=-3650)
    assert not (await bench.send()).parked
    assert bench.by_message()[first] == BOTH


async def test_gone_means_gone(bench: Bench) -> None:
    await bench.add()
    await bench.letters(10)
    bench.receiver.judge = lambda _: 410
    hook = await bench.send()
    assert (hook.is_enabled, hook.disabled_why) == (False, "the receiver answered 410 Gone")


async def test_a_pause_that_is_asked_for_is_kept(bench: Bench) -> None:
    await bench.add()
    await bench.letters(10)
    bench.receiver.judge = lambda _: 429
    bench.receiver.headers = {"Retry-After": "1800"}
    hook = await bench.send()
    assert hook.next_at - bench.feed.clock.now() > timedelta(seconds=1700)


async def test_few_events_to_a_dead_receiver_are_parked_and_then_the_stream_waits(bench: Bench) -> None:
    # Between failures nothing else happens, so nothing shows at once that the receiver is down.
    hook = await bench.add()
    bench.receiver.judge = lambda _: 0
    for _ in range(50):
        await bench.feed.accept("a@b.example")
        hook = await bench.send()
    assert hook.parked < DOWN_AFTER
    bench.receiver.judge = lambda _: 200
    bench.feed.clock.forward(hours=1)
    hook = await bench.send()
    counted = Counter(post.event["id"] for post in bench.receiver.taken)
    assert (len(counted), set(counted.values()), hook.parked) == (50, {1}, 0)


async def test_the_room_for_parked_events_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "MOST_PARKED", 6)
    hook = await bench.add()
    bench.receiver.judge = lambda post: 200 if post.event["tags"] else 422
    for number in range(30):
        await bench.feed.accept("a@b.example", tags=("good",) if number % 2 else ())
    for _ in range(10):
        hook = await bench.send()
    assert hook.parked == 6
    bench.receiver.judge = lambda _: 200
    for _ in range(10):
        bench.feed.clock.forward(hours=1)
        hook = await bench.send()
    assert hook.parked == 0
    assert sorted(Counter(post.event["id"] for post in bench.receiver.taken).values()) == [1] * 30


async def test_a_rotated_secret_signs_beside_the_old_one_for_a_day(bench: Bench) -> None:
    old = await bench.add()
    new = await bench.book.rotate(1, 1)
    assert new is not None
    await bench.letters(1)
    await bench.send()
    (post, *_) = bench.receiver.posts
    for hook in (old, new):
        Reference(bench.book.secret(hook)).verify(post.body, post.headers)
    assert len(bench.book.secrets(new)) == 2
    bench.feed.clock.forward(days=1)
    assert bench.book.secrets(new) == (bench.book.secret(new),)
    assert bench.book.secret(old) != bench.book.secret(new)


async def test_events_are_told_again_when_asked(bench: Bench) -> None:
    await bench.add()
    letters = await bench.letters(3)
    await bench.send()
    second = bench.receiver.taken[2].event["id"]
    seq = int(second.removeprefix("evt_"))
    assert await bench.book.again(1, 1, [(seq, letters[1])])
    await bench.send()
    assert [post.event["id"] for post in bench.receiver.taken[6:]] == [second]
    assert await bench.book.replay(1, 1, BEGINNING)
    bench.told.clear()
    await bench.send()
    assert len(bench.receiver.taken) == 13
    assert await bench.book.replay(1, 2, BEGINNING) is None


async def test_one_worker_of_all_tells_and_another_takes_over(bench: Bench) -> None:
    await bench.add()
    other = await bench.feed.spools[1].register("node", 1)
    assert not await bench.book.is_free()
    await bench.book.take(other)
    assert (await bench.get()).holder == bench.me
    await bench.feed.spool.retire(bench.me)
    assert await bench.book.is_free()
    await bench.book.take(other)
    assert (await bench.get()).holder == other
    # Whoever lost it writes nothing any more, though he still posts what was under way.
    await bench.letters(1)
    assert (await bench.send()).position == BEGINNING


async def test_who_must_stop_leaves_the_rest_to_the_next(bench: Bench) -> None:
    await bench.add()
    letters = await bench.letters(30)

    def judge(_post: Received) -> int:
        bench.holds = len(bench.receiver.taken) < 20
        return 200

    bench.receiver.judge = judge
    hook = await bench.send()
    assert BEGINNING < hook.position < await bench.feed.spool.last_event()
    assert hook.next_at <= bench.feed.clock.now() + timedelta(seconds=7)
    bench.holds, bench.receiver.judge = True, lambda _: 200
    bench.told.clear()  # another process goes on
    await bench.send()
    told = Counter(post.event["id"] for post in bench.receiver.taken)
    assert len(told) == 60
    assert sum(told.values()) <= 60 + 2 * IN_FLIGHT
    assert all(kinds[-1] == "held" for kinds in bench.by_message().values())
    assert set(bench.by_message()) == set(letters)


async def test_mandrills_form(bench: Bench) -> None:
    hook = await bench.add(form=Form.MANDRILL)
    await bench.feed.accept("bob@b.example", tags=("t",), metadata={"k": "é"})
    (parcel,) = await bench.feed.spool.claim(bench.me, 10)
    settlement = Settlement(parcel.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, detail={"reply": "250 ok"})
    await bench.feed.spool.settle(bench.me, [settlement])
    after = await bench.send()
    (post,) = bench.receiver.posts
    assert [(one["event"], one["_id"], one["msg"]["email"]) for one in post.mandrill] == [
        ("send", f"{parcel.id}.0", "bob@b.example"),
        ("delivered", f"{parcel.id}.0", "bob@b.example"),
    ]
    assert post.mandrill[0]["msg"]["metadata"] == {"k": "é"}
    value = parse_qs(post.body.decode())["mandrill_events"][0]
    signed = f"{hook.url}mandrill_events{value}".encode()
    expected = base64.b64encode(hmac.new(bench.book.secret(hook).encode(), signed, hashlib.sha1).digest()).decode()
    assert post.headers["X-Mandrill-Signature"] == expected
    assert after.position == await bench.feed.spool.last_event()


async def test_a_tenant_has_so_many_webhooks_and_no_more(bench: Bench) -> None:
    new = NewWebhook(1, "https://a.example/", Form.STANDARD, frozenset(), "", BEGINNING)
    assert [await bench.book.add(new, 2) is None for _ in range(3)] == [False, False, True]
    assert [one.id for one in await bench.book.webhooks(1)] == [1, 2]
    assert not await bench.book.remove(1, 2)
    assert await bench.book.remove(1, 1)
    assert await bench.book.add(new, 2) is not None
    assert len({bench.book.secret(one) for one in await bench.book.webhooks()}) == 2
    await asyncio.sleep(0)
