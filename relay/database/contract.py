"""What a database gives its users: units of work in durable transactions, reads, and migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Connection(Protocol):
    """A connection inside a transaction, in a thread of the database's own; never kept by the caller.

    What accounts, letters and views say to it is SQL that every database knows.
    """

    def execute(self, sql: str, bindings: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one statement with `?` placeholders; rows as tuples."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Any:
        """Run one statement for each row of bindings."""
        ...

    def last_insert_rowid(self) -> int:
        """The row id of the last insert."""
        ...

    def changes(self) -> int:
        """How many rows the last statement changed."""
        ...


class Database(Protocol):
    """A database. Raises SpoolUnavailableError or SpoolFullError when it cannot be used just now."""

    @property
    def dialect(self) -> str:
        """The folder of `sql/` in which its migrations stand: "sqlite" or "postgres"."""
        ...

    async def write(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        """Run `work` in a transaction that is committed with an fsync before this returns.

        Work of several callers may share one commit; an exception in `work` undoes that work alone and
        is raised here. Until a transaction takes it, cancelling or `patience` seconds take it out of the queue.
        """
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a read-only connection, in one snapshot."""
        ...

    def aside(self) -> Database:
        """The same database for long questions: its reads run beside all others and hold none of them up.

        Closed by itself, before this one.
        """
        ...

    async def migrate(self, component: str, folder: Path) -> list[str]:
        """Apply the numbered `NNNN_name.sql` files of `folder` that were not yet; the names applied.

        Raises SchemaError if the database has a newer one than the folder, or one that differs.
        """
        ...

    async def cut_log(self) -> bool:
        """Leave nothing in a log of the database's own that was deleted from it; False if it is in use just now.

        A server's log is the server's: nothing is done there.
        """
        ...

    async def close(self) -> None:
        """Finish the work that was handed in and close."""
        ...
