"""A database that a test can take away, or fill: calls then fail as those do whose disk or server is gone, or full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from relay.database.contract import Connection, Database
from relay.errors import SpoolFullError, SpoolUnavailableError

T = TypeVar("T")


class SwitchedDatabase:
    """Passes everything on to a real database while `away` is False; what writes, while `full` is. Counts both."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = False
        self.full = False
        self.reads = self.writes = 0

    damage = ""
    failure: SpoolUnavailableError | None = None

    @property
    def dialect(self) -> str:
        """As the contract says."""
        return self._database.dialect

    async def write(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        """As the contract says."""
        if self.full:
            raise SpoolFullError("filled by a test")
        self.writes += 1
        return await self._here().write(work, patience)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """As the contract says."""
        self.reads += 1
        return await self._here().read(work)

    async def migrate(self, component: str, folder: Path) -> list[str]:
        """As the contract says."""
        return await self._here().migrate(component, folder)

    def aside(self) -> Database:
        """As the contract says."""
        return self._here().aside()

    def free_bytes(self) -> int:
        """Plenty, while the database is there."""
        self._here()
        return 1 << 40

    async def cut_log(self) -> bool:
        """As the contract says."""
        return await self._here().cut_log()

    async def close(self) -> None:
        """As the contract says."""
        await self._database.close()

    def _here(self) -> Database:
        if self.away:
            raise SpoolUnavailableError("taken away by a test")
        return self._database
