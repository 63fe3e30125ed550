"""A front in a process of its own, its relay in another: made, started, and visited as a browser would."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from relay.account.credential import NewUser
from relay.account.identity import FRONT_TENANT, Access
from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.private_file import write_private_file
from relay.settings import load_settings
from tests.support.form import PageReader
from tests.support.ports import free_port
from tests.support.relay_process import RelayProcess, write_toml

PATIENT = aiohttp.ClientTimeout(total=40)


@dataclass
class LoneFront:
    """Its process, and where it answers."""

    process: RelayProcess
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def write(self, recipient: str, words: str = "Thank you.") -> str:
        """Write a letter as a person does, and press again until the page says that it was sent; the status page."""
        fields = {"to": recipient, "signature": "friend", "pseudonym": "", "message": words, "rules": "on"}
        async with aiohttp.ClientSession(timeout=PATIENT) as session:
            status, _, page = await self._press(session, fields)
            assert status == 200, page.text
            token = page.fields["token"]
            while True:
                status, location, page = await self._press(session, {"token": token, "action": "send"})
                if status == 303:
                    return location
                assert status == 503, (status, page.text)

    async def read(self, path: str) -> str:
        """The words of a page, "" if nobody answers."""
        try:
            async with aiohttp.ClientSession(timeout=PATIENT) as session, session.get(self.url + path) as answer:
                return PageReader(await answer.text()).text
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def until_told(self, path: str, words: str, seconds: float = 90) -> None:
        """Wait until a page says `words`."""
        async with asyncio.timeout(seconds):
            while words not in await self.read(path):
                await asyncio.sleep(0.05)

    async def _press(self, session: aiohttp.ClientSession, fields: dict[str, str]) -> tuple[int, str, PageReader]:
        """Post to /en/preview, again while nobody answers."""
        while True:
            try:
                async with session.post(f"{self.url}/en/preview", data=fields, allow_redirects=False) as answer:
                    return answer.status, answer.headers.get("Location", ""), PageReader(await answer.text())
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.05)


async def make_key(config: Path) -> str:
    """A front's key, made in the relay's database."""
    stores = await open_stores(load_settings(config), SystemClock(), SystemEntropy())
    try:
        created = await stores.accounts.add_user(
            NewUser("front", tenant=FRONT_TENANT, senders=["leak.lab.test"], api_key=True, access=Access.FRONT)
        )
    finally:
        await stores.close()
    return created.api_key or ""


def make_front(folder: Path, relay: str, key: str, spool: str = "sqlite:front.db", **web: Any) -> LoneFront:
    """The configuration of a front alone, in a folder of its own."""
    folder.mkdir()
    write_private_file(folder / "relay-key", f"{key}\n".encode())
    port = free_port()
    config = folder / "front.toml"
    values: dict[str, Any] = {
        "listen": f"127.0.0.1:{port}",
        "base_url": f"http://127.0.0.1:{port}",
        "sender_domain": "leak.lab.test",
        "relay": {"url": relay, "key_file": "relay-key"},
        "limits": False,
        "cool_down": "0s",
        "jitter": "0s",
        "failure_delay": "0s",
        **web,
    }
    node = {"name": "front.leak.lab.test", "workers": 1, "roles": ["web"]}
    sections = {"node": node, "spool": {"url": spool, "minimum_free": 0}, "web": values, "log": {"level": "info"}}
    write_toml(config, sections)
    return LoneFront(RelayProcess(config, port, folder / "front.log"), port)
