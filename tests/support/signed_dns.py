"""Really signed zones: dnspython signs them, NSD serves them, unbound validates; all on loopback, without root.

    async with signed_dns(tmp_path, Zones(signed={"good.test": [...]}, unsigned={...}, bogus={...})) as address: ...

Zones are lists of "NAME TYPE VALUE" with names relative to the zone ("@" is its apex). In `bogus` ones the
addresses are changed after the signing, in `bogus_tlsa` the TLSA records. Both programs end with the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.ports import free_port

MISSING = [program for program in ("nsd", "unbound") if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin") is None]
_PATHS = "/usr/sbin:/usr/bin:/sbin"


@dataclass(frozen=True)
class Zones:
    """Records by zone."""

    signed: dict[str, list[str]] = field(default_factory=dict)
    unsigned: dict[str, list[str]] = field(default_factory=dict)
    bogus: dict[str, list[str]] = field(default_factory=dict)
    bogus_tlsa: dict[str, list[str]] = field(default_factory=dict)

    def all(self) -> dict[str, list[str]]:
        return self.signed | self.unsigned | self.bogus | self.bogus_tlsa


def _made(name: str, records: list[str]) -> dns.zone.Zone:
    text = f"$ORIGIN {name}.\n$TTL 300\n@ SOA ns.{name}. host.{name}. 1 3600 600 86400 60\n@ NS ns.{name}.\n"
    text += "ns A 127.0.0.1\n" + "\n".join(records) + "\n"
    return dns.zone.from_text(text, origin=name, relativize=False, check_origin=False)


def _sign(zone: dns.zone.Zone) -> str:
    """Sign it in place; its DNSKEY as a trust anchor."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=257)
    dns.dnssec.sign_zone(zone, keys=[(key, public)], lifetime=3600, add_dnskey=True)
    return f"{zone.origin} 300 IN DNSKEY {public.to_text()}\n"


def _spoil(zone: dns.zone.Zone, kind: str, value: str) -> None:
    """Change every record of a kind, and leave the signatures as they were."""
    for name, rdataset in list(zone.iterate_rdatasets(kind)):
        zone.replace_rdataset(name, dns.rdataset.from_text("IN", kind, rdataset.ttl, value))


def _nsd_config(folder: Path, port: int, names: list[str]) -> str:
    lines = [
        "server:", "  ip-address: 127.0.0.1", f"  port: {port}", '  username: ""', '  chroot: ""', "  server-count: 1",
        f'  zonesdir: "{folder}"', '  database: ""', f'  pidfile: "{folder}/nsd.pid"', f'  xfrdfile: "{folder}/xfrd"',
        f'  zonelistfile: "{folder}/zone.list"', f'  xfrdir: "{folder}"', f'  logfile: "{folder}/nsd.log"',
        "remote-control:", "  control-enable: no",
    ]  # fmt: skip
    for name in names:
        lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{name}.zone"']
    return "\n".join(lines) + "\n"


def _unbound_config(folder: Path, port: int, upstream: int, names: list[str]) -> str:
    lines = [
        "server:", '  chroot: ""', '  username: ""', f'  directory: "{folder}"', '  pidfile: ""', "  do-daemonize: no",
        "  interface: 127.0.0.1", f"  port: {port}", "  access-control: 127.0.0.0/8 allow", "  use-syslog: no",
        f'  logfile: "{folder}/unbound.log"', "  do-not-query-localhost: no", "  num-threads: 1", "  do-ip6: no",
        '  module-config: "validator iterator"', f'  trust-anchor-file: "{folder}/anchors"',
        '  local-zone: "test." nodefault', "remote-control:", "  control-enable: no",
    ]  # fmt: skip
    for name in names:
        lines += ["stub-zone:", f'  name: "{name}"', f"  stub-addr: 127.0.0.1@{upstream}"]
    return "\n".join(lines) + "\n"


@contextlib.asynccontextmanager
async def _running(program: str, *arguments: str) -> AsyncIterator[None]:
    path = shutil.which(program, path=_PATHS)
    assert path is not None
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(path, *arguments, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answers(port: int) -> None:
    """Wait until something listens on TCP."""
    async with asyncio.timeout(15):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


@contextlib.asynccontextmanager
async def signed_dns(folder: Path, zones: Zones) -> AsyncIterator[tuple[str, int]]:
    """The address of a validating resolver that knows `zones`."""
    anchors = ""
    made = {name: _made(name, records) for name, records in zones.all().items()}
    for name, zone in made.items():
        if name not in zones.unsigned:
            anchors += _sign(zone)
        if name in zones.bogus:
            _spoil(zone, "A", "127.6.6.6")
        if name in zones.bogus_tlsa:
            _spoil(zone, "TLSA", "3 1 1 " + "66" * 32)
        (folder / f"{name}.zone").write_text(zone.to_text(relativize=False))
    (folder / "anchors").write_text(anchors)
    upstream, port = free_port(), free_port()
    (folder / "nsd.conf").write_text(_nsd_config(folder, upstream, list(made)))
    (folder / "unbound.conf").write_text(_unbound_config(folder, port, upstream, list(made)))
    async with _running("nsd", "-d", "-c", str(folder / "nsd.conf")):
        await _answers(upstream)
        async with _running("unbound", "-d", "-c", str(folder / "unbound.conf")):
            await _answers(port)
            yield ("127.0.0.1", port)
