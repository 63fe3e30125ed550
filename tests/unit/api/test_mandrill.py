"""The door for Mandrill's clients: its calls over our intake, its errors, its reading of what came of mail."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.api.mandrill.documents import Var
from relay.api.mandrill.merging import TooLongError, merge, variables
from relay.engine.submission import Refusal
from relay.event import EventKind
from relay.ids import split_delivery_id
from relay.policy.state import State
from relay.smtp.reply import reply
from relay.spool.work import Settlement
from tests.support.api_server import ApiServer, running_api
from tests.support.webhook_receiver import WebhookReceiver

MESSAGE = {"from_email": "ann@acme.example", "from_name": 'Ann "A" Ã', "subject": "Hi", "text": "Hello"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as running:
        yield running


async def call(server: ApiServer, name: str, version: str = "1.3", **document: Any) -> tuple[int, Any]:
    body = {"key": server.key, **document}
    async with server.http.post(f"/api/{version}/{name}", json=body) as answer:
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        return answer.status, await answer.json()


async def send(server: ApiServer, *to: str, **fields: Any) -> Any:
    message = {**MESSAGE, "to": [{"email": one, "type": "to"} for one in to], **fields}
    status, answer = await call(server, "messages/send.json", message=message, ip_pool=None, send_at=None)
    assert status == 200, answer
    return answer


async def content(server: ApiServer, answer: dict[str, Any]) -> str:
    view = await server.spool.message(split_delivery_id(answer["_id"])[0])
    assert view is not None
    return (await server.spool.original(view.seq)).decode()


async def test_pings_and_the_caller(server: ApiServer) -> None:
    assert await call(server, "users/ping") == (200, "PONG!")
    assert await call(server, "users/ping2.json", version="1.0") == (200, {"PING": "PONG!"})
    status, info = await call(server, "users/info")
    assert (status, info["username"], info["stats"]["today"]["sent"]) == (200, "acme", 0)


async def test_what_curl_calls_a_form_is_read_as_what_it_is(server: ApiServer) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = json.dumps({"key": server.key})
    async with server.http.post("/api/1.0/users/ping2.json", data=body, headers=form) as answer:
        assert (answer.status, await answer.json()) == (200, {"PING": "PONG!"})


async def test_a_wrong_key(server: ApiServer) -> None:
    fault = {"status": "error", "code": -1, "name": "Invalid_Key", "message": "Invalid API key"}
    for version, status in (("1.0", 500), ("1.3", 401)):
        assert await call(server, "users/ping.json", version, key="wrong") == (status, fault)
        assert (await call(server, "users/ping.json", version, key=""))[1]["name"] == "ValidationError"


FAULTS = [
    ("messages/send.xml", 406, "Unknown_Format"),
    ("messages/nothing.json", 404, "Unknown_Method"),
    ("webhooks/info", 404, "Unknown_Webhook"),
    ("messages/info", 404, "Unknown_Message"),
    ("rejects/delete", 422, "ValidationError"),
]


async def test_faults(server: ApiServer) -> None:
    for path, status, name in FAULTS:
        found, fault = await call(server, path, id=0 if "webhooks" in path else "x")
        assert (found, fault["status"], fault["name"]) == (status, "error", name)
        plain = {"Content-Type": "text/plain"}
        async with server.http.post(f"/api/1.3/{path}", data=b"\xff{", headers=plain) as answer:
            assert (await answer.json())["status"] == "error"


async def test_each_recipient_gets_a_letter_of_his_own(server: ApiServer) -> None:
    merges = [{"rcpt": "BOB@one.example", "vars": [{"name": "fname", "content": "Bob"}]}]
    answers = await send(
        server,
        *("bob@one.example", "eve@two.example", "nobody", "eve@two.example"),
        text="Dear *|FNAME|*, *|shop|* *|OTHER|*",
        global_merge_vars=[{"name": "FNAME", "content": "friend"}, {"name": "SHOP", "content": 7}],
        merge_vars=merges,
        headers={"Reply-To": "desk@acme.example", "X-Own": "1"},
        tags=["spring"],
        metadata={"order": 17},
        recipient_metadata=[{"rcpt": "bob@one.example", "values": {"who": "bob"}}],
        track_opens=True,
        bcc_address="spy@acme.example",
    )
    assert [(one["email"], one["status"], one["reject_reason"]) for one in answers] == [
        ("bob@one.example", "queued", None),
        ("eve@two.example", "queued", None),
        ("nobody", "invalid", "invalid"),
    ]
    bob, eve = await content(server, answers[0]), await content(server, answers[1])
    assert "Dear Bob, 7 *|OTHER|*" in bob
    assert "Dear friend, 7" in eve
    assert "To: bob@one.example\r\n" in bob
    assert "eve@" not in bob
    assert "spy@" not in bob + eve
    assert "Reply-To: desk@acme.example\r\n" in bob
    status, info = await call(server, "messages/info", id=answers[0]["_id"])
    assert status == 200
    assert info["metadata"] == {"order": "17", "who": "bob"}
    assert (info["state"], info["subject"], info["email"], info["tags"]) == (
        "queued",
        "Hi",
        "bob@one.example",
        ["spring"],
    )


async def test_recipients_are_preserved_when_asked(server: ApiServer) -> None:
    message = {
        **MESSAGE,
        "to": [
            {"email": "a@one.example"},
            {"email": "b@one.example", "type": "cc"},
            {"email": "c@x.example", "type": "bcc"},
        ],
        "preserve_recipients": True,
        "attachments": [{"type": "text/plain", "name": "a.txt", "content": base64.b64encode(b"file").decode()}],
        "html": '<img src="cid:logo">',
        "images": [{"type": "image/png", "name": "logo", "content": base64.b64encode(b"png").decode()}],
        "auto_text": None,
    }
    status, answers = await call(server, "messages/send", message=message)
    assert status == 200
    assert len({split_delivery_id(one["_id"])[0] for one in answers}) == 1
    text = await content(server, answers[0])
    assert "Cc: b@one.example\r\n" in text
    assert "c@x.example" not in text
    assert "Content-ID: <logo>" in text
    status, told = await call(server, "messages/content", id=answers[2]["_id"])
    assert (status, told["text"].strip(), told["from_email"]) == (200, "Hello", "ann@acme.example")
    assert {"name": "a.txt", "type": "text/plain", "content": base64.b64encode(b"file").decode()} in told["attachments"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"from_email": "no"}, "ValidationError"),
    ({"subject": "a\r\nBcc: x@y.example"}, "ValidationError"),
    ({"headers": {"X-A": "a\r\nBcc: x@y.example"}}, "ValidationError"),
    ({"headers": {"DKIM-Signature": "v=1"}}, "ValidationError"),
    ({"to": []}, "ValidationError"),
    ({"text": ""}, "ValidationError"),
    ({"tags": ["_x"]}, "Invalid_Tag_Name"),
    ({"subaccount": "cust-1"}, "Unknown_Subaccount"),
    ({"merge_language": "handlebars", "global_merge_vars": [{"name": "a", "content": "b"}]}, "ValidationError"),
    ({"to": [{"email": f"a{n}@one.example"} for n in range(51)]}, "ValidationError"),
    ({"attachments": [{"name": "a", "content": "%%"}]}, "ValidationError"),
]


async def test_what_is_wrong_is_named_and_nothing_is_taken(server: ApiServer) -> None:  # S01 S31
    for fields, name in WRONG:
        message = {**MESSAGE, "to": [{"email": "bob@one.example"}], **fields}
        status, fault = await call(server, "messages/send", message=message)
        assert (status >= 400, fault["status"], fault["name"]) == (True, "error", name), fault
    assert (await call(server, "messages/search", query="*"))[0] == 422
    assert (await call(server, "messages/search"))[1] == []


async def test_raw_mail(server: ApiServer) -> None:
    raw = (
        "From: Ann <ann@acme.example>\nTo: Bob <bob@one.example>, eve@two.example\nBcc: c@x.example\nSubject: R\n\nHi\n"
    )
    status, answers = await call(server, "messages/send-raw", raw_message=raw, to=None)
    assert (status, [one["email"] for one in answers]) == (200, ["bob@one.example", "eve@two.example", "c@x.example"])
    status, answers = await call(server, "messages/send-raw", raw_message=raw, to=["x@one.example", "no"])
    assert [one["status"] for one in answers] == ["queued", "invalid"]
    assert (await call(server, "messages/send-raw", raw_message="no header"))[0] == 422


async def test_scheduled_mail_is_listed_and_cancelled(server: ApiServer) -> None:
    message = {**MESSAGE, "to": [{"email": "bob@one.example"}]}
    later = server.clock.now().replace(microsecond=0)
    moment = later.replace(year=later.year + 1, day=1).strftime("%Y-%m-%d %H:%M:%S")
    status, [one] = await call(server, "messages/send", message=message, send_at=moment)
    assert (status, one["status"]) == (200, "scheduled")
    status, listed = await call(server, "messages/list-scheduled")
    assert [(item["_id"], item["send_at"], item["to"]) for item in listed] == [(one["_id"], moment, "bob@one.example")]
    sooner = (later + timedelta(days=2)).strftime("%Y-%m-%d %H:%M:%S")
    status, moved = await call(server, "messages/reschedule", id=one["_id"], send_at=sooner)
    assert (status, moved["_id"], moved["send_at"], moved["subject"]) == (200, one["_id"], sooner, listed[0]["subject"])
    assert [item["send_at"] for item in (await call(server, "messages/list-scheduled"))[1]] == [sooner]
    for wrong in (None, "tomorrow", (later + timedelta(days=400)).strftime("%Y-%m-%d %H:%M:%S")):
        status, fault = await call(server, "messages/reschedule", id=one["_id"], send_at=wrong)
        assert (status, fault["name"], "send_at" in fault["message"]) == (422, "ValidationError", True)
    assert (await call(server, "messages/cancel-scheduled", id=one["_id"]))[1]["_id"] == one["_id"]
    assert (await call(server, "messages/list-scheduled"))[1] == []
    status, answer = await call(
        server, "messages/send", message={**MESSAGE, "to": [{"email": "eve@two.example"}]}, send_at=sooner
    )
    long_ago = {"id": answer[0]["_id"], "send_at": "0001-01-01"}
    now = server.clock.now().strftime("%Y-%m-%d %H:%M:%S")
    assert (await call(server, "messages/reschedule", **long_ago))[1]["send_at"] == now, "at once"
    gone = await call(server, "messages/reschedule", id=one["_id"], send_at=sooner)
    assert (gone[0], gone[1]["name"]) == (404, "Unknown_Message")
    assert (await call(server, "messages/cancel-scheduled", id=one["_id"]))[1]["name"] == "Unknown_Message"


async def test_search_and_another_tenant(server: ApiServer) -> None:  # S49
    [one, _] = await send(server, "bob@one.example", "eve@two.example", tags=["spring"])
    for asked in ({"query": "bob@one.example"}, {"query": "email:bob@one.example"}):
        assert [found["_id"] for found in (await call(server, "messages/search", **asked))[1]] == [one["_id"]]
    assert len((await call(server, "messages/search", tags=["spring"], senders=["ann@acme.example"]))[1]) == 2
    today = server.clock.now().strftime("%Y-%m-%d")
    assert len((await call(server, "messages/search", date_from=today, date_to=today))[1]) == 2
    other = {"key": server.other_key}
    assert (await call(server, "messages/search", **other))[1] == []
    for name in ("info", "content", "cancel-scheduled", "reschedule"):
        asked = {"id": one["_id"], "send_at": f"{today} 00:00:00", **other}
        assert (await call(server, f"messages/{name}", **asked))[1]["name"] == "Unknown_Message"
    for moment in ("0001-01-01", "9999-12-31", "9999-12-31 23:59:59"):
        for bound, count in (("date_from", moment[0] == "0"), ("date_to", moment[0] == "9")):
            status, found = await call(server, "messages/search", **{bound: moment})
            assert (status, len(found)) == (200, 2 * count), (bound, moment)


async def test_refusals_and_allowances(server: ApiServer) -> None:  # P05 S49
    assert await call(server, "rejects/add", email="bob@one.example", comment="asked") == (
        200,
        {"email": "bob@one.example", "added": True},
    )
    [one] = (await call(server, "rejects/list"))[1]
    assert (one["email"], one["reason"], one["detail"], one["expired"]) == ("bob@one.example", "custom", "asked", False)
    assert (await call(server, "rejects/list", key=server.other_key))[1] == []
    fault = (await call(server, "rejects/delete", email="bob@one.example", key=server.other_key))[1]
    assert fault["name"] == "Invalid_Reject"
    assert (await call(server, "rejects/delete", email="bob@one.example"))[1]["deleted"] is True
    for name in ("allowlists", "whitelists"):
        assert (await call(server, f"{name}/add", email="eve@two.example"))[1]["added"] is (name == "allowlists")
    assert [row["email"] for row in (await call(server, "allowlists/list"))[1]] == ["eve@two.example"]
    assert (await call(server, "whitelists/delete", email="eve@two.example"))[1]["deleted"] is True


async def test_an_opt_out_is_not_taken_back_by_a_program(server: ApiServer) -> None:  # N06
    await server.ask("POST", "/api/v1/suppressions", {"addresses": ["bob@one.example"], "reason": "opt-out"})
    assert (await call(server, "rejects/delete", email="bob@one.example"))[1]["deleted"] is False
    [one] = (await call(server, "rejects/list"))[1]
    assert one["reason"] == "unsub"


async def test_tags(server: ApiServer) -> None:
    assert (await call(server, "tags/list"))[1] == (await call(server, "tags/all-time-series"))[1] == []
    for tags in (["news", "spring"], ["news"]):
        await send(server, "bob@one.example", tags=tags)
    me = await server.spool.register("another", 0)
    ends = (State.DELIVERED, EventKind.DELIVERED), (State.BOUNCED, EventKind.BOUNCED)
    for parcel, (state, kind) in zip(await server.spool.claim(me, 10), ends, strict=True):
        assert await server.spool.settle(me, [Settlement(parcel.seq, 0, state, event=kind)]) == 1
    news, spring = (await call(server, "tags/list"))[1]
    assert [(one["tag"], one["sent"], one["hard_bounces"]) for one in (news, spring)] == [
        ("news", 1, 1),
        ("spring", 1, 0),
    ]
    info = (await call(server, "tags/info", tag="news"))[1]
    assert info == {**news, "stats": info["stats"]}
    assert set(info["stats"]) == {"today", "last_7_days", "last_30_days", "last_60_days", "last_90_days"}
    assert all((span["sent"], span["hard_bounces"], span["opens"]) == (1, 1, 0) for span in info["stats"].values())
    [hour] = (await call(server, "tags/time-series", tag="spring"))[1]
    assert (hour["time"][-6:], hour["sent"], hour["hard_bounces"]) == (":00:00", 1, 0)
    [every] = (await call(server, "tags/all-time-series"))[1]
    assert (every["sent"], every["hard_bounces"]) == (2, 1), "a letter with two tags counts with each"
    for name in ("tags/info", "tags/time-series"):
        assert await call(server, name, tag="news", key=server.other_key) == await call(server, name, tag="nothing")
        assert (await call(server, name, tag="nothing"))[1]["name"] == "Invalid_Tag_Name"
        assert (await call(server, name))[1]["name"] == "ValidationError"
    assert (await call(server, "tags/list", key=server.other_key))[1] == []
    assert (await call(server, "tags/delete", tag="news"))[1]["name"] == "Unknown_Method"


async def test_webhooks(server: ApiServer) -> None:
    async with WebhookReceiver() as receiver:
        assert (await call(server, "webhooks/add", url="ftp://x.example"))[1]["name"] == "ValidationError"
        status, made = await call(server, "webhooks/add", url=receiver.url, description="ours", events=["send", "open"])
        assert status == 200, made
        assert (made["events"], made["url"], bool(made["auth_key"])) == (["send", "delivered"], receiver.url, True)
        number = made["id"]
        assert (await call(server, "webhooks/list"))[1] == [made]
        assert (await call(server, "webhooks/info", id=number, key=server.other_key))[1]["name"] == "Unknown_Webhook"
        changed = (await call(server, "webhooks/update", id=number, events=["hard_bounce"], description="new"))[1]
        assert (changed["events"], changed["description"]) == (["hard_bounce"], "new")
        assert changed["auth_key"] == made["auth_key"]
        receiver.judge = lambda _: 500
        assert (await call(server, "webhooks/update", id=number, url=f"{receiver.url}2"))[0] == 422
        assert (await call(server, "webhooks/delete", id=number))[1]["id"] == number
        assert (await call(server, "webhooks/list"))[1] == []


async def test_what_intake_refuses(server: ApiServer) -> None:
    server.intake.refusal = Refusal(reply(550, "5.7.1", "not yours"), "from")
    [one] = await send(server, "bob@one.example")
    assert (one["status"], one["reject_reason"], len(one["_id"])) == ("rejected", "invalid-sender", 32)
    server.intake.refusal = Refusal(reply(452, "4.3.1", "no room"))
    message = {**MESSAGE, "to": [{"email": "bob@one.example"}]}
    for version, expected in (("1.0", 500), ("1.3", 503)):
        status, fault = await call(server, "messages/send", version, message=message)
        assert (status, fault["name"]) == (expected, "ServiceUnavailable")


def test_merging_is_bounded() -> None:  # S31
    values = variables([Var(name="a", content="x" * 1000)])
    assert merge("*|A|* *|B|*", values, 2000) == "x" * 1000 + " *|B|*"
    with pytest.raises(TooLongError):
        merge("*|a|*" * 1000, values, 20_000)
