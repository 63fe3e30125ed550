"""Events over HTTP: pages, kinds, waiting, other tenants, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_server import ApiServer, running_api

MAIL = {"from": "ann@acme.example", "subject": "x", "text": "y", "to": ["a@one.example"]}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as running:
        yield running


async def events(server: ApiServer, query: str = "", **options: Any) -> Any:
    status, answer = await server.get(f"/api/v1/events{query}", **options)
    assert status == 200, answer
    return answer


async def test_each_event_is_told_once_in_order(server: ApiServer) -> None:
    ids = [(await server.post({**MAIL, "tags": [f"t{n}"]}))[1]["id"] for n in range(5)]
    first = await events(server, "?limit=3")
    assert [one["message_id"] for one in first["events"]] == ids[:3]
    assert first["more"] is True
    rest = await events(server, f"?after={first['cursor']}")
    assert [(one["message_id"], one["tags"]) for one in rest["events"]] == [(ids[3], ["t3"]), (ids[4], ["t4"])]
    assert rest["more"] is False
    assert (await events(server, f"?after={rest['cursor']}")) == {
        "events": [],
        "cursor": rest["cursor"],
        "more": False,
    }
    assert (await events(server, "?after=latest"))["cursor"] == rest["cursor"]


async def test_another_tenants_events_are_not_told(server: ApiServer) -> None:
    # S49
    await server.post(MAIL)
    assert (await events(server, key=server.other_key))["events"] == []


async def test_kinds_can_be_chosen(server: ApiServer) -> None:
    message = (await server.post(MAIL))[1]["id"]
    headers = {"Authorization": f"Bearer {server.key}"}
    async with server.http.post(f"/api/v1/messages/{message}/hold", headers=headers) as answer:
        assert answer.status == 200
    held = (await events(server, "?kinds=held,released"))["events"]
    assert [(one["kind"], one["address"], one["delivery_id"]) for one in held] == [
        ("held", "a@one.example", f"{message}.0")
    ]


async def test_a_request_waits_until_something_happens(server: ApiServer) -> None:
    waiting = asyncio.create_task(events(server, "?after=latest&wait=30"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    message = (await server.post(MAIL))[1]["id"]
    assert [one["message_id"] for one in (await waiting)["events"]] == [message]
    assert (await events(server, "?after=latest&wait=0.01"))["events"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=5", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("kinds=opened", "kinds"),
        ("wait=31", "wait"),
        ("since=1", "since"),
        ("limit=1&limit=2", "limit"),
    ],
)
async def test_what_is_not_understood_is_refused_by_name(server: ApiServer, query: str, field: str) -> None:
    status, answer = await server.get(f"/api/v1/events?{query}")
    assert status == 422
    assert [one["field"] for one in answer["errors"]] == [field]
