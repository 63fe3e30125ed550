"""Lists of refusals in the forms people have them: our CSV, Mandrill's and Amazon SES's, CSV or JSON. Pure.

Reading never stops at a bad line: it is told with its number, and the others are read. Writing keeps spreadsheets
from obeying an address (CWE-1236): a cell that begins like a formula gets an apostrophe, which reading takes off.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, assert_never

from relay.mail.address import Address, AddressError, parse_address
from relay.policy.suppress import Reason
from relay.suppression.contract import Standing

COLUMNS: Final = ("address", "reason", "tenant", "stream", "created_at", "until", "detail")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_MANDRILL: Final = {
    "hard-bounce": Reason.HARD_BOUNCE,
    "soft-bounce": Reason.SOFT_BOUNCE,
    "spam": Reason.COMPLAINT,
    "unsub": Reason.OPT_OUT,
    "custom": Reason.MANUAL,
}
_TO_MANDRILL: Final = {reason: word for word, reason in _MANDRILL.items()}
_SES: Final = {"BOUNCE": Reason.HARD_BOUNCE, "COMPLAINT": Reason.COMPLAINT}
_MOST_COMPLAINTS: Final = 1000


class Form(StrEnum):
    """Whose form a list has."""

    CSV = "csv"
    MANDRILL = "mandrill"
    SES = "ses"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list, whatever its form."""

    address: Address
    reason: Reason
    stream: str = ""
    detail: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Readout:
    """What a list holds, and what of it could not be read, as "line N: why"."""

    form: Form
    entries: tuple[Entry, ...]
    complaints: tuple[str, ...]


def read_list(text: str, form: Form | None = None) -> Readout:
    """Read a list; without `form` it is told by its looks. ValueError when the text is nothing of the kind."""
    text = text.lstrip("\ufeff")
    rows, seen = _rows(text)
    entries: list[Entry] = []
    complaints: list[str] = []
    for number, row in rows:
        try:
            entries.append(_entry(row, form or seen))
        except ValueError as error:
            if len(complaints) < _MOST_COMPLAINTS:
                complaints.append(f"line {number}: {error}")
    return Readout(form or seen, tuple(entries), tuple(complaints))


def _rows(text: str) -> tuple[Iterator[tuple[int, Mapping[str, str]]], Form]:
    """The rows with their numbers, names in lower case, and the form they look like."""
    head = text.lstrip()[:1]
    if head == "[":
        return _of_json(_loaded(text)), Form.MANDRILL
    if head == "{":
        return _of_json(_ses_documents(text)), Form.SES
    lines = _of_csv(text)
    if not lines:
        raise ValueError("the list is empty")
    names = [cell.strip().lower().replace(" ", "_") for cell in lines[0][1]]
    if any("@" in cell for cell in names):
        ses = any(len(line) > 1 and line[1].strip().upper() in _SES for _, line in lines)
        return iter([(n, dict(zip(("address", "reason"), line, strict=False))) for n, line in lines]), (
            Form.SES if ses else Form.CSV
        )
    if not {"address", "email", "email_address", "emailaddress"} & set(names):
        raise ValueError('no column is called "address" or "email"')
    form = Form.CSV if "address" in names else Form.MANDRILL if "email" in names else Form.SES
    return iter([(n, dict(zip(names, line, strict=False))) for n, line in lines[1:]]), form


def _of_csv(text: str) -> list[tuple[int, list[str]]]:
    """The lines that hold anything, with their numbers; spreadsheets put semicolons or tabs where commas are meant."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text.replace("\0", "")), delimiter=delimiter)
    lines: list[tuple[int, list[str]]] = []
    try:
        lines.extend((reader.line_num, line) for line in reader if any(cell.strip() for cell in line))
    except csv.Error as error:  # a quote that never ends makes one cell of the rest
        raise ValueError(f"line {reader.line_num}: this is not CSV: {error}") from None
    return lines


def decode_list(content: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 as spreadsheets call "Unicode". ValueError for any other."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8 or UTF-16: octet {error.start + 1}") from None


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"this is not JSON: {error}") from None


def _ses_documents(text: str) -> list[Any]:
    """SES's answer to list-suppressed-destinations, or one JSON object a line as its bulk import takes."""
    try:
        whole = _loaded(text)
    except ValueError:
        return [_loaded(line) for line in text.splitlines() if line.strip()]
    summaries = whole.get("SuppressedDestinationSummaries")
    return summaries if isinstance(summaries, list) else [whole]


def _of_json(documents: Any) -> Iterator[tuple[int, Mapping[str, str]]]:
    if not isinstance(documents, list):
        raise ValueError("the JSON is no list")
    for number, document in enumerate(documents, start=1):
        if isinstance(document, dict):
            yield number, {str(key).lower(): "" if value is None else str(value) for key, value in document.items()}
        else:
            yield number, {}


def _entry(row: Mapping[str, str], form: Form) -> Entry:
    text = next((row[name] for name in ("address", "email", "email_address", "emailaddress") if row.get(name)), "")
    try:
        address = parse_address(_bare(text))
    except AddressError as error:
        raise ValueError(f"the address is none: {error}") from None
    word = row.get("reason", "").strip()
    match form:
        case Form.CSV:
            reason = _reason(word)
        case Form.MANDRILL:
            reason = _MANDRILL.get(word, Reason.MANUAL)
        case Form.SES:
            reason = _SES.get(word.upper(), Reason.MANUAL)
        case _:
            assert_never(form)
    until = _moment(row.get("until") or row.get("expires_at") or "")
    return Entry(address, reason, _bare(row.get("stream", "")), _bare(row.get("detail", "")), until)


def _reason(word: str) -> Reason:
    if not word:
        return Reason.MANUAL
    try:
        return Reason(word.lower().replace("_", "-"))
    except ValueError:
        raise ValueError(f"the reason must be one of {', '.join(Reason)}") from None


def _bare(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell


def _moment(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("the end is no date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def write_list(rows: Iterable[Standing], form: Form, now: datetime) -> str:
    """The rows in a form; those whose address was erased cannot be written and are left out."""
    known = [row for row in rows if row.address is not None]
    match form:
        case Form.CSV:
            return _csv(known)
        case Form.MANDRILL:
            shown = [row for row in known if row.reason in _TO_MANDRILL]
            return json.dumps([_mandrill(row, now) for row in shown], indent=1) + "\n"
        case Form.SES:
            stopped = [row for row in known if row.reason is not Reason.ALLOWED and row.in_force(now)]
            return json.dumps({"SuppressedDestinationSummaries": [_ses(row) for row in stopped]}, indent=1) + "\n"
        case _:
            assert_never(form)


def _csv(rows: Sequence[Standing]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        until = "" if row.until is None else row.until.isoformat(timespec="seconds")
        created = row.created_at.isoformat(timespec="seconds")
        cells = (row.address or "", row.reason.value, row.tenant, row.stream, created, until, row.detail)
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return out.getvalue()


def _mandrill(row: Standing, now: datetime) -> dict[str, Any]:
    return {
        "email": row.address,
        "reason": _TO_MANDRILL[row.reason],
        "detail": row.detail,
        "created_at": f"{row.created_at:%Y-%m-%d %H:%M:%S}",
        "last_event_at": f"{row.last_at:%Y-%m-%d %H:%M:%S}",
        "expires_at": None if row.until is None else f"{row.until:%Y-%m-%d %H:%M:%S}",
        "expired": not row.in_force(now),
        "subaccount": row.tenant or None,
    }


def _ses(row: Standing) -> dict[str, Any]:
    word = "COMPLAINT" if row.reason.of_the_recipient else "BOUNCE"
    return {"EmailAddress": row.address, "Reason": word, "LastUpdateTime": row.last_at.isoformat(timespec="seconds")}
