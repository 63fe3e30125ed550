"""DKIM as a receiver checks it: each signature on its own (RFC 6376 §6, RFC 8463), with dkimpy.

dkimpy is the second opinion on the relay's own signer, but its regular expressions are quadratic on hostile
white space. So signatures are bounded before it sees them, and the body is canonicalised here in linear time
first: canonicalisation is idempotent, the hash stays the same. `check` is synchronous and belongs in a thread;
`needed_keys` says which TXT records to fetch before.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import dkim
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from relay.resolver.contract import DnsAnswer, DnsFailure

MAX_HEADER: Final = 262_144
MAX_SIGNATURES: Final = 8
MAX_SIGNATURE: Final = 4096
_MAX_FOLDS = 64
_LENGTH_DIGITS: Final = 76
"""Of l= (RFC 6376 §3.5)."""
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_TAG = re.compile(r"(?:^|;)\s*([a-z]+)\s*=([^;]*)")
_WRONG = (
    dkim.DKIMException, ValueError, KeyError, TypeError, IndexError, AssertionError, AttributeError, OverflowError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """What became of one signature; `result` is of RFC 8601 §2.7.1: pass, fail, neutral, temperror, permerror."""

    result: str
    why: str
    domain: str = ""
    selector: str = ""
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """One DKIM-Signature field, its tags of interest read leniently."""

    index: int
    domain: str
    selector: str
    algorithm: str
    relaxed_body: bool
    trouble: str = ""
    octets: int | None = None
    """How much of the body it signs; None for all."""

    @property
    def key_name(self) -> str:
        """Where its public key is published."""
        return f"{self.selector}._domainkey.{self.domain}"


def signatures(content: bytes) -> list[Signature]:
    """The first eight signatures of a mail, topmost first."""
    head = content[:MAX_HEADER].partition(b"\r\n\r\n")[0] + b"\r\n"
    fields = re.findall(rb"(?im)^dkim-signature[ \t]*:((?:[^\n]*\n(?:[ \t][^\n]*\n)*))", head)
    return [_read(i, field) for i, field in enumerate(fields[:MAX_SIGNATURES])]


def needed_keys(found: list[Signature]) -> set[str]:
    """The TXT names that `check` will ask for."""
    return {s.key_name for s in found if not s.trouble}


def check(content: bytes, found: list[Signature], keys: Mapping[str, DnsAnswer]) -> list[SignatureVerdict]:
    """A verdict for each signature; `keys` holds the answer for each of `needed_keys`."""
    if not found:
        return []
    head, blank, body = content.partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_HEADER:
        return [_verdict(s, "permerror", "the header is too big or does not end") for s in found]
    bodies: dict[bool, bytes] = {}
    verdicts = []
    for signature in found:
        relaxed = signature.relaxed_body
        if not signature.trouble and relaxed not in bodies:
            bodies[relaxed] = head + blank + _canonical_body(body, relaxed=relaxed)
        verdicts.append(_check_one(signature, bodies.get(relaxed, b""), keys))
    return verdicts


def _check_one(signature: Signature, content: bytes, keys: Mapping[str, DnsAnswer]) -> SignatureVerdict:
    if signature.trouble:
        return _verdict(signature, "permerror", signature.trouble)
    answer = keys.get(signature.key_name, DnsAnswer((), DnsFailure.TIMEOUT))
    match answer.failure:
        case DnsFailure.TIMEOUT | DnsFailure.SERVFAIL:
            return _verdict(signature, "temperror", f"the DNS gave no answer for {signature.key_name}")
        case DnsFailure.NXDOMAIN | DnsFailure.NODATA:
            return _verdict(signature, "permerror", f"no key is published at {signature.key_name}")
        case None:
            pass
    if len(answer.records) != 1:
        return _verdict(signature, "permerror", f"several records at {signature.key_name}")
    if re.search(r"(?:^|;)\s*p\s*=\s*(?:;|$)", answer.records[0]):
        return _verdict(signature, "permerror", f"the key at {signature.key_name} is revoked")
    record = answer.records[0].encode("utf-8", "replace")
    try:
        verifier = _Verifier(content)
        good = verifier.verify(signature.index, dnsfunc=lambda _name, timeout=5: record)
    except dkim.ValidationError as error:
        why = str(error)
        body_changed = why.startswith("body hash mismatch")
        return _verdict(
            signature, "fail" if body_changed else "permerror", "the body was changed" if body_changed else why
        )
    except _WRONG as error:
        return _verdict(signature, "permerror", f"it cannot be checked: {str(error)[:200]}")
    if good and verifier.valid:
        body = len(content) - content.index(b"\r\n\r\n") - 4
        if signature.octets is not None and signature.octets < body:
            # Anybody can have written what follows (RFC 6376 §8.2).
            return _verdict(signature, "neutral", f"only {signature.octets} of the body's {body} octets are signed")
        return _verdict(signature, "pass", f"signed by {signature.domain}, key {signature.selector}")
    if verifier.ktag is None:
        return _verdict(signature, "permerror", f"the record at {signature.key_name} is no usable key")
    return _verdict(signature, "fail", "the signed header fields were changed, or the key is another one")


class _Verifier(dkim.DKIM):  # type: ignore[misc]
    """dkimpy's verifier with Ed25519 by OpenSSL (its own needs another library)."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content, minkey=1024, timeout=5)
        self.valid = True
        self.ktag: bytes | None = None

    def verify_sig(self, sig: Any, include_headers: Any, sig_header: Any, dnsfunc: Any) -> bool:
        record = dnsfunc(b"")
        tags = {m[1]: "".join(m[2].split()) for m in _TAG.finditer(record.decode("ascii", "replace"))}
        if (tags.get("k", "rsa") == "ed25519") != (sig[b"a"] == b"ed25519-sha256"):
            raise dkim.ValidationError("the key and the signature are of different kinds")
        if tags.get("k") != "ed25519":
            return bool(super().verify_sig(sig, include_headers, sig_header, dnsfunc))
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(tags.get("p", ""), validate=True))
        except (ValueError, binascii.Error):
            return False
        self.valid = False
        self.pk, self.keysize, self.ktag, self.seqtlsrpt = _Ed25519(self, key), 256, b"ed25519", False
        return bool(self.verify_sig_process(sig, include_headers, sig_header, dnsfunc))


class _Ed25519:
    """A key in the form dkimpy asks; it notes its result, for dkimpy's own exception is not there to raise."""

    def __init__(self, verifier: _Verifier, key: Ed25519PublicKey) -> None:
        self._verifier = verifier
        self._key = key

    def verify(self, digest: bytes, signature: bytes) -> None:
        try:
            self._key.verify(signature, digest)
        except InvalidSignature:
            return
        self._verifier.valid = True


def _read(index: int, field: bytes) -> Signature:
    text = field.decode("utf-8", "replace")
    if len(field) > MAX_SIGNATURE or field.count(b"\n") > _MAX_FOLDS or re.search(rb"[ \t]{40}", field):
        return Signature(index, "", "", "", relaxed_body=False, trouble="the signature field is too long to be checked")
    tags = {m[1]: "".join(m[2].split()) for m in _TAG.finditer(text)}
    domain, selector = tags.get("d", "").lower(), tags.get("s", "").lower()
    canonicalisation = tags.get("c", "simple/simple").lower()
    algorithm = tags.get("a", "").lower()
    signed = tags.get("l", "")
    octets = int(signed) if signed.isdecimal() and len(signed) <= _LENGTH_DIGITS else None
    trouble = ""
    if not _NAME.fullmatch(domain) or not _NAME.fullmatch(selector):
        domain = selector = ""
        trouble = "its d= or s= is no name"
    elif algorithm not in ("rsa-sha256", "ed25519-sha256"):
        trouble = f"its algorithm {algorithm[:40]!r} is not accepted (RFC 8301 §3.1)"
    relaxed = canonicalisation.endswith("/relaxed")
    return Signature(index, domain, selector, algorithm[:40], relaxed, trouble, octets)


def _verdict(signature: Signature, result: str, why: str) -> SignatureVerdict:
    return SignatureVerdict(result, why, signature.domain, signature.selector, signature.algorithm)


def _canonical_body(body: bytes, *, relaxed: bool) -> bytes:
    """What RFC 6376 §3.4.3–4 makes of a body, by passes that are each linear."""
    if relaxed:
        body = body.replace(b"\t", b" ")
        while b"  " in body:
            body = body.replace(b"  ", b" ")
        body = body.replace(b" \r\n", b"\r\n")
        body = body[:-1] if body.endswith(b" ") else body
    body = body.rstrip(b"\r\n")
    return body + b"\r\n" if body or not relaxed else b""
