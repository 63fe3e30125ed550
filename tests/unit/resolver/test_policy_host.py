"""Policies over real HTTPS on loopback; names resolve through real DNS packets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from relay.clock import SystemClock
from relay.errors import ConfigurationError
from relay.policy.mta_sts import StsMode, StsPolicy
from relay.policy.tls import Fault, TlsResult
from relay.resolver import policy_host
from relay.resolver.policy_host import PolicyHosts, https_context
from relay.resolver.resolver import DnsResolver
from tests.support.dns_server import DnsServer, Zone
from tests.support.policy_server import PATH, POLICY, PolicyServer

AUTHORITY = trustme.CA()
ZONE: Zone = {"mta-sts.d.test": {"A": ["127.0.0.1"]}}


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = https_context()
    authority.configure_trust(context)
    return context


@contextlib.asynccontextmanager
async def hosts(port: int, zone: Zone = ZONE, *, allow_private: bool = True) -> AsyncIterator[PolicyHosts]:
    async with DnsServer(zone) as dns:
        resolver = DnsResolver([dns.address], timeout=5, trust_ad=False, clock=SystemClock())
        found = PolicyHosts(resolver, trusting(), allow_private=allow_private, port=port)
        try:
            yield found
        finally:
            await found.close()
            await resolver.close()


async def result_of(server: PolicyServer, zone: Zone = ZONE) -> TlsResult | None:
    async with hosts(server.port, zone) as found:
        answer = await found.fetch("d.test")
        return answer.result if isinstance(answer, Fault) else None


async def test_a_policy_is_fetched_from_its_one_address() -> None:  # I03 S37
    async with PolicyServer(AUTHORITY, "mta-sts.d.test") as server, hosts(server.port) as found:
        assert await found.fetch("d.test") == StsPolicy(StsMode.ENFORCE, ("mx1.test",), 86400)
        ((method, path, headers),) = server.requests
        assert (method, path) == ("GET", PATH)
        assert headers["Host"].startswith("mta-sts.d.test")
        assert "Cookie" not in headers


@pytest.mark.parametrize("name", ["d.test", "mta-sts.e.test", "localhost"])
async def test_the_certificate_must_be_the_policy_hosts(name: str) -> None:  # I03
    async with PolicyServer(AUTHORITY, name) as server:
        assert await result_of(server) is TlsResult.STS_WEBPKI_INVALID
        assert server.requests == []


async def test_the_certificate_must_be_trusted() -> None:  # I03
    async with PolicyServer(trustme.CA(), "mta-sts.d.test") as server:
        assert await result_of(server) is TlsResult.STS_WEBPKI_INVALID


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 307, 308, 404, 500])
async def test_only_200_counts_and_no_redirect_is_followed(status: int) -> None:  # I03 S36 S37
    async with PolicyServer(AUTHORITY, "mta-sts.d.test") as server:
        server.status = status
        server.headers = {"Location": f"https://mta-sts.d.test:{server.port}{PATH}?again"}
        assert await result_of(server) is TlsResult.STS_FETCH_ERROR
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content_type", "fine"),
    [("text/plain", True), ("Text/Plain; charset=utf-8", True), ("text/html", False), ("application/json", False)],
)
async def test_the_media_type_is_text_plain(content_type: str, fine: bool) -> None:  # I03
    async with PolicyServer(AUTHORITY, "mta-sts.d.test") as server:
        server.content_type = content_type
        assert (await result_of(server) is None) is fine


async def test_large_answers_are_cut_off() -> None:  # I03 S37
    async with PolicyServer(AUTHORITY, "mta-sts.d.test") as server:
        server.text = POLICY + "x: " + "y" * (64 * 1024)
        assert await result_of(server) is TlsResult.STS_FETCH_ERROR
        server.text = POLICY + "x: " + "y" * (60 * 1024)
        assert await result_of(server) is None


async def test_compressed_answers_are_refused() -> None:  # S30
    async with PolicyServer(AUTHORITY, "mta-sts.d.test", text=gzip.compress(POLICY.encode())) as server:
        server.headers = {"Content-Encoding": "gzip"}
        assert await result_of(server) is TlsResult.STS_FETCH_ERROR


async def test_a_text_that_is_no_policy() -> None:  # I02
    async with PolicyServer(AUTHORITY, "mta-sts.d.test", text="<html>hello</html>") as server:
        assert await result_of(server) is TlsResult.STS_INVALID


async def test_a_host_that_says_nothing_costs_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:  # I03 I08
    monkeypatch.setattr(policy_host, "FETCH_TIMEOUT", 0.3)
    async with PolicyServer(AUTHORITY, "mta-sts.d.test") as server:
        server.delay = 5.0
        assert await result_of(server) is TlsResult.STS_FETCH_ERROR


async def test_no_such_host_and_no_listener() -> None:  # I08
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with hosts(port) as found:
            for domain in ("d.test", "missing.test"):
                answer = await found.fetch(domain)
                assert isinstance(answer, Fault)
                assert answer.result is TlsResult.STS_FETCH_ERROR


@pytest.mark.parametrize(
    "records",
    [
        {"A": ["127.0.0.1"]},
        {"A": ["10.0.0.5"]},
        {"A": ["169.254.169.254"]},
        {"A": ["100.64.0.1"]},
        {"A": ["0.0.0.0"]},
        {"A": ["224.0.0.1"]},
        {"AAAA": ["::1"]},
        {"AAAA": ["::ffff:127.0.0.1"]},
        {"AAAA": ["64:ff9b::7f00:1"]},
        {"AAAA": ["2002:7f00:1::"]},
        {"AAAA": ["fe80::1"]},
        {"AAAA": ["fd00::1"]},
        {"CNAME": ["localhost.test"]},
    ],
)
async def test_no_record_leads_the_fetch_to_our_neighbours(records: dict[str, list[str]]) -> None:  # S36 S37 B19
    zone: Zone = {"mta-sts.d.test": records, "localhost.test": {"A": ["127.0.0.1"]}}
    async with (
        PolicyServer(AUTHORITY, "mta-sts.d.test") as server,
        hosts(server.port, zone, allow_private=False) as found,
    ):
        answer = await found.fetch("d.test")
        assert isinstance(answer, Fault)
        assert answer.result is TlsResult.STS_FETCH_ERROR
        assert server.requests == []


async def test_a_name_that_changes_its_mind_is_looked_up_once() -> None:  # S36: DNS rebinding
    async with PolicyServer(AUTHORITY, "mta-sts.d.test") as server, DnsServer(ZONE, ttl=0) as dns:
        resolver = DnsResolver([dns.address], timeout=5, trust_ad=False, clock=SystemClock())
        found = PolicyHosts(resolver, trusting(), allow_private=True, port=server.port)
        await found.fetch("d.test")
        assert dns.count("mta-sts.d.test", "A") == 1
        await found.close()
        await resolver.close()


async def test_fetches_at_once_are_limited() -> None:  # I09
    count = policy_host.CONCURRENT + 10
    zone: Zone = {f"mta-sts.d{n}.test": {"A": ["127.0.0.1"]} for n in range(count)}
    names = [f"mta-sts.d{n}.test" for n in range(count)]
    async with PolicyServer(AUTHORITY, *names) as server, hosts(server.port, zone) as found:
        server.delay = 0.05
        answers = await asyncio.gather(*(found.fetch(f"d{n}.test") for n in range(count)))
        assert all(isinstance(answer, StsPolicy) for answer in answers)
        assert 1 < server.most_at_once <= policy_host.CONCURRENT


async def test_proxies_of_the_environment_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:  # S37
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with PolicyServer(AUTHORITY, "mta-sts.d.test") as server:
        assert await result_of(server) is None


def test_anchors_of_the_operators(tmp_path: Path) -> None:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert https_context(tmp_path / "ca.pem").verify_mode is ssl.CERT_REQUIRED
    assert https_context().minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(ConfigurationError, match="trust anchors"):
        https_context(tmp_path / "missing.pem")
