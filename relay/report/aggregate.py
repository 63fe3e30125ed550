"""Aggregate reports: DMARC (RFC 9990) and TLS (RFC 8460), recognised and unpacked within limits (M08, S30).

The payload is a stranger's compressed file: one layer, at most ten entries of an archive of which the first fit
one counts, at most 10 MiB out and no path of it ever used. What exceeds that is recognised and stays packed.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Final

from relay.report.mime import Part
from relay.report.result import Document
from relay.report.signs import Signs

MAX_PACKED: Final = 10 * 1024 * 1024
MAX_UNPACKED: Final = 10 * 1024 * 1024
MAX_ENTRIES: Final = 10
_BOUNDED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""How an entry may be packed: `zipfile` unpacks bzip2 and LZMA without a bound, whatever it is asked for."""

_DMARC_NAME = re.compile(
    r"[^!\s]{1,255}!([^!\s]{1,255})!\d{6,13}!\d{6,13}(?:![^!\s]{1,100})?\.(?:xml|zip|gz)", re.IGNORECASE
)
_TLS_NAME = re.compile(r"[^!\s]{1,255}!([^!\s]{1,255})!\d{6,13}!\d{6,13}(?:![^!\s]{1,100})?\.json", re.IGNORECASE)
_DMARC_SUBJECT = re.compile(r"report[ -]domain: ?([^\s;,]{1,255})[\s;,]+submitter:")
_PACKED_KINDS: Final = frozenset(
    {
        "application/gzip",
        "application/x-gzip",
        "application/zip",
        "application/x-zip-compressed",
        "application/x-zip",
        "application/xml",
        "text/xml",
        "application/octet-stream",
        "application/tlsrpt+gzip",
        "application/tlsrpt+json",
        "application/gzip-compressed",
    }
)


def read_document(message: Part, signs: Signs) -> Document | None:
    """The aggregate report in `message`, or None."""
    asked = message.parameters.get("report-type", "").lower() == "tlsrpt" or message.first("tls-report-domain")
    domain = message.first("tls-report-domain").strip().lower()
    subject = _DMARC_SUBJECT.search(signs.subject)
    for part in message.near():
        if part.children or part.kind not in _PACKED_KINDS:
            continue
        name = part.file_name
        dmarc = _DMARC_NAME.search(name)
        tls = _TLS_NAME.search(name)
        if part.kind.startswith("application/tlsrpt") or asked or (tls and not dmarc):
            return Document("tls-rpt", domain or (tls[1].lower() if tls else ""), unpack(part.data))
        if dmarc or subject:
            content = unpack(part.data)
            if dmarc or b"<feedback" in content[:2000]:
                return Document("dmarc", (dmarc or subject or [""] * 2)[1].lower(), content)
    return None


def unpack(data: bytes) -> bytes:
    """The first file in `data` if it is gzip or zip, else `data`; b"" above the limits or for broken data."""
    if len(data) > MAX_PACKED:
        return b""
    if data.startswith(b"\x1f\x8b"):
        return _inflate(data, zlib.MAX_WBITS | 16)
    if data.startswith(b"PK"):
        return _unzip(data)
    return data


def _inflate(data: bytes, window: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(data, MAX_UNPACKED + 1)
    except zlib.error:
        return b""
    return content if len(content) <= MAX_UNPACKED else b""


def _unzip(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if not 1 <= len(entries) <= MAX_ENTRIES:
                return b""
            fit = next((one for one in entries if one.filename.lower().endswith((".xml", ".json"))), entries[0])
            if fit.compress_type not in _BOUNDED:
                return b""
            with archive.open(fit) as entry:
                content = entry.read(MAX_UNPACKED + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError):
        # RuntimeError: it is encrypted.
        return b""
    return content if len(content) <= MAX_UNPACKED else b""
