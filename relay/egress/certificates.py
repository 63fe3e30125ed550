"""TLS of outbound sessions: the context, and an honest word on whether the certificate verified.

Opportunistic TLS must finish its handshake with any certificate, so the context verifies nothing; the chain the
host sent is judged afterwards, against the system's trust anchors and the exchanger's name, with the verifier of
`cryptography`. One handshake gives both: the session, and the answer to "would this have verified?". (OpenSSL
knows it too, but Python gives no way to ask after a handshake that did not demand it.)
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification

from relay.errors import ConfigurationError
from relay.policy.addresses import parse_ip

_USUAL_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_DER = 2  # ENCODING_DER of the private _ssl module


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

    def judge(self, session: ssl.SSLObject, name: str, now: datetime) -> str:
        """Why the host's certificate does not verify for `name` at `now`; empty when it does (E09)."""
        chain = _chain(session)
        if not chain:
            return "no certificate"
        if self._store is None:
            return "no trust anchors"
        try:
            subject = x509.IPAddress(ip_address(name)) if parse_ip(name) else x509.DNSName(name)
            policy = (
                verification.PolicyBuilder()
                .store(self._store)
                .time(now)
                .extension_policies(ca_policy=self._ca_policy, ee_policy=self._leaf_policy)
            )
            leaf, *others = (x509.load_der_x509_certificate(der) for der in chain)
            policy.build_server_verifier(subject).verify(leaf, others)
        except verification.VerificationError as error:
            return str(error).removeprefix("validation failed: ")[:200]
        except ValueError:
            return "the certificate or the name cannot be judged"
        return ""


def _chain(session: ssl.SSLObject) -> list[bytes]:
    """The certificates the host sent, its own first, as DER. Public only from Python 3.13 on."""
    public: Any = getattr(session, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    private: Any = getattr(getattr(session, "_sslobj", None), "get_unverified_chain", None)
    if private is not None:
        return [bytes(certificate.public_bytes(_DER)) for certificate in private() or ()]
    leaf = session.getpeercert(binary_form=True)
    return [leaf] if leaf else []


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
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        try:
            return x509.load_pem_x509_certificate(pem)
        except (ValueError, CryptographyDeprecationWarning):
            return None
