"""The TLS policies of lab domains: secure TLSA records in the zone, and a policy host that serves MTA-STS.

The zone marks what belongs to DANE as authentic, as a validating resolver would; nothing is really signed.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.lab.authority import CertificateFiles
from relay.lab.hosts import LabDomain, LabHost
from relay.lab.listening import taken
from relay.lab.zone import Fault, Zone

PATH: Final = "/.well-known/mta-sts.txt"
MAX_AGE: Final = 86_400
_SECURE: Final = Fault(authentic=True)


def publish_tlsa(
    zone: Zone, hosts: Sequence[LabHost], domains: Sequence[LabDomain], port: int, certificate: CertificateFiles
) -> None:
    """Write the TLSA records of DANE domains, at the port their hosts listen on."""
    names = {host.number: host.name for host in hosts}
    key = x509.load_pem_x509_certificate(certificate.certificate.read_bytes()).public_key()
    right = sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    for domain in domains:
        if not domain.tlsa:
            continue
        zone.break_name(domain.name, _SECURE)
        for _, number in domain.exchangers:
            record = f"_{port}._tcp.{names[number]}"
            if zone.records(record):
                continue  # a host has one key, whatever domains it serves
            zone.publish(record, "TLSA", f"3 1 1 {right if domain.tlsa == 'right' else sha256(b'wrong').hexdigest()}")
            zone.break_name(names[number], _SECURE)
            zone.break_name(record, _SECURE)


def publish_sts(zone: Zone, domains: Sequence[LabDomain], address: str) -> None:
    """Write the TXT records of MTA-STS domains, and where their policy host is."""
    for domain in domains:
        if domain.sts:
            zone.publish(f"_mta-sts.{domain.name}", "TXT", "v=STSv1; id=lab1;")
            zone.publish(f"mta-sts.{domain.name}", "A", address)


def policy_names(domains: Sequence[LabDomain]) -> list[str]:
    """The names the policy host's certificate must bear."""
    return [f"mta-sts.{domain.name}" for domain in domains if domain.sts]


class PolicyHost:
    """Serves the policies over HTTPS; port 0 picks a free one."""

    def __init__(self, domains: Sequence[LabDomain], context: ssl.SSLContext) -> None:
        self._policies = {f"mta-sts.{domain.name}": _policy(domain) for domain in domains if domain.sts}
        self._context = context
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port in use. PortTakenError names the port and the setting."""
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._context).start()
        except OSError as error:
            raise taken("policy host", host, port, "delivery.mta_sts_port", error) from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close it; may be called twice."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        policy = self._policies.get(request.host.partition(":")[0])
        if policy is None:
            raise web.HTTPNotFound
        return web.Response(text=policy, content_type="text/plain")


def _policy(domain: LabDomain) -> str:
    mode, *patterns = domain.sts
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in patterns), f"max_age: {MAX_AGE}"]
    return "".join(f"{line}\r\n" for line in lines)
