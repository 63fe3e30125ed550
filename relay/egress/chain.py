"""The certificates a host sent in its handshake, as DER, and the public key inside one.

Stands between a TLS session and whoever judges it. Reads a certificate only as far as its key, so that one a
strict library refuses can still be compared with a TLSA record (RFC 7671 §5.1: nothing else about it counts).
"""

from __future__ import annotations

import ssl
from typing import Any, Final

_DER: Final = 2
"""ENCODING_DER of the private _ssl module."""
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_MAX_LENGTH_OCTETS: Final = 3


def chain_of(session: ssl.SSLObject) -> list[bytes]:
    """The certificates the host sent, its own first. Public in Python only from 3.13 on."""
    public: Any = getattr(session, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    private: Any = getattr(getattr(session, "_sslobj", None), "get_unverified_chain", None)
    if private is not None:
        return [bytes(certificate.public_bytes(_DER)) for certificate in private() or ()]
    leaf = session.getpeercert(binary_form=True)
    return [leaf] if leaf else []


def public_key_of(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo exactly as it stands in a certificate; empty if that is none (RFC 5280 §4.1)."""
    try:
        _, inside, _ = _element(certificate, 0)
        _, place, _ = _element(certificate, inside)
        if certificate[place] == _VERSION:
            _, _, place = _element(certificate, place)
        for _ in range(5):  # serial number, signature algorithm, issuer, validity, subject
            _, _, place = _element(certificate, place)
        tag, _, end = _element(certificate, place)
    except (IndexError, ValueError):
        return b""
    return certificate[place:end] if tag == _SEQUENCE else b""


def _element(data: bytes, start: int) -> tuple[int, int, int]:
    """Tag, where the content begins and where it ends, of the DER element at `start`."""
    length, begin = data[start + 1], start + 2
    if length & 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= _MAX_LENGTH_OCTETS:
            raise ValueError("no length of DER")
        length, begin = int.from_bytes(data[begin : begin + octets]), begin + octets
    if begin + length > len(data):
        raise ValueError("cut short")
    return data[start], begin, begin + length
