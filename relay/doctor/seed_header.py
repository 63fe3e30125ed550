"""What a receiver wrote above our letter: its authentication results, the TLS it was handed in with, its filter's word.

Pure: the header of a mail in a seed mailbox in, values out. Only the fields above our own signature and Received count:
what stands below came with the letter. Results are read leniently, for two of the largest receivers write no field
that the grammar of RFC 8601 admits (Outlook.com leaves the server's name out, both put `action=` and `;` where none
belongs), and a strict parser would find nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.mail.header import Field, HeaderError, parse_fields

_COMMENT: Final = re.compile(r"\([^()]*\)")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_RESULT: Final = re.compile(r"(?:^|[;\s])(spf|dkim|dmarc)\s*=\s*([a-z]{2,12})\b", re.IGNORECASE)
_WITH: Final = re.compile(r"\bwith\s+((?:UTF8)?(?:E?SMTP|LMTP)S?A?)\b", re.IGNORECASE)
_VERSION: Final = re.compile(r"\bTLS\s?v?(1)(?:[._](\d))?", re.IGNORECASE)
_FILTER_FIELDS: Final = frozenset(
    {b"x-spam-status", b"x-spamd-result", b"x-forefront-antispam-report", b"x-rspamd-action"}
)
_MOST: Final = 120


@dataclass(frozen=True, slots=True)
class Told:
    """What the receiver told. Results "" = not told; `tls` as in "TLS 1.3", "yes" of no known version, "no", or ""."""

    spf: str = ""
    dkim: str = ""
    dmarc: str = ""
    tls: str = ""
    filter: str = ""
    """The beginning of what its filter says, in its own words."""


def read_header(header: bytes, own_names: Iterable[str]) -> Told:
    """What stands above the letter as it left. `own_names` are the EHLO names of ours, in lower case."""
    try:
        fields = parse_fields(re.sub(rb"\r?\n", b"\r\n", header.rstrip(b"\r\n")) + b"\r\n")
    except HeaderError:
        return Told()
    names = frozenset(own_names)
    theirs = _above_ours(fields, names)
    spf, dkim, dmarc = (results(theirs).get(method, "") for method in ("spf", "dkim", "dmarc"))
    return Told(spf, dkim, dmarc, _tls(theirs, names), _filter(theirs))


def results(fields: Sequence[Field]) -> dict[str, str]:
    """The results by method, of the topmost field that has any; one DKIM signature that passes is enough."""
    found: dict[str, str] = {}
    for field in fields:
        if field.key != b"authentication-results":
            continue
        here: dict[str, str] = {}
        for method, result in _RESULT.findall(_bare(_text(field))):
            if here.get(method.lower()) != "pass":
                here[method.lower()] = result.lower()
        for method, result in here.items():
            found.setdefault(method, result)
    return found


def _bare(text: str) -> str:
    """Without quoted strings and comments, nested ones too: whatever they say is no result."""
    text, before = _QUOTED.sub(" ", text), ""
    while text != before:
        text, before = _COMMENT.sub(" ", text), text
    return text


def _above_ours(fields: Sequence[Field], names: frozenset[str]) -> Sequence[Field]:
    """The fields down to our own: the lowest Received that names us as the client is the last of theirs."""
    last = max((n for n, field in enumerate(fields) if _is_ours_coming_in(field, names)), default=None)
    if last is not None:
        signed = next((n for n in range(last + 1, len(fields)) if fields[n].key in _OURS), len(fields))
        return fields[:signed]
    return fields[: next((n for n, field in enumerate(fields) if field.key == b"dkim-signature"), len(fields))]


_OURS: Final = frozenset({b"dkim-signature", b"received", b"message-id", b"from"})


def _is_ours_coming_in(field: Field, names: frozenset[str]) -> bool:
    if field.key != b"received":
        return False
    words = _text(field).lower().replace("(", " ").replace(")", " ").replace("[", " ").split()
    return words[:1] == ["from"] and not names.isdisjoint(word.strip("]=,;.") for word in words[1:8])


def _tls(fields: Sequence[Field], names: frozenset[str]) -> str:
    """Of the hop that took it from us. The protocol word ends in S inside TLS (RFC 3848)."""
    hop = next((_text(field) for field in reversed(fields) if _is_ours_coming_in(field, names)), "")
    with_word = _WITH.search(_COMMENT.sub(" ", hop)) or _WITH.search(hop)
    version = _VERSION.search(hop)
    if version is not None:
        return f"TLS {version[1]}.{version[2] or '0'}"
    if with_word is None:
        return ""
    return "yes" if with_word[1].upper().removesuffix("A").endswith("PS") else "no"


def _filter(fields: Sequence[Field]) -> str:
    for field in fields:
        if field.key in _FILTER_FIELDS:
            return " ".join(f"{field.name.decode('ascii', 'replace')}: {_text(field)}".split())[:_MOST]
    return ""


def _text(field: Field) -> str:
    return field.value.decode("utf-8", "replace").replace("\t", " ")
