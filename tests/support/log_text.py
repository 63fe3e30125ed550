"""What the log said, whole: pytest's own text has the messages without the facts that stand beside them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

_FORMATTER: Final = logging.Formatter()


def log_text(records: Iterable[logging.LogRecord]) -> str:
    """Every line with its facts, and the tracebacks."""
    return "\n".join(_line(one) for one in records)


def _line(record: logging.LogRecord) -> str:
    traceback = _FORMATTER.formatException(record.exc_info) if record.exc_info else ""
    return f"{record.getMessage()} {getattr(record, 'facts', '')} {traceback}"
