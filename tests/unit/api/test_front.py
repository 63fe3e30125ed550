"""A front's key opens the front's questions and nothing else; nobody else's key opens them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from relay.account.credential import AccountError, NewUser
from relay.account.identity import Access
from relay.client import wire
from tests.support.api_server import ApiServer, running_api

DOORS = [
    ("GET", "/api/v1/messages"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/suppressions"),
    ("DELETE", "/api/v1/suppressions?address=a@b.example"),
    ("GET", "/api/v1/queue"),
    ("GET", "/api/v1/webhooks"),
    ("GET", "/api/v1/reports"),
    ("POST", "/api/v1/messages"),
    ("POST", "/api/v1/messages/batch"),
    ("POST", "/api/v1/queue/cancel"),
]


async def front_key(server: ApiServer) -> str:
    created = await server.accounts.add_user(
        NewUser("front", tenant="leak", senders=["leak.example"], api_key=True, access=Access.FRONT)
    )
    return created.api_key or ""


async def test_a_front_s_key_opens_nothing_else(tmp_path: Path) -> None:  # S49
    async with running_api(tmp_path) as server:
        key = await front_key(server)
        asked = {"address": "ann@b.example", "stream": ""}
        assert await server.ask("POST", f"{wire.PATH}/refused", asked, key) == (200, {"yes": False})
        for method, path in DOORS:
            assert (await server.ask(method, path, {} if method == "POST" else None, key))[0] == 401, path
        assert await server.accounts.by_password("front", key, "192.0.2.1") is None
        assert await server.accounts.by_key(key, "192.0.2.1") is None
        assert (await server.ask("POST", f"{wire.PATH}/refused", asked))[0] == 401, "a tenant's key is no front's"
        mandrill = await server.ask("POST", "/api/1.0/users/ping.json", {"key": key}, "")
        assert mandrill[0] != 200


NEWER: list[tuple[str, dict[str, Any], bool]] = [
    ("/check", {"address": "bob@example.net"}, True),
    ("/admission", {"sender": "hello@leak.example", "stream": "letter"}, True),
    ("/bell", {"letters": 1, "oldest": "2026-11-21T00:00:00Z"}, True),
    (
        "/letters",
        {"key": "one", "sender": "hello@leak.example", "sender_name": "A friend", "recipient": "bob@c.example"}
        | {"subject": "Hello", "text": "Hello.", "html": "", "stream": "letter"},
        False,
    ),
    ("/refusals", {"address": "bob@example.net"}, False),
    ("/refused", {"address": "bob@example.net"}, False),
    ("/erasures", {"address": "bob@example.net"}, False),
    ("/opt-outs", {"token": "unothing"}, False),
]


async def test_a_newer_front_is_understood_unless_it_says_who_gets_what(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running_api(tmp_path) as server:
        key = await front_key(server)
        for path, document, is_open in NEWER:
            more = document | {"only_at_night": "a secret"}
            statuses = [(await server.ask("POST", wire.PATH + path, said, key))[0] for said in (document, more, more)]
            assert statuses == ([200, 200, 200] if is_open else [200, 422, 422]), path
        assert len(server.intake.submissions) == 1
    told = [vars(one)["facts"] for one in caplog.records if one.getMessage() == "field-unknown"]
    assert [(one["call"], one["field"]) for one in told] == [
        (path, "only_at_night") for path, _, is_open in NEWER if is_open
    ]
    assert "secret" not in str(told)


async def test_a_front_has_no_password(tmp_path: Path) -> None:
    async with running_api(tmp_path) as server:
        with pytest.raises(AccountError):
            await server.accounts.add_user(
                NewUser("front", tenant="leak", senders=["*"], password="long enough", access=Access.FRONT)
            )
        with pytest.raises(AccountError):
            await server.accounts.add_user(NewUser("front", tenant="leak", senders=["*"], access=Access.FRONT))


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/refused", {"address": 7}),
        ("/refused", {"address": "a@b.example", "tenant": 1}),
        ("/refused", {}),
        ("/refused", {"address": "a" * 1001}),
        ("/letters", {"key": "k", "sender": "a@leak.example"}),
        ("/bell", {"letters": -1}),
        ("/bell", {"letters": 1, "oldest": "2026-11-22T10:00:00"}),
        ("/admission", {"sender": "a@leak.example", "stream": "a\0b"}),
        ("/refused", {"address": "a@b.example", "stream": "a\x1b[2J\nb"}),
        ("/admission", {"sender": "nobody", "stream": "letter"}),
    ],
)
async def test_nonsense_is_refused(tmp_path: Path, path: str, document: dict[str, Any]) -> None:  # S31
    async with running_api(tmp_path) as server:
        status, answer = await server.ask("POST", wire.PATH + path, document, await front_key(server))
        assert (status, answer["title"]) == (422, "Unprocessable Entity")


async def test_a_letter_that_is_not_known(tmp_path: Path) -> None:
    async with running_api(tmp_path) as server:
        key = await front_key(server)
        for name in ("0" * 26, "x", "..%2f..%2fmessages"):
            assert await server.ask("GET", f"{wire.PATH}/letters/{name}", key=key) == (200, {"letter": None})
