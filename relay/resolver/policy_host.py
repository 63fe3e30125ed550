"""Fetches MTA-STS policies over HTTPS (RFC 8461 §3.3), and nothing else from anywhere else.

Stands under the policy cache. The URL's shape is fixed, its host is looked up with our own resolver and only
checked addresses are connected to, so no record can point the fetch at our neighbours (S36, S37). No redirect,
no proxy, no compression, 64 KiB, 60 seconds; the certificate must verify for `mta-sts.DOMAIN`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from relay.errors import ConfigurationError
from relay.policy.addresses import is_public
from relay.policy.mta_sts import StsPolicy, StsSyntaxError, parse_policy
from relay.policy.tls import Fault, TlsResult
from relay.resolver.contract import Resolver

MAX_OCTETS: Final = 64 * 1024
FETCH_TIMEOUT: Final = 60.0
CONCURRENT: Final = 20
"""Fetches under way at once (RFC 8461 §10.3)."""
_PATH: Final = "/.well-known/mta-sts.txt"


def https_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """A verifying context with the system's anchors and those of `ca_file`. Raises ConfigurationError.

    All who ask while the file stays as it is share one: reading the system's anchors takes 30 ms of a processor.
    """
    try:
        found = ca_file.stat() if ca_file is not None else None
        return _context(ca_file, (found.st_ino, found.st_mtime_ns, found.st_size) if found is not None else ())
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{ca_file}: cannot be read as trust anchors: {error}") from None


@lru_cache(maxsize=4)
def _context(ca_file: Path | None, _state: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


class _FetchError(Exception):
    """The host answered, and not with a policy."""


class _GuardedResolver(AbstractResolver):
    """Gives aiohttp only addresses that a policy host may have; an OSError when there is none."""

    def __init__(self, resolver: Resolver, *, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        v4, v6 = await asyncio.gather(self._resolver.ask(host, "A"), self._resolver.ask(host, "AAAA"))
        found = [(text, socket.AF_INET) for text in v4.records] + [(text, socket.AF_INET6) for text in v6.records]
        passing = [(text, kind) for text, kind in found if self._allow_private or is_public(text)]
        if not passing:
            raise OSError("no address may be used" if found else "no address")
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=text, port=port, family=k, proto=0, flags=flags) for text, k in passing
        ]

    async def close(self) -> None:
        """Nothing to close: the resolver is somebody else's."""


class PolicyHosts:
    """Fetches policies. `port` is 443 but in tests and the lab."""

    def __init__(self, resolver: Resolver, context: ssl.SSLContext, *, allow_private: bool, port: int = 443) -> None:
        self._guarded = _GuardedResolver(resolver, allow_private=allow_private)
        self._context = context
        self._port = port
        self._room = asyncio.Semaphore(CONCURRENT)
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, domain: str) -> StsPolicy | Fault:
        """The policy of `domain` (A-labels), or why there is none. Raises only cancellation."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT), self._room:
                text = await self._get(domain)
            return parse_policy(text)
        except StsSyntaxError as error:
            return Fault(f"the MTA-STS policy cannot be read: {error}", TlsResult.STS_INVALID)
        except _FetchError as error:
            return Fault(f"the MTA-STS policy could not be fetched: {error}", TlsResult.STS_FETCH_ERROR)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError):
            words = f"the certificate of mta-sts.{domain} does not verify"
            return Fault(f"the MTA-STS policy could not be fetched: {words}", TlsResult.STS_WEBPKI_INVALID)
        except TimeoutError:
            return Fault("the MTA-STS policy could not be fetched: no answer in time", TlsResult.STS_FETCH_ERROR)
        except (aiohttp.ClientError, OSError, ValueError):
            return Fault("the MTA-STS policy could not be fetched: no connection", TlsResult.STS_FETCH_ERROR)

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, domain: str) -> str:
        address = f"https://mta-sts.{domain}{'' if self._port == 443 else f':{self._port}'}{_PATH}"
        async with self._client().get(address, allow_redirects=False) as answer:
            if answer.status != 200:
                raise _FetchError(f"HTTP status {answer.status}")
            if answer.content_type != "text/plain":
                raise _FetchError("not text/plain")
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _FetchError("a compressed answer")
            body = bytearray()
            async for block in answer.content.iter_any():
                body += block
                if len(body) > MAX_OCTETS:
                    raise _FetchError("over 64 KiB")
        return body.decode("utf-8", "replace")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._guarded, ssl=self._context, use_dns_cache=False, force_close=True, limit=CONCURRENT
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT),
                headers={"Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": "mta-sts"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
