"""The client that posts to webhooks: a stranger gives the URL, so it goes nowhere but to public addresses.

The host is looked up with our own resolver, every address is judged, and only judged ones are connected to: no
record that changes between look-up and connection leads to our neighbours (S36, S37). No redirect is followed, no
proxy of the environment is used, an answer is read up to 64 KiB, and everything has an end in time.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from relay.clock import Clock
from relay.mail.address import AddressError, parse_domain
from relay.notify.webhook import Answer
from relay.policy.addresses import is_public, parse_ip

MAX_URL: Final = 2000
MAX_ANSWER: Final = 64 * 1024
CONCURRENT: Final = 64
"""Posts of a worker under way at once."""
LONGEST_PAUSE: Final = 3600.0

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host name, as text."""


class UrlError(ValueError):
    """A URL that is not posted to; the text says why."""


@dataclass(frozen=True, slots=True)
class PostRules:
    """How far a poster goes."""

    timeout: float
    """Seconds, for a post as a whole."""
    private: bool = False
    """Whether also to addresses that are not public."""
    clear: bool = False
    """Whether also by http."""


class Poster:
    """Posts, for one worker."""

    def __init__(self, lookup: Lookup, context: ssl.SSLContext, clock: Clock, rules: PostRules) -> None:
        self._guarded = _GuardedResolver(lookup, private=rules.private)
        self._context = context
        self._clock = clock
        self._timeout = rules.timeout
        self._private = rules.private
        self._clear = rules.clear
        self._session: aiohttp.ClientSession | None = None

    def check(self, text: str) -> URL:
        """The URL in `text`, by its own words alone. Raises UrlError."""
        if len(text) > MAX_URL or not re.fullmatch(r"[!-~]+", text):
            raise UrlError(f"write a URL of at most {MAX_URL} visible ASCII characters")
        try:
            url = URL(text)
            host = url.host or ""
        except ValueError:
            raise UrlError("this is no URL") from None
        if url.scheme != "https" and not (self._clear and url.scheme == "http"):
            raise UrlError("write https://" + (" or http://" if self._clear else ""))
        if url.user or url.password or "#" in text:
            raise UrlError("a user name, a password or a fragment cannot stand in it")
        self._check_host(host)
        return url

    def _check_host(self, host: str) -> None:
        if parse_ip(host) is not None:
            if not (self._private or is_public(host)):
                raise UrlError("this address is not public")
            return
        # "2130706433" and "0x7f.1" are addresses to the system, though not to us.
        if re.fullmatch(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", host.lower()):
            raise UrlError("write the host as a name or as a whole IP address")
        if self._private and host == "localhost":
            return
        try:
            parse_domain(host.removesuffix("."))
        except AddressError as error:
            raise UrlError(f"its host cannot be looked up: {error}") from None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post `body`. Raises nothing but cancellation."""
        return await self._ask("POST", url, headers, body)

    async def head(self, url: str) -> Answer:
        """Ask for the headers alone, as Mandrill does before it believes in a webhook."""
        return await self._ask("HEAD", url, {}, None)

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, text: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        begun = self._clock.monotonic()
        status: int | None = None
        pause: float | None = None
        try:
            url = self.check(text)
            async with (
                asyncio.timeout(self._timeout),
                self._client().request(method, url, headers=headers, data=body, allow_redirects=False) as answer,
            ):
                status, pause = answer.status, _pause(answer.headers.get("Retry-After", ""))
                await _read_out(answer)
            error = "" if 200 <= status < 300 else f"HTTP status {status}"
            if 300 <= status < 400:
                error += ": redirects are not followed"
        except UrlError as problem:
            error = str(problem)
        except TimeoutError:
            error = "no answer in time"
        except aiohttp.ClientConnectorCertificateError:
            error = "the certificate does not verify"
        except aiohttp.ClientSSLError:
            error = "TLS failed"
        except _NoAddressError as problem:
            error = str(problem)
        except aiohttp.ClientConnectorError as problem:
            inner = problem.os_error
            error = str(inner) if isinstance(inner, _NoAddressError) else "no connection"
        except (aiohttp.ClientError, OSError, ValueError):
            error = "the connection broke off" if status is None else ""
        return Answer(status, error, int((self._clock.monotonic() - begun) * 1000), pause)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._guarded, ssl=self._context, use_dns_cache=False, limit=CONCURRENT, keepalive_timeout=15
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                headers={"User-Agent": "leak-relay", "Accept": "*/*", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=8190,
                max_field_size=8190,
            )
        return self._session


class _NoAddressError(OSError):
    """The host has no address that may be posted to."""


class _GuardedResolver(AbstractResolver):
    """Gives aiohttp only addresses that may be posted to."""

    def __init__(self, lookup: Lookup, *, private: bool) -> None:
        self._lookup = lookup
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._lookup(host)
        passing = [text for text in found if parse_ip(text) is not None and (self._private or is_public(text))]
        if not passing:
            raise _NoAddressError("its host has no public address" if found else "its host has no address")
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=text,
                port=port,
                family=socket.AF_INET6 if ":" in text else socket.AF_INET,
                proto=0,
                flags=flags,
            )
            for text in passing
        ]

    async def close(self) -> None:
        """Nothing to close: the resolver is somebody else's."""


async def _read_out(answer: aiohttp.ClientResponse) -> None:
    """Read the answer, so that its connection can be used again; one that is too long is cut off."""
    size = 0
    async for block in answer.content.iter_any():
        size += len(block)
        if size > MAX_ANSWER:
            answer.close()
            return


def _pause(text: str) -> float | None:
    """Retry-After in seconds; its form as a date is not read."""
    return min(float(text), LONGEST_PAUSE) if text.isascii() and text.isdecimal() and len(text) < 10 else None
