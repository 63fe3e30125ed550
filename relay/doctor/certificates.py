"""Will clients and other hosts believe our certificates? Files, key, names, chain, and how long they last."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, Means, TlsPair
from relay.policy.tls import Fault, TlsResult

SOON: Final = timedelta(days=14)
"""ACME clients renew 30 days before the end: what is left now was not renewed."""


@dataclass(frozen=True, slots=True)
class Read:
    """What the files say; `error` is empty when they can be used."""

    chain: tuple[bytes, ...] = ()
    ends: datetime | None = None
    error: str = ""


async def look(means: Means, examined: Examined) -> list[Finding]:
    """Each pair the settings name, once."""
    findings: list[Finding] = []
    now = means.clock.now()
    for pair in examined.tls:
        read = await asyncio.to_thread(read_pair, pair)
        fault = means.anchors.judge(read.chain, examined.node, now) if read.chain else None
        findings.append(judge(pair, examined.node, read, fault, now))
    return findings


def read_pair(pair: TlsPair) -> Read:
    """Certificates and the end of the first one. Never raises."""
    for file in (pair.certificate, pair.key):
        try:
            file.open("rb").close()
        except OSError as error:
            return Read(error=f"{file}: {error.strerror or error}")
    try:
        chain = x509.load_pem_x509_certificates(pair.certificate.read_bytes())
    except (OSError, ValueError):
        return Read(error=f"{pair.certificate} holds no certificate in PEM form")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None)
        said = "is of another certificate" if reason == "KEY_VALUES_MISMATCH" else "holds no key that can be used"
        return Read(error=f"{pair.key} {said}")
    return Read(tuple(one.public_bytes(Encoding.DER) for one in chain), chain[0].not_valid_after_utc)


def judge(pair: TlsPair, name: str, read: Read, fault: Fault | None, now: datetime) -> Finding:
    """Expiry first, since it comes by itself; then what clients verify."""
    subject = pair.setting
    if read.error or read.ends is None:
        remedy = f"let {pair.certificate} and {pair.key} be a certificate and its key that the node's user may read"
        return Finding("certificate", subject, Severity.ERROR, read.error or "no certificate", remedy)
    until = f"good until {read.ends:%Y-%m-%d}"
    renew = "renew it (certbot renew, or the ACME client in use), then `leak reload`"
    if read.ends <= now:
        return Finding("certificate", subject, Severity.ERROR, f"expired on {read.ends:%Y-%m-%d}", renew)
    if read.ends - now < SOON:
        left = (read.ends - now).days
        severity = Severity.ERROR if left < 3 else Severity.WARNING
        return Finding("certificate", subject, severity, f"{until}: {left} days left", renew)
    if fault is None:
        return Finding("certificate", subject, Severity.OK, f"{name}, {until}")
    severity = Severity.WARNING if pair.strict else Severity.NOTE
    remedy = (
        f"get one for {name} from an authority that clients know (ACME: Let's Encrypt), the whole chain in the file"
    )
    if fault.result is TlsResult.HOST_MISMATCH:
        remedy = f"get one that names {name}"
    return Finding("certificate", subject, severity, f"{fault.words}; {until}", remedy)
