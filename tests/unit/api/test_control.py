"""Queue control over HTTP: one's own deliveries and paths, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_server import ApiServer, running_api

MAIL = {"from": "ann@acme.example", "subject": "x", "text": "y"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as running:
        yield running


async def control(server: ApiServer, path: str, document: Any = None, key: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key or server.key}"}
    body = {} if document is None else {"json": document}
    async with server.http.post(path, headers=headers, **body) as answer:
        return answer.status, await answer.json(content_type=None)


async def states(server: ApiServer, message: str) -> list[str]:
    _, life = await server.get(f"/api/v1/messages/{message}")
    return [one["state"] for one in life["recipients"]]


async def accept(server: ApiServer, *to: str) -> str:
    status, answer = await server.post({**MAIL, "to": list(to)})
    assert status == 202, answer
    return str(answer["id"])


async def test_one_message_is_held_and_released_and_cancelled(server: ApiServer) -> None:
    message = await accept(server, "a@one.example", "b@two.example")
    assert await control(server, f"/api/v1/messages/{message}/hold") == (
        200,
        {"changed": 2, "under_way": 0, "final_at": None},
    )
    assert await states(server, message) == ["held", "held"]
    assert (await control(server, f"/api/v1/messages/{message}/release"))[1]["changed"] == 2
    assert await states(server, message) == ["waiting", "waiting"]
    status, answer = await control(server, f"/api/v1/messages/{message}/cancel")
    assert (status, answer["changed"]) == (200, 2)
    assert answer["final_at"] is not None


async def test_a_filter_is_narrowed_to_the_callers_tenant(server: ApiServer) -> None:
    # S49
    message = await accept(server, "a@one.example")
    assert (await control(server, f"/api/v1/messages/{message}/cancel", key=server.other_key))[0] == 404
    status, answer = await control(server, "/api/v1/queue/hold", {"all": True}, key=server.other_key)
    assert (status, answer["changed"]) == (200, 0)
    assert await states(server, message) == ["waiting"]
    status, answer = await control(server, "/api/v1/queue/hold", {"domain": "one.example"})
    assert (status, answer["changed"]) == (200, 1)


@pytest.mark.parametrize("document", [{}, {"reason": "because"}, {"domain": 1}, {"colour": "red"}, []])
async def test_a_filter_that_names_nothing_is_refused(server: ApiServer, document: Any) -> None:
    message = await accept(server, "a@one.example")
    status, problem = await control(server, "/api/v1/queue/cancel", document)
    assert status == 422
    assert problem["errors"]
    assert await states(server, message) == ["waiting"]


async def test_a_path_is_suspended_and_resumed_by_its_owner(server: ApiServer) -> None:
    status, suspension = await control(
        server, "/api/v1/queue/suspend", {"domain": "one.example", "seconds": 60, "reason": "slow"}
    )
    assert (status, suspension["domain"], suspension["reason"]) == (200, "one.example", "slow")
    resume = {"id": suspension["id"]}
    assert (await control(server, "/api/v1/queue/resume", resume, key=server.other_key))[0] == 404
    assert await control(server, "/api/v1/queue/resume", resume) == (200, {"resumed": True})
    assert (await control(server, "/api/v1/queue/resume", resume))[0] == 404
