"""Many messages in one request, and looking for them again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_server import ApiServer, running_api

MAIL = {"from": "ann@acme.example", "subject": "x", "text": "y", "to": ["a@one.example"]}
PATH = "/api/v1/messages/batch"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as running:
        yield running


async def batch(server: ApiServer, *messages: Any, **headers: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {server.key}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    async with server.http.post(PATH, json={"messages": messages}, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_each_message_has_its_own_answer(server: ApiServer) -> None:
    wrong = {**MAIL, "to": ["nobody"]}
    later = {**MAIL, "send_at": "2030-01-01T00:00:00"}
    status, answer = await batch(server, MAIL, wrong, {**MAIL, "to": ["b@one.example", "c@one.example"]}, later, 7)
    assert status == 200
    assert [one["status"] for one in answer["answers"]] == [202, 422, 202, 422, 422]
    first, second, third, fourth, _ = answer["answers"]
    assert (first["problem"], [one["address"] for one in third["recipients"]]) == (
        None,
        ["b@one.example", "c@one.example"],
    )
    assert [one["field"] for one in second["problem"]["errors"]] == ["to[0]"]
    assert [one["field"] for one in fourth["problem"]["errors"]] == ["send_at"]
    status, life = await server.get(f"/api/v1/messages/{third['id']}")
    assert (status, len(life["recipients"])) == (200, 2)


async def test_a_repeated_batch_makes_nothing_new(server: ApiServer) -> None:
    one = await batch(server, MAIL, MAIL, Idempotency_Key="k")
    assert await batch(server, MAIL, MAIL, Idempotency_Key="k") == one
    ids = [answer["id"] for answer in one[1]["answers"]]
    assert len(set(ids)) == 2
    changed = await batch(server, MAIL, {**MAIL, "subject": "z"}, Idempotency_Key="k")
    assert [answer["status"] for answer in changed[1]["answers"]] == [202, 409]


@pytest.mark.parametrize(
    "document",
    [{}, [], {"messages": []}, {"messages": [MAIL] * 1001}, {"messages": [MAIL], "x": 1}, {"messages": MAIL}],
)
async def test_what_is_no_batch_is_refused_whole(server: ApiServer, document: Any) -> None:
    assert (await server.ask("POST", PATH, document))[0] == 422


async def test_a_thousand_messages(server: ApiServer) -> None:
    status, answer = await batch(server, *[{**MAIL, "to": [f"p{n}@one.example"], "tags": ["big"]} for n in range(1000)])
    assert (status, {one["status"] for one in answer["answers"]}) == (200, {202})
    assert len({one["id"] for one in answer["answers"]}) == 1000
    status, page = await server.get("/api/v1/messages?tag=big&recipient=p7@one.example")
    assert (status, [one["id"] for one in page["messages"]]) == (200, [answer["answers"][7]["id"]])


async def test_deep_nonsense_is_refused(server: ApiServer) -> None:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    text = '{"messages": [' + "[" * 100_000 + "]" * 100_000 + "]}"
    async with server.http.post(PATH, data=text.encode(), headers=headers) as answer:
        assert answer.status == 400


async def test_ones_own_messages_are_found(server: ApiServer) -> None:
    # S49
    ids = [(await server.post({**MAIL, "tags": [f"t{n % 2}"]}))[1]["id"] for n in range(5)]
    status, page = await server.get("/api/v1/messages?limit=3")
    assert (status, [one["id"] for one in page["messages"]]) == (200, ids[:1:-1])
    _, rest = await server.get(f"/api/v1/messages?limit=3&cursor={page['cursor']}")
    assert ([one["id"] for one in rest["messages"]], rest["cursor"]) == (ids[1::-1], None)
    query = "tag=t1&state=waiting&sender=ANN@acme.example&after=2000-01-01T00:00:00Z"
    _, tagged = await server.get(f"/api/v1/messages?{query}")
    assert [one["id"] for one in tagged["messages"]] == [ids[3], ids[1]]
    assert (await server.get("/api/v1/messages?state=bounced"))[1] == {"messages": [], "cursor": None}
    assert (await server.get("/api/v1/messages", key=server.other_key))[1] == {"messages": [], "cursor": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=lost", "state"),
        ("after=yesterday", "after"),
        ("before=2026-01-01T00:00:00", "before"),
        ("cursor=xyz", "cursor"),
        ("limit=5000", "limit"),
        ("subject=x", "subject"),
        ("tag=%00", "tag"),
    ],
)
async def test_a_wrong_question_is_named(server: ApiServer, query: str, field: str) -> None:
    status, answer = await server.get(f"/api/v1/messages?{query}")
    assert (status, [one["field"] for one in answer["errors"]]) == (422, [field])
    json.dumps(answer)
