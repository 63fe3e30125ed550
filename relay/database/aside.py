"""A database for long questions: what people look at is read beside the reads of those who accept and deliver mail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from relay.database.contract import Connection, Database

T = TypeVar("T")


class Reader(Protocol):
    """Runs reads one after the other, apart from the database's own."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one snapshot."""
        ...

    async def close(self) -> None:
        """Let go of what it reads with."""
        ...


class Aside:
    """Reads with a reader of its own; all else is the database's."""

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database = database
        self._reader = reader

    @property
    def dialect(self) -> str:
        return self._database.dialect

    async def write(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        return await self._database.write(work, patience)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._reader.run(work)

    def aside(self) -> Database:
        return self

    async def migrate(self, component: str, folder: Path) -> list[str]:
        return await self._database.migrate(component, folder)

    async def cut_log(self) -> bool:
        return await self._database.cut_log()

    async def close(self) -> None:
        """Let go of the reader alone."""
        await self._reader.close()
