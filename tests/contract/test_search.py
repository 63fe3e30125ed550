"""Looking for messages on both databases: what fits and nothing else, in pages that end, at a bounded cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.ids import SpoolId
from relay.mail.address import NULL_PATH, parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.state import State
from relay.spool import search as search_module
from relay.spool.inquiry import MessageFilter
from tests.support.feed_bench import FeedBench, feed_bench


@pytest.fixture(params=["sqlite", "postgres"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FeedBench]:
    url = "" if request.param == "sqlite" else await request.getfixturevalue("postgres_server").create()
    async with feed_bench(tmp_path, url) as running:
        yield running


async def found(bench: FeedBench, limit: int = 100, **fields: Any) -> list[SpoolId]:
    """Every message that fits, page by page."""
    ids: list[SpoolId] = []
    cursor: int | None = None
    for _ in range(1000):
        page = await bench.spool.search(MessageFilter(**{"tenant": 1, "cursor": cursor, "limit": limit, **fields}))
        ids += [one.id for one in page.messages]
        cursor = page.cursor
        if cursor is None:
            return ids
    raise AssertionError("the pages do not end")


def envelope(sender: str, *recipients: str) -> Envelope:
    return Envelope(
        parse_address(sender) if sender else NULL_PATH, tuple(Recipient(parse_address(one)) for one in recipients)
    )


async def test_an_operator_finds_what_any_tenant_sent(bench: FeedBench) -> None:
    mine = (await bench.accept("bob@b.example", tags=("x",))).id
    bench.clock.forward(seconds=1)
    theirs = (await bench.accept("bob@b.example", tenant=2, tags=("x",), initial={0: State.SUPPRESSED})).id
    ways: list[dict[str, Any]] = [{}, {"tag": "x"}, {"sender": "Ann@sender.example"}, {"recipient": "bob@b.example"}]
    for asked in ways:
        assert await found(bench, tenant=None, **asked) == [theirs, mine], asked
        assert await found(bench, tenant=2, **asked) == [theirs], asked
        assert await found(bench, tenant=0, **asked) == [], asked
    assert await found(bench, tenant=None, state=State.SUPPRESSED) == [theirs]
    assert await found(bench, tenant=None, limit=1, tag="x") == [theirs, mine], "page by page"
    assert await found(bench, tenant=None, tag="y") == []


async def test_what_fits_is_found_the_newest_first(bench: FeedBench) -> None:
    one = (await bench.accept("Bob@b.example", tags=("x", "y"), stream="news")).id
    bench.clock.forward(hours=1)
    two = (await bench.accept(envelope=envelope("eve@c.example", "bob@B.example", "al@d.example"), tags=("y",))).id
    bench.clock.forward(hours=1)
    three = (await bench.accept(envelope=envelope("", "al@d.example"), initial={0: State.SUPPRESSED})).id
    await bench.accept("bob@b.example", tenant=2, tags=("x", "y"), initial={0: State.SUPPRESSED})
    now = bench.clock.now()
    assert await found(bench) == [three, two, one]
    assert await found(bench, recipient="BOB@b.example") == [two, one]
    assert await found(bench, sender="ANN@sender.example") == [one]
    assert await found(bench, sender="eve@c.example", recipient="al@d.example") == [two]
    assert await found(bench, sender="eve@c.example", tag="x") == []
    assert await found(bench, tag="y") == [two, one]
    assert await found(bench, tag="y", stream="news") == [one]
    assert await found(bench, state=State.SUPPRESSED) == [three]
    assert await found(bench, state=State.WAITING) == [two, one]
    assert await found(bench, state=State.BOUNCED) == []
    assert await found(bench, after=now - timedelta(minutes=90)) == [three, two]
    assert await found(bench, before=now - timedelta(minutes=90)) == [one]
    assert await found(bench, before=now - timedelta(days=1)) == []
    assert await found(bench, after=now - timedelta(minutes=90), before=now - timedelta(minutes=30)) == [two]
    page = await bench.spool.search(MessageFilter(1, tag="y", limit=1))
    (message,) = page.messages
    assert (message.id, message.reverse_path, message.tags, message.unfinished) == (two, "eve@c.example", ("y",), 2)
    assert [(d.n, d.recipient, d.state) for d in message.deliveries] == [
        (0, "bob@b.example", State.WAITING),
        (1, "al@d.example", State.WAITING),
    ]


@pytest.mark.parametrize("fields", [{}, {"recipient": "r@b.example"}, {"tag": "t"}, {"sender": "ann@sender.example"}])
async def test_pages_end_and_miss_nothing(
    bench: FeedBench, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "WINDOW", 5)
    mine = []
    for number in range(24):
        tenant = 1 if number % 8 in {0, 1} else 2
        receipt = await bench.accept("r@b.example", tenant=tenant, tags=("t",))
        if tenant == 1:
            mine.append(receipt.id)
    for limit in (1, 2, 5, 100):
        assert await found(bench, limit, **fields) == mine[::-1]


async def test_an_erased_address_is_not_found(bench: FeedBench) -> None:
    receipt = await bench.accept("bob@b.example")
    await bench.database.write(lambda connection: connection.execute("DELETE FROM recipient"))
    assert await found(bench, recipient="bob@b.example") == []
    page = await bench.spool.search(MessageFilter(1))
    assert [(one.id, one.deliveries[0].recipient) for one in page.messages] == [(receipt.id, None)]
