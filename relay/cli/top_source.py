"""Where `leak top` looks: into the spool beside the node, or through the HTTP API of a node elsewhere.

Neither raises for what is away: a node that restarts is shown as away until it answers again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp

from relay.cli.output import CommandError
from relay.cli.queue_filter import now
from relay.cli.top_view import Lane, Sample, View, rates_between, read_sample
from relay.errors import LeakError

if TYPE_CHECKING:
    import ssl

    from relay.opening import Stores
    from relay.settings import Listen, Settings

_SECONDS: Final = 5.0
_MOST: Final = 4_000_000


class Source(Protocol):
    """Something that can be looked at again and again."""

    async def look(self) -> View:
        """What is there now."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class NodeHttp:
    """The HTTP port of a node: its state and its counters."""

    def __init__(self, base: str, key: str = "", trust: ssl.SSLContext | None = None) -> None:
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._trust = trust
        self._client: aiohttp.ClientSession | None = None
        self._before: Sample | None = None

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text. Raises OSError, aiohttp.ClientError, TimeoutError."""
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS))
        # Redirects are not followed: the key is for this host alone.
        how: dict[str, Any] = {"headers": self._headers, "allow_redirects": False}
        if self._trust is not None:
            how["ssl"] = self._trust
        async with self._client.get(self._base + path, **how) as answer:
            return answer.status, (await answer.content.read(_MOST)).decode("utf-8", "replace")

    async def figures(self) -> tuple[str, Sample | None, Mapping[str, float]]:
        """State of the node, its counters, and what happened a second since they were read before."""
        try:
            status, _ = await self.get("/readyz")
            state = "ready" if status == 200 else f"not ready ({status})"
            status, text = await self.get("/metrics")
            sample = read_sample(text, time.monotonic()) if status == 200 else None
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            return f"the node does not answer ({type(error).__name__})", None, {}
        if sample is None:
            return f"{state}; no figures: /metrics answers {status}", None, {}
        rates = rates_between(self._before, sample)
        self._before = sample
        return state, sample, rates

    async def close(self) -> None:
        """End its connections."""
        if self._client is not None:
            await self._client.close()


class LocalSource:
    """The configured spool, opened here, and the node's HTTP port on this machine if it has one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        listen = settings.api.listen or settings.web.listen
        self._http = NodeHttp(f"http://{_reachable(listen)}") if listen is not None else None
        self._stores: Stores | None = None

    async def look(self) -> View:
        view = View(self._settings.node.name, now(), "no HTTP port, so no figures a second")
        if self._http is not None:
            state, sample, rates = await self._http.figures()
            view = replace(view, state=state, sample=sample, rates=rates)
        try:
            return await self._with_spool(view)
        except (LeakError, CommandError, TimeoutError) as error:
            await self._let_go()
            return replace(view, trouble=f"the spool cannot be read: {str(error) or 'no answer in time'}")

    async def _with_spool(self, view: View) -> View:
        async with asyncio.timeout(4 * _SECONDS):
            opened = await self._opened()
            lanes, alarms = await opened.spool.lanes(), await opened.spool.alarms()
            suspensions, notes = await opened.spool.suspensions(), await opened.notes.all()
            brakes, warm_ups = await opened.figures.brakes(), await opened.warm_ups.views()
        rests = [
            f"{_what(one.site, one.domain, one.tenant)} suspended until {_at(one.until)}: {one.reason}"
            for one in suspensions
        ]
        rests += [f"{one.subject} {one}" for one in brakes]
        rests += [f"{n.site} from {n.source} until {_at(n.rests_until)}: {n.why}" for n in notes if n.rests_until]
        paces = [f"{n.site} from {n.source}: {n.pace}" for n in notes if n.rests_until is None]
        paces += [f"{one}; mail waits until {_at(one.waits_until)}" for one in warm_ups if one.waits_until]
        return replace(
            view,
            at=now(),
            lanes=[
                Lane(one.domain, one.waiting, one.leased, one.held, one.oldest, one.next_due, one.tenant, one.site)
                for one in lanes
            ],
            alarms=[f"{one.kind} {one.subject} since {_at(one.since)}: {one.detail}" for one in alarms],
            rests=rests,
            paces=paces,
        )

    async def _opened(self) -> Stores:
        if self._stores is None:
            from relay.clock import SystemClock
            from relay.ids import SystemEntropy
            from relay.opening import open_stores

            path = self._settings.sqlite_path
            if path is not None and not path.exists():
                raise CommandError(f"there is none at {path} yet; the node makes it at its first start")
            self._stores = await open_stores(self._settings, SystemClock(), SystemEntropy())
        return self._stores

    async def _let_go(self) -> None:
        if self._stores is not None:
            stores, self._stores = self._stores, None
            await stores.close()

    async def close(self) -> None:
        await self._let_go()
        if self._http is not None:
            await self._http.close()


class RemoteSource:
    """A node by its HTTP API: the queue of the key's tenant, and the figures and alarms of the whole node."""

    def __init__(self, url: str, key: str, trust: ssl.SSLContext | None = None) -> None:
        self._name = url.partition("://")[2].partition("/")[0]
        self._http = NodeHttp(url, key, trust)

    async def look(self) -> View:
        state, sample, rates = await self._http.figures()
        view = View(self._name, now(), state, sample=sample, rates=rates)
        if sample is not None:
            view = replace(view, alarms=[f"{kind}: {count} standing" for kind, count in sorted(sample.alarms.items())])
        try:
            status, text = await self._http.get("/api/v1/queue")
            if status != 200:
                return replace(view, trouble=f"/api/v1/queue answers {status}; see --key-file")
            return replace(view, lanes=_lanes(text))
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            return replace(view, trouble=f"the queue cannot be read: {type(error).__name__}")

    async def close(self) -> None:
        await self._http.close()


def _lanes(text: str) -> list[Lane]:
    import json

    def moment(value: str | None) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)

    return [
        Lane(
            *(str(one["domain"]), int(one["waiting"]), int(one["leased"]), int(one["held"])),
            oldest=moment(one["oldest"]),
            next_due=moment(one["next_due"]),
        )
        for one in json.loads(text)["lanes"]
    ]


def _reachable(listen: Listen) -> str:
    """The address as a client on this machine writes it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - compared, not bound
    return f"[{host}]:{listen.port}" if ":" in host else f"{host}:{listen.port}"


def _what(site: str, domain: str, tenant: str) -> str:
    return " ".join(filter(None, (site, domain, tenant and f"tenant {tenant}"))) or "everything"


def _at(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%m-%d %H:%M}"
