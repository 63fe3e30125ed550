"""The HTTP door itself: keys, limits on bodies, odd requests, probes, and the document that describes it."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.api.guard import BAD_KEYS
from tests.support.api_server import OPTIONS, ApiServer, running_api

LETTER = {"from": "ann@example.org", "to": ["bob@example.net"], "text": "Hi.\n"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api(tmp_path) as server:
        yield server


async def talk(port: int, request: bytes) -> bytes:
    """Octets out, octets back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return await reader.read(1_000_000)
    finally:
        writer.close()
        await writer.wait_closed()


def head(api: ApiServer, *fields: str) -> bytes:
    lines = ("POST /api/v1/messages HTTP/1.1", "Host: x", f"Authorization: Bearer {api.key}", *fields, "", "")
    return "\r\n".join(lines).encode()


async def send(api: ApiServer, body: bytes, **headers: str) -> tuple[int, Any]:
    fields = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.http.post("/api/v1/messages", data=body, headers=fields) as answer:
        return answer.status, await answer.json(content_type="application/problem+json")


@pytest.mark.parametrize(
    "header", ["", "Basic bGFiOmxhYg==", "Bearer", "Bearer ", "Bearer wrong", "Bearer " + "x" * 999]
)
async def test_without_a_good_key_nothing(api: ApiServer, header: str) -> None:
    for path in ("/api/v1/queue", "/api/v1/messages/" + "0" * 26):
        async with api.http.get(path, headers={"Authorization": header} if header else {}) as answer:
            assert answer.status == 401
            assert answer.content_type == "application/problem+json"
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="leak"')


async def test_guessed_keys_are_slowed_down(api: ApiServer) -> None:  # S15, S50
    for n in range(BAD_KEYS):
        forged = {"X-Forwarded-For": f"198.51.100.{n}"}
        assert (await api.get("/api/v1/queue", "guess", **forged))[0] == 401
    async with api.http.get("/api/v1/queue", headers={"Authorization": "Bearer guess"}) as answer:
        assert answer.status == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert (await api.get("/api/v1/queue"))[0] == 200, "a right key from the same address"
    api.clock.move(60)
    assert (await api.get("/api/v1/queue", "guess"))[0] == 401


async def test_the_labs_key_is_refused_behind_a_proxy(api: ApiServer) -> None:
    await api.accounts.ensure_lab_user()
    assert (await api.get("/api/v1/queue", "lab"))[0] == 200
    assert (await api.get("/api/v1/queue", "lab", **{"X-Forwarded-For": "127.0.0.1"}))[0] == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:80", "evillocalhost", "127.0.0.1.evil.example", "[::1", ""]
)
async def test_a_name_that_was_rebound_to_loopback_has_no_rights(api: ApiServer, host: str) -> None:
    await api.accounts.ensure_lab_user()
    assert (await api.get("/api/v1/queue", "lab", Host=host))[0] == 401
    assert (await api.get("/api/v1/queue", Host=host))[0] == 200
    async with api.http.get("/metrics", headers={"Host": host}) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8080", "desk.LocalHost:81", "127.0.0.1", "127.0.0.1:8025", "[::1]:8025"]
)
async def test_loopback_asked_by_its_own_name_has_rights(api: ApiServer, host: str) -> None:
    await api.accounts.ensure_lab_user()
    assert (await api.get("/api/v1/queue", "lab", Host=host))[0] == 200
    async with api.http.get("/metrics", headers={"Host": host}) as answer:
        assert answer.status == 200


async def test_a_removed_key_is_refused(api: ApiServer) -> None:
    assert (await api.get("/api/v1/queue", api.other_key))[0] == 200
    await api.accounts.remove_user("other")
    assert (await api.get("/api/v1/queue", api.other_key))[0] == 401


async def test_a_large_body_is_refused_before_it_is_read(api: ApiServer) -> None:  # S31
    answer = await talk(api.port, head(api, "Content-Type: application/json", "Content-Length: 1073741824"))
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_an_endless_body_is_refused_at_the_cap(api: ApiServer) -> None:  # S31
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    fields = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    try:
        async with api.http.post("/api/v1/messages", data=endless(), headers=fields) as answer:
            assert answer.status == 413
    except aiohttp.ClientConnectionError:
        pass  # the server hung up while we were still sending, as it may
    assert api.intake.submissions == []
    assert (await api.get("/api/v1/queue"))[0] == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[" * 100_000, b'{"to":' * 100_000, b'\xff\xfe"', b'{"from":"\\ud800"}', b'"' + b"a" * 1000],
)
async def test_odd_json_is_refused(api: ApiServer, body: bytes) -> None:  # S31
    status, problem = await send(api, body)
    assert status in {400, 422}
    assert problem["detail"]


async def test_compressed_bodies_are_refused_unread(api: ApiServer) -> None:  # S30
    bomb = gzip.compress(b" " * 20_000_000)
    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
        status, problem = await send(api, bomb, Content_Encoding=encoding)
        assert (status, problem["detail"]) == (415, "Compressed bodies are not taken.")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_only_json_in_utf8_is_taken(api: ApiServer, kind: str) -> None:
    assert (await send(api, b"{}", Content_Type=kind))[0] == 415


async def test_a_silent_body_is_given_up(tmp_path: Path) -> None:  # S31
    async with running_api(tmp_path, replace(OPTIONS, silence=0.2)) as api:
        answer = await talk(api.port, head(api, "Content-Type: application/json", "Content-Length: 10") + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer


async def test_a_dripping_body_is_given_up(tmp_path: Path) -> None:  # S31
    async with running_api(tmp_path, replace(OPTIONS, body_deadline=0.4)) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(head(api, "Content-Type: application/json", "Content-Length: 1000"))
        reading = asyncio.create_task(reader.readline())
        while not reading.done():
            writer.write(b" ")
            await asyncio.wait([reading], timeout=0.05)
        assert reading.result().startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


async def test_bodies_in_flight_are_bounded(tmp_path: Path) -> None:  # S31
    options = replace(OPTIONS, max_body=300_000, bodies_in_flight=300_000)
    async with running_api(tmp_path, options) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(head(api, "Content-Type: application/json", "Content-Length: 200000") + b" " * 199_999)
        await writer.drain()
        async with asyncio.timeout(10):
            while (await send(api, b" " * 200_000))[0] != 503:
                await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(10):
            while (await send(api, b" " * 200_000))[0] != 400:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 2"),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: +2",),
        ("Transfer-Encoding: gzip, chunked, identity",),
        ("X-Fold: a\r\n b: c",),
        ("X Space: a",),
    ],
)
async def test_smuggling_is_refused(api: ApiServer, fields: tuple[str, ...]) -> None:  # S50
    body = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await talk(api.port, head(api, "Content-Type: application/json", *fields) + body)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"alive" not in answer


async def test_a_broken_chunk_is_refused(api: ApiServer) -> None:  # S50
    request = head(api, "Content-Type: application/json", "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n"
    assert b" 400 " in (await talk(api.port, request)).splitlines()[0]


async def test_everything_else_is_a_problem_document(api: ApiServer) -> None:
    for path in ("/", "/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/../healthz/x", "/admin"):
        async with api.http.get(path) as answer:
            assert (answer.status, answer.content_type) == (404, "application/problem+json")
            assert "aiohttp" not in answer.headers["Server"]
    async with api.http.delete("/api/v1/messages") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    async with api.http.post("/api/v1/queue") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_probes(tmp_path: Path) -> None:
    reasons: list[str] = []
    async with running_api(tmp_path, health=(lambda: "".join(reasons),)) as api:
        assert await api.get("/healthz", "") == (200, {"state": "alive"})
        assert await api.get("/readyz", "") == (200, {"state": "ready"})
        reasons.append("The node is draining.")
        async with api.http.get("/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json(content_type=None))["detail"] == "The node is draining."
            assert "Retry-After" in answer.headers
        assert (await api.get("/healthz", ""))[0] == 200
        reasons.clear()


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    async with running_api(tmp_path, minimum_free=2**60) as api:
        status, problem = await api.get("/readyz", "")
        assert (status, problem["detail"]) == (507, "No room for mail just now.")
        status, problem = await api.post(LETTER)
        assert (status, problem["status"]) == (507, 507)


async def test_metrics_from_this_machine_or_with_a_key(api: ApiServer) -> None:
    async with api.http.get("/metrics") as answer:
        assert answer.status == 200
        assert "leak_accepted_total" in await answer.text()
    for name in ("Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host"):
        async with api.http.get("/metrics", headers={name: "203.0.113.9"}) as answer:
            assert answer.status == 401
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    async with api.http.get("/metrics", headers=proxied) as answer:
        assert answer.status == 401
    async with api.http.get("/metrics", headers={**proxied, "Authorization": f"Bearer {api.key}"}) as answer:
        assert answer.status == 200


async def test_beside_an_onion_service_metrics_need_a_key(tmp_path: Path) -> None:  # SND 4
    async with running_api(tmp_path, options=replace(OPTIONS, guards_metrics=True)) as api:
        async with api.http.get("/metrics", headers={"Host": "localhost"}) as answer:
            assert answer.status == 401
        async with api.http.get("/metrics", headers={"Authorization": f"Bearer {api.key}"}) as answer:
            assert answer.status == 200


def _documented() -> set[tuple[str, str]]:
    """The requests in the table of docs/api.md."""
    page = Path(__file__).resolve().parents[3] / "docs" / "api.md"
    chapter = page.read_text(encoding="utf-8").split("## All requests")[1].split("\n## ")[0]
    return {(path, method.lower()) for method, path in re.findall(r"^\| `([A-Z]+) (\S+)` \|", chapter, re.MULTILINE)}


async def test_openapi_names_what_exists(api: ApiServer) -> None:
    status, document = await api.get("/openapi.json", "")
    assert (status, document["openapi"]) == (200, "3.1.0")
    assert {(path, method) for path, item in document["paths"].items() for method in item} == {
        ("/api/v1/messages", "post"),
        ("/api/v1/messages", "get"),
        ("/api/v1/messages/batch", "post"),
        ("/api/v1/messages/{id}", "get"),
        ("/api/v1/events", "get"),
        ("/api/v1/webhooks", "get"),
        ("/api/v1/webhooks", "post"),
        ("/api/v1/webhooks/{id}", "get"),
        ("/api/v1/webhooks/{id}", "delete"),
        ("/api/v1/webhooks/{id}/posts", "get"),
        *((f"/api/v1/webhooks/{{id}}/{verb}", "post") for verb in ("rotate", "enable", "replay")),
        ("/api/v1/queue", "get"),
        *((f"/api/v1/messages/{{id}}/{verb}", "post") for verb in ("cancel", "retry", "hold", "release")),
        *((f"/api/v1/queue/{verb}", "post") for verb in ("cancel", "retry", "hold", "release", "suspend", "resume")),
        ("/api/v1/reports", "get"),
        *(
            (f"/api/v1/front/{name}", "post")
            for name in (
                "check",
                "letters",
                "admission",
                "refusals",
                "refused",
                "refusal-count",
                "replies",
                "erasures",
                "opt-outs",
                "bell",
                "handed",
            )
        ),
        *(("/api/v1/front/letters/{id}", method) for method in ("get", "delete")),
        *(("/api/v1/suppressions", method) for method in ("get", "post", "delete")),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }
    named = {(path, method) for path, item in document["paths"].items() for method in item if "/front/" not in path}
    assert _documented() == named
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]
    request = document["components"]["schemas"]["MessageRequest"]
    names = "from to cc bcc reply_to subject text html headers attachments raw tags metadata"
    assert " ".join(request["properties"]) == f"{names} stream unsubscribe send_at expires_at"
    assert (request["required"], request["additionalProperties"]) == (["from"], False)


async def test_openapi_describes_the_real_answers(api: ApiServer) -> None:
    document = (await api.get("/openapi.json", ""))[1]
    schemas = document["components"]["schemas"]
    accepted = (await api.post(LETTER))[1]
    life = (await api.get(f"/api/v1/messages/{accepted['id']}"))[1]
    assert set(accepted) == set(schemas["MessageAccepted"]["properties"])
    assert set(life) == set(schemas["MessageLife"]["properties"])
    assert set(life["recipients"][0]) == set(schemas["RecipientLife"]["properties"])
    assert set(life["events"][0]) == set(schemas["EventLife"]["properties"])
    problem = (await api.post({}))[1]
    assert set(problem) <= set(schemas["ProblemDocument"]["properties"])
