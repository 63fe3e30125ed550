"""Logs: one line an event, JSON or text, each with its `action`; secrets and local parts are redacted here.

What goes on the wire is bland, what goes to the log is full: replies, hosts, durations, the reason. Line
breaks, escape sequences and bidi controls of remote text never reach a terminal (S46).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

MAX_FACT: Final = 600
"""Characters of one fact; a far side's reply may be long, and is kept whole in the attempt."""

MAX_TRACEBACK: Final = 8000

_LOCAL_PART_REVERSED = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u00a0-\U0010ffff]+")
_DOMAIN_BEGINS = re.compile(r"[A-Za-z0-9\[\u00a0-\U0010ffff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
_SECRET = re.compile(
    r"(?i)((?:proxy-)?authorization[\"'=: ]+(?:bearer|basic|plain|login)?|bearer|password|api[_-]?key|token"
    r"|auth (?:plain|login))"
    r"([\"'=: ]+)(\S+)"
)
_KEY_OR_LINK = re.compile(
    r"\bleak_[0-9a-z]{6,}|(?<=/s/)[^\s\"'?]+"
    # A host that dislikes a mail may quote its links: whoever holds one acts for its recipient.
    r"|(?:(?<=/r/)|(?<=/u/)|(?<=/read/)|(?<=/notice/)|(?<=/confirm/)|(?<=/leave/))[A-Za-z0-9_\-]{16,}"
)


def redact(text: str, most: int = MAX_FACT) -> str:
    """`text` fit for a log line: cut to `most` characters, secrets and local parts masked, controls replaced.

    Linear in the length of the text, whatever a far side wrote into it.
    """
    if len(text) > most:
        text = f"{text[:most]}… ({len(text)} characters)"
    if "@" in text:
        text = _mask_local_parts(text)
    text = _KEY_OR_LINK.sub("…", text)
    text = _SECRET.sub(r"\1\2…", text)
    return _CONTROL.sub("\N{SYMBOL FOR SUBSTITUTE}", text)


def _mask_local_parts(text: str) -> str:
    """Replace what stands before each "@" of an address. Read backwards: forwards it would be quadratic."""
    head, *domains = text.split("@")
    masked = [head]
    for domain in domains:
        if _DOMAIN_BEGINS.match(domain):
            found = _LOCAL_PART_REVERSED.match(masked[-1][::-1])
            if found:
                masked[-1] = masked[-1][: -found.end()] + "…"
        masked.append(domain)
    return "@".join(masked)


class Log:
    """A logger of one part; `action` names what happened, the rest are its facts."""

    def __init__(self, part: str) -> None:
        self._logger = logging.getLogger(f"leak.{part}")

    def debug(self, action: str, /, **facts: Any) -> None:
        """Details for whoever follows one message."""
        self._write(logging.DEBUG, action, facts)

    def info(self, action: str, /, **facts: Any) -> None:
        """Something happened as it should."""
        self._write(logging.INFO, action, facts)

    def warning(self, action: str, /, **facts: Any) -> None:
        """Something is off and the relay goes on."""
        self._write(logging.WARNING, action, facts)

    def error(self, action: str, /, **facts: Any) -> None:
        """Something is broken and a person should look."""
        self._write(logging.ERROR, action, facts)

    def exception(self, action: str, /, **facts: Any) -> None:
        """Like `error`, with the exception being handled."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._logger.error(action, extra={"facts": facts}, exc_info=sys.exc_info())

    def _write(self, level: int, action: str, facts: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, action, extra={"facts": facts})


class _Formatter(logging.Formatter):
    def __init__(self, style: Literal["json", "text"]) -> None:
        super().__init__()
        self._json = style == "json"

    def format(self, record: logging.LogRecord) -> str:
        facts = {key: _plain(value) for key, value in getattr(record, "facts", {}).items()}
        if record.exc_info:
            facts["exception"] = redact(self.formatException(record.exc_info).replace("\n", " | "), MAX_TRACEBACK)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        part = record.name.removeprefix("leak.")
        action = redact(record.getMessage())
        if self._json:
            line = {"at": at, "level": record.levelname.lower(), "part": part, "action": action, **facts}
            return json.dumps(line, ensure_ascii=False, default=str)
        details = " ".join(f"{key}={_word(value)}" for key, value in facts.items())
        return f"{at[11:23]} {record.levelname.lower():7} {part}: {action} {details}".rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return value if isinstance(value, int | float | bool | None) else redact(str(value))


def _word(value: Any) -> str:
    """A fact on a line of text: in quotes where one could not see where it ends."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(sign in text for sign in ' ="') else text


def configure_logging(level: str, style: Literal["json", "text"], stream: TextIO | None = None) -> None:
    """Send every line, the libraries' too, to `stream` (standard error by default) in one format."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(style))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("leak").setLevel(level.upper())
    # aiosmtpd logs each login as a warning, with the peer in it; ours says what is needed.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
