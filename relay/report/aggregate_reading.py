"""What aggregate reports say: DMARC's XML (RFC 9990) and TLS's JSON (RFC 8460), as counts. Pure.

The documents are strangers': a DOCTYPE (with it every entity) is refused, depth, rows and text are bounded, and what is
not of the form gives None.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

MAX_ROWS: Final = 50_000
_MAX_BEFORE_DOMAIN: Final = 256 * 1024
"""Octets of a DMARC report in which its domain has to stand: metadata and policy come first (RFC 9990 §3.1)."""
_PIECE: Final = 8 * 1024
_MAX_DEPTH: Final = 20
_MAX_TEXT: Final = 1000
_MAX_COUNT: Final = 10_000_000_000
_LAST_SECOND: Final = 4_102_444_800


@dataclass(frozen=True, slots=True)
class SourceCount:
    """Mail that one address sent with our From: `aligned` passed DMARC by SPF or DKIM."""

    source: str
    aligned: int
    unaligned: int


@dataclass(frozen=True, slots=True)
class DmarcReport:
    """One reporter's view of one domain; `begin` and `end` in seconds since 1970, UTC."""

    domain: str
    reporter: str
    begin: int
    end: int
    sources: tuple[SourceCount, ...]


@dataclass(frozen=True, slots=True)
class TlsReport:
    """Sessions that one reporter opened toward one domain of ours, and how many of them failed."""

    domain: str
    reporter: str
    sessions: int
    failed: int


class _RefusedError(Exception):
    pass


class _Reader:
    """Collects the text of leaves by path, row by row."""

    def __init__(self) -> None:
        self.about: dict[str, str] = {}
        self.rows: list[dict[str, str]] = []
        self._path: list[str] = []
        self._text = ""

    def start(self, name: str, _attributes: object) -> None:
        self._path.append(name.rpartition(":")[2].lower())
        self._text = ""
        if len(self._path) > _MAX_DEPTH or len(self.rows) > MAX_ROWS:
            raise _RefusedError
        if self._path[1:] == ["record"]:
            self.rows.append({})

    def text(self, data: str) -> None:
        if len(self._text) < _MAX_TEXT:
            self._text += data

    def end(self, _name: str) -> None:
        path = "/".join(self._path[1:])
        if path.startswith("record/") and self.rows:
            self.rows[-1].setdefault(path, self._text.strip())
        elif self._text.strip():
            self.about.setdefault(path, self._text.strip())
        self._path.pop()
        self._text = ""


def read_dmarc(content: bytes) -> DmarcReport | None:
    """The DMARC report in `content`, None if it is none."""
    reader, parser = _Reader(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, _RefusedError, ValueError, LookupError):
        return None
    domain = _policy_domain(reader)
    begin, end = (_number(reader.about.get(f"report_metadata/date_range/{edge}", "")) for edge in ("begin", "end"))
    if not domain or not 0 < begin <= end <= _LAST_SECOND:
        return None
    counted: dict[str, list[int]] = {}
    for row in reader.rows:
        passed = any(row.get(f"record/row/policy_evaluated/{way}", "").lower() == "pass" for way in ("dkim", "spf"))
        source = _address(row.get("record/row/source_ip", ""))
        if source:
            counted.setdefault(source, [0, 0])[not passed] += _number(row.get("record/row/count", ""))
    sources = tuple(SourceCount(source, aligned, unaligned) for source, (aligned, unaligned) in counted.items())
    return DmarcReport(domain, reader.about.get("report_metadata/org_name", "")[:100], begin, end, sources)


def domains_named(form: str, content: bytes) -> frozenset[str]:
    """The policy domains that a report ("dmarc" or "tls-rpt") is about; none if it is no report.

    Of a DMARC report no more is read than what stands before its domain: its rows may be ten megabytes.
    """
    if form != "dmarc":
        return frozenset(one.domain for one in read_tls(content))
    reader, parser = _Reader(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        for start in range(0, min(len(content), _MAX_BEFORE_DOMAIN), _PIECE):
            parser.Parse(content[start : start + _PIECE], False)
            if domain := _policy_domain(reader):
                return frozenset((domain,))
    except (expat.ExpatError, _RefusedError, ValueError, LookupError):
        pass
    return frozenset()


def _policy_domain(reader: _Reader) -> str:
    return reader.about.get("policy_published/domain", "").lower().rstrip(".")[:255]


def read_tls(content: bytes) -> tuple[TlsReport, ...]:
    """The TLS report in `content`, a value for each policy domain; none if it is no report."""
    try:
        document = json.loads(content)
        reporter = str(document.get("organization-name", ""))[:100]
        found = []
        for entry in document["policies"][:MAX_ROWS]:
            summary = entry["summary"]
            good = _number(str(summary.get("total-successful-session-count", 0)))
            failed = _number(str(summary.get("total-failure-session-count", 0)))
            domain = str(entry["policy"]["policy-domain"])[:255].lower().rstrip(".")
            found.append(TlsReport(domain, reporter, good + failed, failed))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(found)


def _refuse(*_declared: object) -> None:
    raise _RefusedError


def _number(text: str) -> int:
    return min(int(text), _MAX_COUNT) if text.isascii() and text.isdecimal() and len(text) <= 12 else 0


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
