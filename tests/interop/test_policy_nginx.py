"""MTA-STS policies from a real nginx: as domain owners serve them, and ours, which it passes on to the relay."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from relay.clock import SystemClock
from relay.policy.mta_sts import StsMode, StsPolicy
from relay.policy.tls import Fault, TlsResult
from relay.receiving import STS_MAX_AGE
from relay.resolver.policy_host import PolicyHosts, https_context
from relay.resolver.resolver import DnsResolver
from tests.support.dns_server import DnsServer
from tests.support.policy_server import POLICY
from tests.support.ports import free_port
from tests.support.whole_relay import whole_relay

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  gzip on; gzip_types text/plain; gzip_min_length 1;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  types {{ text/plain txt; text/html html; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name mta-sts.good.test;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    root {folder}/good;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name mta-sts.moved.test;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    return 301 https://mta-sts.good.test:{port}$request_uri;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name mta-sts.html.test;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    types {{ text/html txt; }}
    root {folder}/good;
  }}
}}
"""


PASSING = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name mta-sts.*;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location = /.well-known/mta-sts.txt {{ proxy_pass {relay}; proxy_set_header Host $host; }}
  }}
}}
"""


@contextlib.asynccontextmanager
async def nginx(folder: Path, authority: trustme.CA, config: str, *names: str, **values: str) -> AsyncIterator[int]:
    """Run one on a free port, with a certificate for `names`; `values` fill the configuration."""
    port = free_port()
    issued = authority.issue_cert(*names)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (folder / "nginx.conf").write_text(config.format(folder=folder, port=port, **values))
    assert NGINX is not None
    command = (NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf"))
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    break
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_policies_as_nginx_serves_them(tmp_path: Path) -> None:  # I03 S30 S37
    authority = trustme.CA()
    context = https_context()
    authority.configure_trust(context)
    zone = {f"mta-sts.{name}.test": {"A": ["127.0.0.1"]} for name in ("good", "moved", "html", "stranger")}
    names = [f"mta-sts.{name}.test" for name in ("good", "moved", "html", "missing")]
    (tmp_path / "good" / ".well-known").mkdir(parents=True)
    (tmp_path / "good" / ".well-known" / "mta-sts.txt").write_text(POLICY)
    async with nginx(tmp_path, authority, CONFIG, *names) as port, DnsServer(zone) as dns:
        resolver = DnsResolver([dns.address], timeout=1.0, trust_ad=False, clock=SystemClock())
        hosts = PolicyHosts(resolver, context, allow_private=True, port=port)
        found = {name: await hosts.fetch(f"{name}.test") for name in ("good", "moved", "html", "stranger")}
        await hosts.close()
        await resolver.close()
    assert found["good"] == StsPolicy(StsMode.ENFORCE, ("mx1.test",), 86400)
    results = {name: answer.result for name, answer in found.items() if isinstance(answer, Fault)}
    assert results == {
        "moved": TlsResult.STS_FETCH_ERROR,
        "html": TlsResult.STS_FETCH_ERROR,
        "stranger": TlsResult.STS_WEBPKI_INVALID,
    }


async def test_ours_behind_nginx(tmp_path: Path) -> None:  # I02
    authority, context = trustme.CA(), https_context()
    authority.configure_trust(context)
    domain = "bounces.leak.lab.test"
    inbound = {"listen": ["127.0.0.1:0"], "domain": domain, "tls": {"certificate": "relay.pem", "key": "relay.key"}}
    hosts = {f"mta-sts.{name}": {"A": ["127.0.0.1"]} for name in (domain, "other.test")}
    async with (
        whole_relay(tmp_path / "relay", inbound={**inbound, "mta_sts": "enforce"}) as relay,
        nginx(tmp_path, authority, PASSING, *hosts, relay=relay.http) as port,
        DnsServer(hosts) as dns,
    ):
        resolver = DnsResolver([dns.address], timeout=5.0, trust_ad=False, clock=SystemClock())
        fetching = PolicyHosts(resolver, context, allow_private=True, port=port)
        assert await fetching.fetch(domain) == StsPolicy(StsMode.ENFORCE, ("mail.leak.lab.test",), STS_MAX_AGE)
        stranger = await fetching.fetch("other.test")
        assert isinstance(stranger, Fault)
        assert stranger.result is TlsResult.STS_FETCH_ERROR
        await fetching.close()
        await resolver.close()
