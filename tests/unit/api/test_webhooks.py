"""Webhooks over HTTP: made, shown, changed and removed by their own tenant, and by nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_server import ApiServer, running_api
from tests.support.webhook_receiver import WebhookReceiver

PATH = "/api/v1/webhooks"
MAIL = {"from": "ann@acme.example", "subject": "x", "text": "y", "to": ["a@one.example"]}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as running:
        yield running


async def make(server: ApiServer, **fields: Any) -> dict[str, Any]:
    status, made = await server.ask("POST", PATH, {"url": "https://hooks.example/x", **fields})
    assert status == 201, made
    return dict(made)


async def test_a_secret_is_shown_once(server: ApiServer) -> None:
    await server.post(MAIL)
    made = await make(server, kinds=["bounced", "delivered"], description="ours")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made | {"created_at": "", "cursor": ""} == {
        "id": 1,
        "url": "https://hooks.example/x",
        "kinds": ["delivered", "bounced"],
        "form": "standard",
        "description": "ours",
        "created_at": "",
        "enabled": True,
        "disabled_at": None,
        "disabled_why": "",
        "cursor": "",
        "parked": 0,
        "failures": 0,
        "failing_since": None,
        "next_post": None,
        "taken_at": None,
    }
    assert made["cursor"] == (await server.get("/api/v1/events?after=latest"))[1]["cursor"]
    assert await server.ask("GET", PATH) == (200, {"webhooks": [made]})
    assert await server.ask("GET", f"{PATH}/1") == (200, made)
    status, rotated = await server.ask("POST", f"{PATH}/1/rotate")
    assert status == 200
    assert rotated.pop("secret") != secret
    assert rotated == made
    assert await server.ask("DELETE", f"{PATH}/1") == (204, None)
    assert await server.ask("GET", PATH) == (200, {"webhooks": []})


async def test_another_tenants_webhook_does_not_exist(server: ApiServer) -> None:
    # S49
    await make(server)
    for method, path, document in (
        ("GET", "/1", None),
        ("DELETE", "/1", None),
        ("POST", "/1/rotate", None),
        ("POST", "/1/enable", None),
        ("POST", "/1/replay", {"after": "0-0"}),
        ("GET", "/1/posts", None),
    ):
        assert (await server.ask(method, PATH + path, document, server.other_key))[0] == 404
    assert await server.ask("GET", PATH, key=server.other_key) == (200, {"webhooks": []})
    for number in ("2", "x", "-1", "1.0", "9" * 30):
        assert (await server.ask("GET", f"{PATH}/{number}"))[0] == 404


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "url"),
        ({"url": "gopher://x.example/"}, "url"),
        ({"url": "https://2130706433/"}, "url"),
        ({"url": "https://h.example/", "kinds": ["opened"]}, "kinds"),
        ({"url": "https://h.example/", "form": "xml"}, "form"),
        ({"url": "https://h.example/", "after": "x"}, "after"),
        ({"url": "https://h.example/", "secret": "x"}, "secret"),
        ({"url": "http://127.0.0.1:1/", "form": "mandrill"}, "url"),
    ],
)
async def test_what_is_wrong_is_named(server: ApiServer, document: Any, field: str) -> None:
    status, answer = await server.ask("POST", PATH, document)
    assert (status, [one["field"] for one in answer["errors"]]) == (422, [field])


async def test_mandrills_form_asks_first(server: ApiServer) -> None:
    async with WebhookReceiver() as receiver:
        made = await make(server, url=receiver.url, form="mandrill")
        assert not made["secret"].startswith("whsec_")


async def test_a_tenant_has_so_many(server: ApiServer) -> None:
    for _ in range(3):
        await make(server)
    assert (await server.ask("POST", PATH, {"url": "https://hooks.example/"}))[0] == 409


async def test_events_are_asked_for_again(server: ApiServer) -> None:
    for _ in range(3):
        await server.post(MAIL)
    await make(server)
    first = (await server.get("/api/v1/events"))[1]["events"][0]
    status, answer = await server.ask("POST", f"{PATH}/1/replay", {"events": [first["id"]]})
    assert (status, answer["parked"]) == (200, 1)
    status, answer = await server.ask("POST", f"{PATH}/1/replay", {"after": first["cursor"]})
    assert (status, answer["parked"], answer["cursor"]) == (200, 0, first["cursor"])
    for document in ({}, {"events": ["evt_999"]}, {"events": ["x"]}, {"after": "0-0", "events": [first["id"]]}):
        assert (await server.ask("POST", f"{PATH}/1/replay", document))[0] == 422
    assert await server.ask("GET", f"{PATH}/1/posts") == (200, {"posts": []})
    assert (await server.ask("POST", f"{PATH}/1/enable"))[0] == 200
