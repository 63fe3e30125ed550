"""The lab's certificate authority: made at every start, trusted by nobody but who is told to.

Its certificate lies at `ca.pem` in the lab's folder: the relay gets it as `delivery.ca_file`, people give it
to swaks or openssl. Keys are ECDSA P-256, files with keys have mode 0600.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=90)
_BACKDATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate chain and its key lie, PEM."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A server's TLS context with them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Issues certificates into `folder`; `now` is the time they begin to count from."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self._folder = folder
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._make("Lab authority", [], self._key, None)
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "ca.pem"
        _write(self.ca_file, self._certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def issue(self, label: str, names: Sequence[str], *, self_signed: bool = False) -> CertificateFiles:
        """A server certificate for `names` (host names and addresses), kept as `label`.pem and `label`.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._make(label, names, key, None if self_signed else self._certificate)
        files = CertificateFiles(self._folder / f"{label}.pem", self._folder / f"{label}.key")
        _write(files.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(files.key, private, 0o600)
        return files

    def _make(
        self, label: str, names: Sequence[str], key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None
    ) -> x509.Certificate:
        is_ca = not names
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
        signing_key = self._key if issuer is not None else key
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer is not None else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATE)
            .not_valid_after(self._now + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
            .add_extension(_usage(is_ca=is_ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(n) for n in names]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return builder.sign(signing_key, hashes.SHA256())


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
