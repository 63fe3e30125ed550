"""What an error of asyncpg means: the server is away, it has no room, or a statement was wrong."""

from __future__ import annotations

from typing import Final

import asyncpg

from relay.errors import LeakError, SpoolFullError, SpoolUnavailableError

_NO_ROOM: Final = "53100"
_READ_ONLY: Final = "25006"
_AWAY: Final = ("08", "28", "3D", "53", "57", "58", "F0", "XX")
"""Classes of SQLSTATE that blame the server or the way to it: PostgreSQL, appendix A."""

_AWAY_CODES: Final = frozenset({_READ_ONLY, "25P03", "55P03", "40003"})
"""Read-only (a former primary), idle in a transaction for too long, lock not to be had, statement's end unknown."""

_REFUSED_AT_COMMIT: Final = ("23", "40", "42", "53")
"""Classes with which a server answers COMMIT that certainly did not happen."""


def translate(error: BaseException) -> LeakError | None:
    """The error of ours that one of asyncpg's means; None for a mistake in a statement or a value."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        if code == _NO_ROOM:
            return SpoolFullError("no room on the database server's disk")
        if code in _AWAY_CODES or code.startswith(_AWAY):
            return SpoolUnavailableError(f"PostgreSQL: {error}")
        return None
    if isinstance(error, asyncpg.DataError):
        return None
    if isinstance(error, TimeoutError):
        return SpoolUnavailableError("PostgreSQL: no answer in time")
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError):
        return SpoolUnavailableError(f"PostgreSQL: {error}")
    return None


def may_succeed_again(error: BaseException) -> bool:
    """Whether the same transaction may pass when it is run again: it lost a race against another."""
    return isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError | asyncpg.UniqueViolationError)


def certainly_not_committed(error: BaseException) -> bool:
    """Whether the server answered COMMIT with an error that leaves no doubt."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_REFUSED_AT_COMMIT)
