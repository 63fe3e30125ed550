"""TLS of outbound sessions: the context, and an honest word on whether the certificate verified by its authority.

Opportunistic TLS must finish its handshake with any certificate, so the context verifies nothing; the chain the
host sent is judged afterwards, against the system's trust anchors and the exchanger's name, with the verifier of
`cryptography`. One handshake gives both: the session, and the answer to "would this have verified?". (OpenSSL
knows it too, but Python gives no way to ask after a handshake that did not demand it.)
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification

from relay.egress.chain import public_key_of
from relay.errors import ConfigurationError
from relay.policy.addresses import parse_ip
from relay.policy.dane import Link, names_leaf, trust_anchors
from relay.policy.tls import Fault, HostDemand, TlsResult

_USUAL_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


def client_context() -> ssl.SSLContext:
    """A context for STARTTLS: TLS 1.2 or newer, OpenSSL's default ciphers, no verification of its own (E08)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class TrustAnchors:
    """The certificates that chains must end in."""

    def __init__(self, anchors: Iterable[x509.Certificate]) -> None:
        certificates = list(anchors)
        self._store = verification.Store(certificates) if certificates else None
        self._leaf_policy = verification.ExtensionPolicy.permit_all().require_present(
            x509.SubjectAlternativeName, verification.Criticality.AGNOSTIC, None
        )
        self._ca_policy = verification.ExtensionPolicy.permit_all().require_present(
            x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
        )

    @classmethod
    def load(cls, extra: Path | None = None) -> Self:
        """The system's anchors and those in `extra` (PEM). Raises ConfigurationError if that cannot be read."""
        anchors = {c for file in _system_files() for c in _certificates(file.read_bytes())}
        if extra is not None:
            try:
                own = set(_certificates(extra.read_bytes()))
            except OSError as error:
                raise ConfigurationError(f"{extra}: cannot be read: {error.strerror}") from None
            if not own:
                raise ConfigurationError(f"{extra}: holds no certificate in PEM form")
            anchors |= own
        return cls(anchors)

    def judge(self, chain: Sequence[bytes], name: str, now: datetime) -> Fault | None:
        """Why certificates (DER, the host's own first) do not verify for `name` at `now`; None when they do (E09)."""
        if not chain:
            return Fault("no certificate", TlsResult.NOT_TRUSTED)
        try:
            leaf, *others = (x509.load_der_x509_certificate(der) for der in chain)
            trouble = self._trouble(leaf, others, name, now)
            return Fault(trouble, _kind(leaf, name, now)) if trouble else None
        except (ValueError, x509.DuplicateExtension, CryptographyDeprecationWarning):
            return Fault("the certificate or the name cannot be judged", TlsResult.NOT_TRUSTED)

    def _trouble(self, leaf: x509.Certificate, others: list[x509.Certificate], name: str, now: datetime) -> str:
        if self._store is None:
            return "no trust anchors"
        subject = x509.IPAddress(ip_address(name)) if parse_ip(name) else x509.DNSName(name)
        policy = (
            verification.PolicyBuilder()
            .store(self._store)
            .time(now)
            .extension_policies(ca_policy=self._ca_policy, ee_policy=self._leaf_policy)
        )
        try:
            policy.build_server_verifier(subject).verify(leaf, others)
        except verification.VerificationError as error:
            return _said(error)
        return ""


def _said(error: Exception) -> str:
    """Why a chain is not trusted, without what the library appends of its own objects."""
    return str(error).removeprefix("validation failed: ").partition(" (encountered processing")[0][:200]


def judge_dane(chain: Sequence[bytes], demand: HostDemand, now: datetime) -> Fault | None:
    """Why no TLSA record of the demand vouches for the certificates; None when one does (RFC 7672 §3).

    Usage 3 names the host's key, and neither names nor dates count (H07). Usage 2 names an authority: then the
    chain must lead to it, and one of the demand's names and the dates must be right (H08).
    """
    links = [Link(der, public_key_of(der)) for der in chain]
    if links and names_leaf(demand.tlsa, links[0]):
        return None
    anchors = [c for der in trust_anchors(demand.tlsa, links) if (c := _loaded(der)) is not None]
    if not anchors:
        return Fault("no TLSA record names the certificate", TlsResult.VALIDATION_FAILURE)
    named = TrustAnchors(anchors)
    fault: Fault | None = None
    for name in demand.names:
        fault = named.judge(chain, name, now)
        if fault is None:
            return None
    return fault or Fault("no name to compare the certificate with", TlsResult.VALIDATION_FAILURE)


def _kind(leaf: x509.Certificate, name: str, now: datetime) -> TlsResult:
    """What is wrong with a certificate that did not verify, in the words of reports."""
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        return TlsResult.EXPIRED
    return TlsResult.NOT_TRUSTED if _bears(leaf, name) else TlsResult.HOST_MISMATCH


def _bears(leaf: x509.Certificate, name: str) -> bool:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    wanted = name.lower()
    dns = [one.lower() for one in names.get_values_for_type(x509.DNSName)]
    if wanted in dns or f"*.{wanted.partition('.')[2]}" in dns:
        return True
    return wanted in map(str, names.get_values_for_type(x509.IPAddress))


def _system_files() -> Iterator[Path]:
    named = ssl.get_default_verify_paths().cafile
    for text in dict.fromkeys((named, *_USUAL_FILES) if named else _USUAL_FILES):
        if (file := Path(text)).is_file():
            yield file
            return


def _certificates(pem: bytes) -> Iterator[x509.Certificate]:
    """Every certificate in `pem` that can be read: one malformed anchor must not take the others along."""
    for part in pem.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        certificate = _certificate(_BEGIN + body + _END + b"\n") if end else None
        if certificate is not None:
            yield certificate


def _certificate(pem: bytes) -> x509.Certificate | None:
    """One certificate; None for what RFC 5280 does not allow (a system's bundle may hold such old anchors)."""
    return _read(x509.load_pem_x509_certificate, pem)


def _loaded(der: bytes) -> x509.Certificate | None:
    return _read(x509.load_der_x509_certificate, der)


def _read(load: Callable[[bytes], x509.Certificate], octets: bytes) -> x509.Certificate | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        try:
            return load(octets)
        except (ValueError, CryptographyDeprecationWarning):
            return None
