"""Messages that are their request's body: on real sockets, written to a real spool while they come in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.engine.incoming import LARGE
from relay.engine.submission import Refusal
from relay.smtp.reply import reply
from tests.support.api_server import OPTIONS, ApiServer, running_api

HEADER = b"From: ann@example.org\r\nTo: bob@example.net\r\nSubject: Hello\r\n\r\n"
LARGE_BODY = b"A line of a letter that does not end before its time.\r\n" * (3 * LARGE // 54)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as server:
        yield server


def envelope(**fields: Any) -> str:
    return json.dumps({"from": "ann@example.org", "to": ["bob@example.net"], **fields})


async def send(api: ApiServer, content: Any, written: str, **headers: str) -> tuple[int, Any]:
    headers |= {"Authorization": f"Bearer {api.key}", "Content-Type": "message/rfc822"}
    if written:
        headers["Leak-Envelope"] = written
    async with api.http.post("/api/v1/messages", data=content, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def pieces(content: bytes, step: int = 10_007) -> AsyncIterator[bytes]:
    for start in range(0, len(content), step):
        yield content[start : start + step]


async def nothing_left(api: ApiServer) -> None:
    """No orphan stays behind; it is removed by a task of its own."""
    await nothing_left_but(api, 0)


async def nothing_left_but(api: ApiServer, contents: int) -> None:
    """Only these are kept."""
    query = "SELECT (SELECT count(*) FROM upload) + (SELECT count(*) FROM content)"
    async with asyncio.timeout(20):
        while await api.spool._database.read(lambda one: next(iter(one.execute(query)))[0]) != contents:
            await asyncio.sleep(0.01)


async def test_a_small_message_is_taken_as_it_is(api: ApiServer) -> None:
    labels = envelope(
        to=["bob@example.net", "Carol <carol@example.net>"],
        tags=["one"],
        metadata={"order": "42"},
        stream="news",
        send_at="2026-11-22T12:00:00+01:00",
    )
    status, answer = await send(api, HEADER + b"Hi Bob.\r\n", labels)
    assert status == 202, answer
    assert [one["address"] for one in answer["recipients"]] == ["bob@example.net", "carol@example.net"]
    (submission,) = api.intake.submissions
    assert (submission.content, submission.body) == (HEADER + b"Hi Bob.\r\n", None)
    assert str(submission.envelope.reverse_path) == "ann@example.org"
    assert (submission.tags, submission.stream, dict(submission.metadata)) == (("one",), "news", {"order": "42"})
    assert submission.send_at is not None


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_one_is_written_while_it_is_read(api: ApiServer, chunked: bool) -> None:
    content = HEADER + LARGE_BODY
    status, answer = await send(api, pieces(content) if chunked else content, envelope())
    assert status == 202, answer
    (submission,) = api.intake.submissions
    assert submission.content == HEADER
    assert submission.body is not None
    assert submission.body.octets == len(LARGE_BODY)
    assert await api.spool.content(submission.body.seq) == content


async def test_a_repeated_key_answers_the_same_and_keeps_one(api: ApiServer) -> None:
    content = HEADER + LARGE_BODY
    key = {"Idempotency-Key": "order-42"}
    first = await send(api, content, envelope(), **key)
    assert first[0] == 202
    assert (await send(api, content, envelope(), **key))[1]["id"] == first[1]["id"]
    assert (await send(api, content + b"More.\r\n", envelope(), **key))[0] == 409
    assert (await send(api, content, envelope(tags=["x"]), **key))[0] == 409


async def test_what_is_refused_leaves_nothing(api: ApiServer) -> None:
    status, problem = await send(api, pieces(HEADER + LARGE_BODY + b"a bare\nline end"), envelope())
    assert (status, problem["errors"][0]["field"]) == (422, "raw")
    api.intake.limit = 2 * LARGE
    assert (await send(api, pieces(HEADER + LARGE_BODY), envelope()))[0] == 413
    assert (await send(api, HEADER + LARGE_BODY, envelope()))[0] == 413
    api.intake.limit = 4 * LARGE
    with pytest.raises(Exception):  # noqa: B017, PT011 - aiohttp tells the client's own error in several ways
        await send(api, broken(HEADER + LARGE_BODY), envelope())
    await nothing_left(api)
    assert api.intake.submissions == []


async def broken(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise ConnectionResetError


@pytest.mark.parametrize(
    ("written", "status", "told"),
    [
        ("", 400, "The header Leak-Envelope: Invalid JSON"),
        ("{", 400, "The header Leak-Envelope: Invalid JSON"),
        (envelope(colour="red"), 422, "colour"),
        (envelope(to=[]), 422, "to"),
        (envelope(subject="Hello"), 422, "subject"),
        (envelope(raw="aGk="), 422, "raw"),
        (envelope(bcc=["eve@example.net"]), 422, "bcc"),
    ],
)
async def test_an_envelope_that_is_none_is_said(api: ApiServer, written: str, status: int, told: str) -> None:
    code, problem = await send(api, HEADER, written)
    assert code == status
    if status == 400:
        assert problem["detail"].startswith(told)
    else:
        assert [error["field"] for error in problem["errors"]] == [told]


async def test_who_sends_little_keeps_room_from_nobody(tmp_path: Path) -> None:  # S31
    options = replace(OPTIONS, max_body=400_000, bodies_in_flight=400_000)
    async with running_api(tmp_path, options) as api, AsyncExitStack() as ends:
        head = (
            f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n"
            f"Content-Type: message/rfc822\r\nLeak-Envelope: {envelope()}\r\nExpect: 100-continue\r\n"
            "Content-Length: 500000\r\n\r\n"
        ).encode()
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            ends.callback(writer.close)
            writer.write(head + HEADER)
            assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        assert (await send(api, HEADER + b"Hi Bob.\r\n", envelope()))[0] == 202
        assert (await send(api, HEADER + LARGE_BODY, envelope()))[0] == 202


async def test_what_is_held_of_streaming_messages_is_bounded(tmp_path: Path) -> None:  # S31
    options = replace(OPTIONS, max_body=100_000, bodies_in_flight=LARGE // 2)
    async with running_api(tmp_path, options) as api:
        status, problem = await send(api, HEADER + LARGE_BODY, envelope())
        assert (status, problem["detail"]) == (503, "Too many requests at once.")
        assert (await send(api, HEADER + b"Hi Bob.\r\n", envelope()))[0] == 202, "it was given back"
        await nothing_left_but(api, 1)


async def test_a_sender_that_is_not_the_callers_is_refused_before_the_body(api: ApiServer) -> None:
    api.intake.sender_refusal = Refusal(reply(550, "5.7.1", "this sender is not yours to use"), "from")
    status, problem = await send(api, HEADER + LARGE_BODY, envelope())
    assert (status, problem["errors"][0]["field"]) == (403, "from")
    await nothing_left(api)
