"""The operator's pages on a relay without a front, beside the desk, and on a front whose relay is elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from relay.cli.front import load_front
from relay.clock import SystemClock
from relay.door_tokens import ensure_admin_tokens, ensure_desk_tokens
from relay.front_node import FrontNode
from relay.ids import SystemEntropy
from relay.lab_node import token_doors
from relay.listeners import bind_all, wanted_listeners
from relay.node import NodeParts
from relay.private_file import write_private_file
from relay.settings import settings_from
from tests.support.operator import Operator
from tests.support.whole_relay import whole_relay

ADMIN = {"admin_listen": "127.0.0.1:0"}


@asynccontextmanager
async def operator_at(port: int, folder: Path) -> AsyncIterator[Operator]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        somebody = Operator(f"http://127.0.0.1:{port}", session)
        assert (
            await somebody.enter(ensure_admin_tokens(folder / "secrets", SystemEntropy())["operator"])
        ).status == 303
        yield somebody


async def test_a_relay_without_a_front_and_without_an_api_has_them(tmp_path: Path) -> None:
    roles = {"roles": ["submission", "delivery"]}
    async with (
        whole_relay(tmp_path, node=roles, api=ADMIN) as relay,
        operator_at(relay.desk_port, tmp_path) as somebody,
    ):
        assert relay.http_port == 0
        message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], b"From: ann@leak.lab.test\r\n\r\nx\r\n")
        await relay.until(message)
        page = await somebody.get("/admin")
        assert "The times to deliver are those of 1 delivery since" in page.text
        assert "/desk" not in page.document
        assert (await somebody.ask("GET", "/desk"))[0].status == 404
        assert (await somebody.ask("GET", "/admin/enter", Host="evil.example"))[0].status == 403


async def test_the_desk_beside_them_opens_to_its_own_tokens_alone(tmp_path: Path) -> None:
    async with (
        whole_relay(tmp_path, api=ADMIN) as relay,
        operator_at(relay.desk_port, tmp_path) as somebody,
    ):
        assert 'href="/desk"' in (await somebody.get("/admin")).document
        assert (await somebody.ask("GET", "/"))[0].headers["Location"] == "/desk"
        assert (await somebody.ask("GET", "/desk"))[0].headers["Location"] == "/desk/enter"
        operator = ensure_admin_tokens(tmp_path / "secrets", SystemEntropy())["operator"]
        moderator = ensure_desk_tokens(tmp_path / "secrets", SystemEntropy())["moderator"]
        assert (await somebody.ask("POST", "/desk/enter", {"token": operator}))[0].status == 403
        assert (await somebody.enter(moderator)).status == 403
        async with aiohttp.ClientSession() as session, session.get(f"{relay.http}/admin") as response:
            assert response.status == 404, "the public port has none"
        admin, desk = token_doors(relay.settings)
        assert admin.endswith(f"/admin   token {operator}")
        assert desk.endswith(f"/desk   token {moderator}")


async def test_a_front_whose_relay_is_elsewhere_says_where(tmp_path: Path) -> None:
    write_private_file(tmp_path / "key", b"a-key-that-opens-nothing\n")
    data = {
        "node": {"name": "www.leak.lab.test", "roles": ["web"], "workers": 1, "secrets": "secrets"},
        "spool": {"url": "sqlite:front.db", "minimum_free": 0},
        "api": ADMIN,
        "web": {
            "listen": "127.0.0.1:0",
            "sender_domain": "leak.lab.test",
            "relay": {"url": "http://127.0.0.1:9", "key_file": "key"},
        },
    }
    settings = settings_from(data, tmp_path)
    listeners = bind_all(wanted_listeners(settings), 1)[0]
    port = next(int(one.socket.getsockname()[1]) for one in listeners if one.purpose == "admin")
    node = FrontNode(settings, NodeParts(0, 1, listeners, SystemClock(), SystemEntropy(), load_front))
    await node.start()
    try:
        async with operator_at(port, tmp_path) as somebody:
            page = await somebody.get("/admin")
            assert "its letters leave through the relay at http://127.0.0.1:9" in page.text
            assert 'href="/desk"' in page.document
    finally:
        await node.stop()
