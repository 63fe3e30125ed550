"""Reports over HTTP: one's own figures, by time and place."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.event import EventKind
from relay.figures.rows import add_figures, hour_of
from relay.policy.lessons import Figure
from tests.support.api_server import ApiServer, running_api


async def count(server: ApiServer, provider: str, kind: EventKind, reason: str = "", times: int = 1) -> None:
    acme = await server.accounts.ensure_tenant("acme")
    figure = Figure(hour_of(server.clock.now()), acme, "news", provider, int(kind), reason)
    await server.accounts._database.write(lambda connection: add_figures(connection, {figure: times}))


async def test_a_report(tmp_path: Path) -> None:
    async with running_api(tmp_path) as server:
        await count(server, "google", EventKind.DELIVERED, times=9)
        await count(server, "google", EventKind.BOUNCED, "unknown-user")
        await count(server, "orange", EventKind.DELIVERED, times=2)
        status, answer = await server.get("/api/v1/reports?by=hour,provider")
        assert status == 200
        assert [(row["provider"], row["counts"], row["reasons"]) for row in answer["rows"]] == [
            ("google", {"delivered": 9, "bounced": 1}, {"bounced": {"unknown-user": 1}}),
            ("orange", {"delivered": 2}, {}),
        ]
        assert answer["rows"][0]["at"] == "2026-11-21T12:00:00Z"
        assert (await server.get("/api/v1/reports?by=&provider=orange"))[1]["rows"][0]["counts"] == {"delivered": 2}
        assert (await server.get("/api/v1/reports", server.other_key))[1]["rows"] == []  # S49


@pytest.mark.parametrize("query", ["by=tenant", "by=nonsense", "since=yesterday", "since=2027-01-01T00:00:00Z", "x=1"])
async def test_nonsense_is_refused(tmp_path: Path, query: str) -> None:
    async with running_api(tmp_path) as server:
        assert (await server.get(f"/api/v1/reports?{query}"))[0] == 422
