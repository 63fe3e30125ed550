"""Messages over HTTP, on real sockets and a real spool."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relay.api.posted import read_posted
from relay.api.problem import Problem
from relay.engine.submission import Origin, Refusal
from relay.ids import SystemEntropy, delivery_id
from relay.mail.header import parse_fields, split_content
from relay.smtp.reply import reply
from relay.spool.work import Door
from tests.support.api_server import ApiServer, running_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as server:
        yield server


def letter(**fields: Any) -> dict[str, Any]:
    return {"from": "ann@example.org", "to": ["bob@example.net"], "subject": "Hello", "text": "Hi Bob.\n", **fields}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def complaints(document: Any) -> dict[str, str]:
    return {error["field"]: error["detail"] for error in document["errors"]}


async def test_a_message_is_composed_and_committed(api: ApiServer) -> None:
    status, answer = await api.post(
        {
            "from": "Ann Lee <ann@example.org>",
            "to": ["Bob <bob@example.net>", "BOB <bob@Example.net>"],
            "cc": ["carol@example.net"],
            "bcc": ["dave@example.net", "carol@example.net"],
            "reply_to": "desk@example.org",
            "subject": "Größe",
            "text": "plain\n",
            "html": "<p>rich</p>",
            "headers": {"X-Campaign": "7"},
            "attachments": [{"filename": "a.txt", "content_type": "text/plain", "content": b64(b"file")}],
            "tags": ["one", "two"],
            "metadata": {"order": "42"},
            "send_at": "2026-11-22T12:00:00+01:00",
        }
    )
    assert status == 202, answer
    identifier = answer["id"]
    assert [r["address"] for r in answer["recipients"]] == ["bob@example.net", "carol@example.net", "dave@example.net"]
    assert [r["delivery_id"] for r in answer["recipients"]] == [delivery_id(identifier, n) for n in range(3)]
    assert {r["state"] for r in answer["recipients"]} == {"waiting"}

    (submission,) = api.intake.submissions
    assert submission.door is Door.HTTP
    assert submission.identity.name == "acme"
    assert str(submission.envelope.reverse_path) == "ann@example.org"
    assert submission.origin == Origin("127.0.0.1", "", "HTTP")
    assert submission.send_at == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert (submission.tags, dict(submission.metadata)) == (("one", "two"), {"order": "42"})
    assert submission.idempotency is None
    mail = email.message_from_bytes(submission.content, policy=email.policy.SMTP)
    assert mail["From"] == "Ann Lee <ann@example.org>"
    assert mail["Reply-To"] == "desk@example.org"
    assert mail["Subject"] == "Größe"
    assert mail["X-Campaign"] == "7"
    assert b"dave" not in submission.content
    assert {part.get_content_type() for part in mail.walk()} >= {"text/plain", "text/html", "multipart/mixed"}


async def test_the_life_of_a_message(api: ApiServer) -> None:
    _, answer = await api.post(letter(tags=["t"], metadata={"k": "v"}))
    status, life = await api.get(f"/api/v1/messages/{answer['id']}")
    assert status == 200
    assert life["id"] == answer["id"]
    assert life["created_at"] == "2026-11-21T12:00:00Z"
    assert life["expires_at"] == "2026-11-26T12:00:00Z"
    assert (life["tags"], life["metadata"], life["stream"]) == (["t"], {"k": "v"}, "")
    assert life["size"] == len(api.intake.submissions[0].content)
    waits = life["recipients"][0].pop("waits")
    assert waits == {
        "cause": "turn",
        "until": "2026-11-21T12:00:00Z",
        "sentence": "the first attempt now, as soon as a worker is free and its path's pace has room",
    }
    assert life["recipients"] == [
        {
            "address": "bob@example.net",
            "delivery_id": f"{answer['id']}.0",
            "state": "waiting",
            "attempts": 0,
            "next_due": "2026-11-21T12:00:00Z",
        }
    ]
    assert life["attempts"] == []
    assert [event["kind"] for event in life["events"]] == ["accepted"]


async def test_another_tenants_message_does_not_exist(api: ApiServer) -> None:  # S49
    _, answer = await api.post(letter())
    theirs = await api.get(f"/api/v1/messages/{answer['id']}", api.other_key)
    nobodys = await api.get(f"/api/v1/messages/{'0' * 26}", api.other_key)
    assert theirs == nobodys
    assert theirs[0] == 404
    assert (await api.get("/api/v1/queue", api.other_key))[1]["lanes"] == []


@pytest.mark.parametrize("identifier", ["x", "..%2F..%2Fetc%2Fpasswd", "%00", "0" * 27, "'%20OR%201=1--"])
async def test_odd_ids_are_just_unknown(api: ApiServer, identifier: str) -> None:  # S43, S45
    status, problem = await api.get(f"/api/v1/messages/{identifier}")
    assert (status, problem["title"]) == (404, "Not Found")


async def test_the_queue_by_domain(api: ApiServer) -> None:
    await api.post(letter())
    await api.post(letter(to=["x@example.net", "y@example.com"]))
    status, summary = await api.get("/api/v1/queue")
    assert status == 200
    assert (summary["waiting"], summary["leased"], summary["held"]) == (3, 0, 0)
    assert {lane["domain"]: lane["waiting"] for lane in summary["lanes"]} == {"example.net": 2, "example.com": 1}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"from": "nobody"}, "from"),
        ({"from": 7}, "from"),
        ({"to": ["bob@example.net", "b b@x.org"]}, "to[1]"),
        ({"to": []}, "to"),
        ({"to": "bob@example.net"}, "to"),
        ({"to": [f"r{n}@example.net" for n in range(51)]}, "to"),  # S27
        ({"cc": ["x"]}, "cc[0]"),
        ({"reply_to": "x\r\ny@z.org"}, "reply_to"),
        ({"subject": "a\r\nBcc: x@y.org"}, "subject"),
        ({"subject": None}, "subject"),
        ({"headers": {"X-A": "b\nEvil: 1"}}, "headers.X-A"),
        ({"headers": {"X A": "b"}}, "headers"),
        ({"headers": {"Subject": "twice"}}, "headers.Subject"),
        ({"headers": {"X-A": 1}}, "headers.X-A"),
        ({"text": None}, "text"),
        ({"attachments": [{"filename": "a", "content": "***"}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a\r\nX: y", "content": ""}]}, "attachments[0].filename"),
        (
            {"attachments": [{"filename": "a", "content_type": "a\r\nX: y", "content": ""}]},
            "attachments[0].content_type",
        ),
        ({"tags": [""]}, "tags[0]"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"send_at": "2026-11-22T12:00:00"}, "send_at"),
        ({"sender": "ann@example.org"}, "sender"),
    ],
)
async def test_each_complaint_names_its_field(api: ApiServer, change: dict[str, Any], field: str) -> None:  # S08
    status, problem = await api.post(letter(**change))
    assert status == 422, problem
    assert list(complaints(problem)) == [field]
    assert (problem["type"], problem["status"]) == ("about:blank", 422)
    assert api.intake.submissions == []


async def test_all_complaints_come_at_once_and_repeat_nothing(api: ApiServer) -> None:
    status, problem = await api.post({"to": ["secret-one"], "text": 1, "zzz": "secret-two"})
    assert status == 422
    assert complaints(problem) == {
        "from": "this field is required",
        "to[0]": "an address needs a local part, '@' and a domain",
        "text": "Input should be a valid string",
        "zzz": "there is no such field",
    }
    assert "secret" not in str(problem)
    for nobody in ({"text": "Hello."}, {"text": "Hello.", "to": list[str]()}):
        _, problem = await api.post(nobody)
        assert complaints(problem) == {"from": "this field is required", "to": "name at least one recipient"}


@pytest.mark.parametrize("text", ["x\r\nEvil: 1", "x\nEvil: 1", "x\rEvil: 1", "x\0", "x\r\n\r\nbody"])
async def test_no_field_can_be_smuggled_in(api: ApiServer, text: str) -> None:  # S08
    places = (
        {"from": f"{text} <ann@example.org>"},
        {"to": [f"{text} <bob@example.net>"]},
        {"subject": text},
        {"headers": {"X-A": text}},
        {"headers": {text: "x"}},
        {"attachments": [{"filename": text, "content": ""}]},
    )
    for place in places:
        status, problem = await api.post(letter(**place))
        assert status == 422, (place, problem)
    status, _ = await api.post(letter(text=text.replace("\0", ""), html=text.replace("\0", "")))
    assert status == 202
    header, _ = split_content(api.intake.submissions[0].content)
    assert {field.name for field in parse_fields(header)} == {
        b"From",
        b"To",
        b"Subject",
        b"MIME-Version",
        b"Content-Type",
    }


async def test_a_large_message_is_taken(api: ApiServer) -> None:
    content = bytes(range(256)) * 2000
    status, _ = await api.post(letter(attachments=[{"filename": "a.bin", "content": b64(content)}]))
    assert status == 202
    mail = email.message_from_bytes(api.intake.submissions[0].content, policy=email.policy.SMTP)
    assert [part.get_content() for part in mail.iter_attachments()] == [content]


async def test_raw_is_taken_as_it_is(api: ApiServer) -> None:
    raw = b"From: ann@example.org\r\nSubject: x\r\n\r\nbody\r\n"
    status, _ = await api.post({"from": "ann@example.org", "to": ["bob@example.net"], "raw": b64(raw)})
    assert status == 202
    (submission,) = api.intake.submissions
    assert submission.content == raw
    assert not submission.envelope.smtputf8


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"Subject: x\n\nbody\n", 1),
        (b"Subject: x\r\n\r\none\r\ntwo\nthree\r\n", 4),
        (b"Subject: x\r\n\r\none\rtwo\r\n", 3),
    ],
)
async def test_raw_with_other_line_ends_is_refused(api: ApiServer, raw: bytes, line: int) -> None:  # S01
    status, problem = await api.post({"from": "ann@example.org", "to": ["bob@example.net"], "raw": b64(raw)})
    assert status == 422
    assert complaints(problem)["raw"].startswith(f"line {line} does not end with CRLF")


async def test_raw_excludes_composing(api: ApiServer) -> None:
    status, problem = await api.post(letter(raw=b64(b"Subject: x\r\n\r\n"), bcc=["x@y.org"]))
    assert status == 422
    assert set(complaints(problem)) == {"subject", "text", "bcc"}


@pytest.mark.parametrize(
    ("code", "enhanced", "status"),
    [
        (552, "5.3.4", 413),
        (550, "5.7.1", 403),
        (550, "5.6.0", 422),
        (451, "4.3.0", 503),
        (452, "4.3.1", 507),
    ],
)
async def test_refusals_of_intake(api: ApiServer, code: int, enhanced: str, status: int) -> None:
    api.intake.refusal = Refusal(reply(code, enhanced, "because"), "from")
    headers = {"Authorization": f"Bearer {api.key}"}
    async with api.http.post("/api/v1/messages", json=letter(), headers=headers) as answer:
        problem = await answer.json(content_type="application/problem+json")
        assert answer.status == status
        assert (problem["detail"], problem["enhanced_code"]) == ("because", enhanced)
        assert complaints(problem) == {"from": "because"}
        assert ("Retry-After" in answer.headers) == (code < 500)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"headers": {"X-A": "a " * 15_000_000}}, "headers.X-A"),
        ({"headers": {f"X-{n}": "a " * 30_000 for n in range(10)}}, "headers"),
        ({"headers": {"X" * 65_000 + str(n): "a" for n in range(10)}}, "headers"),
        ({"from": '"' + "\\a" * 5_000_000 + '" <ann@example.org>'}, "from"),
        ({"to": ["bob@example.net", "é " * 2000 + "<bob@example.net>"]}, "to[1]"),
    ],
    ids=["one value", "many values", "names", "quoted name", "name to encode"],
)
def test_long_values_are_refused_before_they_are_formatted(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], named: str
) -> None:  # S31
    monkeypatch.setattr("relay.api.posted.compose", lambda *_: pytest.fail("it was formatted"))
    problem = read_posted(json.dumps(letter(**fields)).encode(), 100, SystemEntropy())
    assert isinstance(problem, Problem)
    assert problem.status == 422
    assert [error.field for error in problem.errors] == [named]


def test_a_document_all_wrong_is_refused_without_a_list() -> None:  # S31
    document = letter() | {str(n): "x" for n in range(20_000)}
    problem = read_posted(json.dumps(document).encode(), 100, SystemEntropy())
    assert isinstance(problem, Problem)
    assert [error.field for error in problem.errors] == [""]


@pytest.mark.parametrize(
    "document",
    [letter(), {"from": "ann@example.org", "to": ["bob@example.net"], "raw": b64(b"From: ann@example.org\r\n\r\n")}],
    ids=["composed", "raw"],
)
async def test_a_refused_time_is_called_send_at(api: ApiServer, document: dict[str, Any]) -> None:
    api.intake.refusal = Refusal(reply(554, "5.6.0", "more than a year ahead"), "send_at")
    status, answer = await api.post({**document, "send_at": "9999-12-31T23:59:59-12:00"})
    assert status == 422
    assert complaints(answer) == {"send_at": "more than a year ahead"}


async def test_a_refused_header_is_called_as_the_request_calls_it(api: ApiServer) -> None:
    api.intake.refusal = Refusal(reply(550, "5.6.0", "bad"), "Reply-To")
    assert list(complaints((await api.post(letter()))[1])) == ["reply_to"]
    raw = {"from": "ann@example.org", "to": ["bob@example.net"], "raw": b64(b"Subject: x\r\n\r\n")}
    assert list(complaints((await api.post(raw))[1])) == ["raw"]


async def test_a_broken_intake_is_a_bland_500(api: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    api.intake.failure = RuntimeError("secret of the inside")
    status, problem = await api.post(letter())
    assert status == 500
    assert "secret" not in str(problem)
    assert "request-failed" in caplog.text


async def test_a_repeated_key_answers_the_same_message(api: ApiServer) -> None:  # R13
    first = await api.post(letter(metadata={"a": "1"}), Idempotency_Key="k1")
    again = await api.post(letter(metadata={"a": "1"}, cc=[], html=None), Idempotency_Key="k1")
    assert first == again
    other = await api.post(letter(text="Other.\n"), Idempotency_Key="k1")
    assert other[0] == 409
    assert "Idempotency-Key" in complaints(other[1])
    assert (await api.post(letter(), Idempotency_Key="k2"))[1]["id"] != first[1]["id"]


async def test_a_hundred_parallel_repetitions_are_one_message(api: ApiServer) -> None:  # R13
    answers = await asyncio.gather(*(api.post(letter(), Idempotency_Key="same") for _ in range(100)))
    assert len({answer["id"] for _, answer in answers}) == 1
    assert {status for status, _ in answers} == {202}
    assert (await api.get("/api/v1/queue"))[1]["waiting"] == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "caf\u00e9"])
async def test_odd_idempotency_keys_are_refused(api: ApiServer, key: str) -> None:
    status, problem = await api.post(letter(), Idempotency_Key=key)
    assert (status, list(complaints(problem))) == (400, ["Idempotency-Key"])
