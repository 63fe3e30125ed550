"""Exceptions that cross packages. A refusal is a value; an exception here means that something is broken."""

from __future__ import annotations

import os
import ssl


class LeakError(Exception):
    """The root of the relay's own exceptions."""


class ConfigurationError(LeakError):
    """The configuration cannot be used; the text names file, line, key and what is allowed. Exit status 2."""


class SpoolUnavailableError(LeakError):
    """The spool cannot take or give anything just now: the caller answers 4xx or 503 and nothing is lost."""


class SpoolFullError(SpoolUnavailableError):
    """No room on the spool's disk: 452 4.3.1 or HTTP 507."""


class SchemaError(LeakError):
    """The database's schema is newer than this program, or a migration was changed after it ran."""


def cause_of(error: OSError) -> str:
    """Why, in the system's words: asyncio's own name the address again, in a form for programmers."""
    if isinstance(error, ssl.SSLError) or not error.errno or error.errno < 0:
        return error.strerror or str(error)
    return os.strerror(error.errno)
