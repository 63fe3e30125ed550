"""The From addresses that mail was sent with: mail to one of them is a person's reply, and is taken."""

from __future__ import annotations

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of


class SenderAddresses:
    """Over the spool's database, after its migrations; case does not count."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, address: str) -> None:
        """Mail was sent with this From address."""
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO sender_address (address, at) VALUES (?, ?) ON CONFLICT DO NOTHING", (address.lower(), now)
            )

        await self._database.write(work)

    async def has(self, address: str) -> bool:
        """Whether mail was sent with this From address."""
        query = "SELECT 1 FROM sender_address WHERE address = ?"
        return bool(await rows_of(self._database, query, (address.lower(),)))
