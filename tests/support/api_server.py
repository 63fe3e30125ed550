"""The HTTP door on a real socket, over a real SQLite spool and account book."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from relay.account.book import AccountBook
from relay.account.credential import NewUser
from relay.api.app import ApiDependencies, ApiOptions, make_api
from relay.api.connections import HttpLimits
from relay.api.dependencies import WebhookDoor
from relay.api.server import HttpServer
from relay.client.checking import AddressChecker
from relay.client.local import LocalRelayClient, RelayParts
from relay.database.sqlite import SqliteDatabase
from relay.figures.book import FigureBook
from relay.ids import SystemEntropy
from relay.notify.book import WebhookBook, migrate_webhooks
from relay.notify.poster import Poster, PostRules
from relay.resolver.resolver import DnsResolver
from relay.spool.letter_replies import LetterReplies
from relay.spool.sqlite import SqliteSpool
from tests.support.hand_clock import HandClock
from tests.support.spooling_intake import SpoolingIntake
from tests.support.suppressions import book_on

OPTIONS = ApiOptions(node_name="mail.example.org", max_body=1_000_000, max_recipients=50)


@dataclass(slots=True)
class ApiServer:
    """A running door, and what stands behind it. `key` is acme's, `other_key` another tenant's."""

    port: int
    http: aiohttp.ClientSession
    spool: SqliteSpool
    accounts: AccountBook
    intake: SpoolingIntake
    clock: HandClock
    key: str
    other_key: str

    async def ask(self, method: str, path: str, document: Any = None, key: str | None = None) -> tuple[int, Any]:
        """Any request with acme's key or another: status and parsed answer, None for an empty one."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        body = {} if document is None else {"json": document}
        async with self.http.request(method, path, headers=headers, **body) as answer:
            return answer.status, await answer.json(content_type=None) if await answer.read() else None

    async def post(self, document: Any, **headers: str) -> tuple[int, Any]:
        """POST /api/v1/messages with acme's key: status and parsed answer."""
        headers = {"Authorization": f"Bearer {self.key}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        async with self.http.post("/api/v1/messages", json=document, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, key: str | None = None, **headers: str) -> tuple[int, Any]:
        """GET with acme's key, another, or none (""): status and parsed answer."""
        key = self.key if key is None else key
        if key:
            headers["Authorization"] = f"Bearer {key}"
        async with self.http.get(path, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


async def _localhost(_host: str) -> list[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def running_api(
    folder: Path,
    options: ApiOptions = OPTIONS,
    health: tuple[Callable[[], str], ...] = (),
    minimum_free: int = 0,
    limits: HttpLimits | None = None,
) -> AsyncIterator[ApiServer]:
    """Everything up on a free loopback port; everything closed at the end."""
    clock, entropy = HandClock(), SystemEntropy()
    database = await SqliteDatabase.open(folder / "spool.db")
    accounts = AccountBook(database, clock, entropy)
    spool = SqliteSpool(database, clock, minimum_free)
    await accounts.migrate()
    await spool.migrate()
    book = book_on(database, clock)
    await book.migrate()
    figures = FigureBook(database, clock)
    await figures.migrate()
    intake = SpoolingIntake(spool, clock, entropy)
    intake.life = await spool.register("mail.example.org", 0)
    created = [
        await accounts.add_user(NewUser(name, tenant=name, senders=["*"], api_key=True)) for name in ("acme", "other")
    ]
    webhooks = WebhookBook(database, clock, entropy, b"k" * 32)
    await migrate_webhooks(database)
    poster = Poster(_localhost, ssl.create_default_context(), clock, PostRules(10.0, private=True, clear=True))
    door = WebhookDoor(webhooks, poster, most=3)
    resolver = DnsResolver([("127.0.0.1", 9)], timeout=1.0, trust_ad=False, clock=clock)
    desk = partial(
        LocalRelayClient,
        RelayParts(intake, spool, AddressChecker(resolver), entropy, book, database, LetterReplies(database, clock)),
    )
    application = make_api(
        ApiDependencies(intake, spool, accounts, clock, entropy, options, health, book, door, figures, fronts=desk)
    )
    server = HttpServer(application, limits or HttpLimits(), clock, shutdown=1.0)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await server.start([listener])
    http = aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=aiohttp.ClientTimeout(total=30))
    keys = [one.api_key or "" for one in created]
    try:
        yield ApiServer(port, http, spool, accounts, intake, clock, *keys)
    finally:
        await http.close()
        await server.stop()
        await poster.close()
        await resolver.close()
        await accounts.close()
        await spool.close()
