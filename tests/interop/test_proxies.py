"""The samples for nginx and Caddy in front of the web, run by the real programs: only names, ports and files differ."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from tests.support.ports import free_port
from web.client_address import ClientAddressReader

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
SYSTEM = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
NAMES = ("example.org", "mta-sts.bounces.example.org")
CLIENT = "127.0.0.9"
"""Another address of loopback than the proxy's, which alone is trusted."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A proxy that runs, and what it needs to be believed."""

    port: int
    trust: ssl.SSLContext

    async def ask(self, host: str, path: str, **options: object) -> tuple[int, str, str]:
        """Status, text and HSTS field, asked from `CLIENT`."""
        connector = aiohttp.TCPConnector(
            local_addr=(CLIENT, 0), ssl=self.trust, resolver=_Loopback(), ttl_dns_cache=None
        )
        method = "POST" if "data" in options else "GET"
        url = f"https://{host}:{self.port}{path}"
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.request(method, url, allow_redirects=False, **options) as answer,  # type: ignore[arg-type]
        ):
            return answer.status, await answer.text(), answer.headers.get("Strict-Transport-Security", "")


class _Loopback(aiohttp.abc.AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


def nginx(folder: Path, upstream: int, port: int) -> list[str]:
    """The sample as nginx includes it; the command that runs it."""
    text = (PACKAGING / "nginx" / "leak.conf").read_text()
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}").replace("/etc/nginx/", f"{PACKAGING}/nginx/")
    text = text.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
        "listen 80;", f"listen 127.0.0.1:{free_port()};"
    )
    text = re.sub(r"/etc/letsencrypt/live/[\w.]+/", f"{folder}/", text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; events {{}}\nhttp {{\n{temporary}{text}}}\n"
    )
    return [which("nginx"), "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, upstream: int, port: int) -> list[str]:
    """The sample with the certificate of a file, for no authority is asked here; the command that runs it."""
    text = (PACKAGING / "caddy" / "Caddyfile").read_text().replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    for name in NAMES:
        text = text.replace(
            f"\n{name} {{\n", f"\n{name}:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem\n"
        )
    options = ("admin off", "auto_https disable_redirects", "default_bind 127.0.0.1", f"storage file_system {folder}/s")
    top = "".join(("{\n", *(f"\t{option}\n" for option in options), "}\n"))
    (folder / "Caddyfile").write_text(top + text)
    return [which("caddy"), "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


def which(name: str) -> str:
    return shutil.which(name, path=SYSTEM) or ""


async def _echo(request: web.Request) -> web.Response:
    """What the front would take for the client's address, and the host it was asked for."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    client = ClientAddressReader(["127.0.0.1/32"], "X-Forwarded-Port").read(peer, request.headers)
    if request.can_read_body:
        await request.read()
    return web.Response(
        text=f"{request.path} {request.headers['Host'].partition(':')[0]} {client.address} {client.port}"
    )


@contextlib.asynccontextmanager
async def behind(make: Callable[[Path, int, int], list[str]], folder: Path) -> AsyncIterator[Behind]:
    """The proxy in front of an echo."""
    application = web.Application(client_max_size=1 << 26)
    application.router.add_route("*", "/{path:.*}", _echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    authority, port = trustme.CA(), free_port()
    issued = authority.issue_cert(*NAMES)
    issued.private_key_pem.write_to_path(folder / "privkey.pem")
    (folder / "fullchain.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *make(folder, runner.addresses[0][1], port),
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), "PATH": SYSTEM, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
        )
    try:
        await _listening(port, process, lambda: (folder / "log").read_text())
        yield Behind(port, trust)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await runner.cleanup()


async def _listening(port: int, process: asyncio.subprocess.Process, said: Callable[[], str]) -> None:
    async with asyncio.timeout(60):
        while True:
            assert process.returncode is None, said()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("make", [nginx, caddy], ids=["nginx", "caddy"])
async def test_the_sample_tells_the_client_and_keeps_the_inside_in(
    make: Callable[[Path, int, int], list[str]], tmp_path: Path
) -> None:  # S50, SND 4
    if not which(make.__name__):
        pytest.skip(f"{make.__name__} is not installed")
    async with behind(make, tmp_path) as proxy:
        forged = {"X-Forwarded-For": "192.0.2.66", "Forwarded": "for=192.0.2.66", "X-Forwarded-Port": "1"}
        status, text, secure = await proxy.ask("example.org", "/en/", headers=forged)
        assert status == 200
        path, host, address, port = text.split()
        assert (path, host, address) == ("/en/", "example.org", CLIENT)
        assert int(port) > 1023
        assert secure.startswith("max-age=")
        assert (await proxy.ask("example.org", "/en/preview", data=b"x" * 200_000))[0] == 200
        # Caddy 2.6 cuts it off and says 502; both keep it from the front.
        assert (await proxy.ask("example.org", "/en/preview", data=b"x" * 400_000))[0] in {413, 502}
        for inside in ("/metrics", "/admin", "/admin/queue", "/desk", "/desk/x", "/api/v1/messages"):
            assert (await proxy.ask("example.org", inside))[0] == 404, inside
        policy = "/.well-known/mta-sts.txt"
        status, text, _ = await proxy.ask(NAMES[1], policy)
        assert (status, text.split()[:2]) == (200, [policy, NAMES[1]])
        assert (await proxy.ask(NAMES[1], "/en/"))[0] == 404
