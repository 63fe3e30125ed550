"""Standing refusals over HTTP: one's own, paged, and a recipient's own word is not taken back by the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_server import ApiServer, running_api

PATH = "/api/v1/suppressions"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as running:
        yield running


async def call(server: ApiServer, method: str, path: str, document: Any = None, key: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key or server.key}"}
    body = {} if document is None else {"json": document}
    async with server.http.request(method, path, headers=headers, **body) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_written_read_and_taken_back(server: ApiServer) -> None:
    document = {"addresses": ["ann@b.example", "bob@b.example"], "detail": "asked on the phone"}
    assert await call(server, "POST", PATH, document) == (200, {"added": 2, "known": 0})
    assert await call(server, "POST", PATH, document) == (200, {"added": 0, "known": 2})
    status, page = await call(server, "GET", f"{PATH}?limit=1")
    assert (status, [one["address"] for one in page["suppressions"]]) == (200, ["ann@b.example"])
    assert page["suppressions"][0]["reason"] == "manual"
    status, page = await call(server, "GET", f"{PATH}?limit=5&after={page['cursor']}")
    assert [one["address"] for one in page["suppressions"]] == ["bob@b.example"]
    assert page["cursor"] is None
    status, page = await call(server, "GET", f"{PATH}?address=ANN%2Bx@b.example")
    assert [one["address"] for one in page["suppressions"]] == ["ann@b.example"]
    assert await call(server, "DELETE", f"{PATH}?address=ann@b.example") == (200, {"removed": 1})
    assert await call(server, "DELETE", f"{PATH}?address=ann@b.example") == (200, {"removed": 0})


async def test_an_opt_out_is_taken_back_by_its_name_only(server: ApiServer) -> None:
    await call(server, "POST", PATH, {"addresses": ["ann@b.example"], "reason": "opt-out"})
    assert await call(server, "DELETE", f"{PATH}?address=ann@b.example") == (200, {"removed": 0})
    assert await call(server, "DELETE", f"{PATH}?address=ann@b.example&reason=opt-out") == (200, {"removed": 1})


async def test_another_tenant_sees_and_changes_nothing(server: ApiServer) -> None:  # S49
    await call(server, "POST", PATH, {"addresses": ["ann@b.example"]})
    assert (await call(server, "GET", PATH, key=server.other_key))[1]["suppressions"] == []
    assert (await call(server, "DELETE", f"{PATH}?address=ann@b.example", key=server.other_key))[1]["removed"] == 0
    assert len((await call(server, "GET", PATH))[1]["suppressions"]) == 1


@pytest.mark.parametrize(
    "document",
    [{}, {"addresses": []}, {"addresses": ["x"]}, {"addresses": ["a@b.example"], "reason": "x"}, {"addresses": [1]}],
)
async def test_nonsense_is_refused_with_its_field(server: ApiServer, document: Any) -> None:
    status, problem = await call(server, "POST", PATH, document)
    assert (status, bool(problem["errors"])) == (422, True)
    assert (await call(server, "GET", f"{PATH}?nonsense=1"))[0] == 422
