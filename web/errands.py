"""What a recipient asks of the relay, kept until the relay has it: nobody's no is lost because a machine is away.

Beside the pages. In one process with the relay nothing is ever kept here; with a relay elsewhere an errand stands in a
table of the front, no letter leaves for its mailbox meanwhile, and the courier's rounds run it when the relay is back.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from functools import partial
from typing import Any, Final, assert_never

from relay.client.contract import RelayAwayError, RelayClient
from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.mailbox import MailboxHasher
from web.refusals import refuses_mail

_ASK_TIMEOUT: Final = 6.0
_RUN_TIMEOUT: Final = 30.0
_BATCH: Final = 50
_FAILURES: Final = 3
_NEXT: Final = """
SELECT at, kind, address FROM web_errand
WHERE (at, kind, address) > (?, ?, ?) AND at <= ? ORDER BY at, kind, address LIMIT ?
"""
MOST_KEPT: Final = 10_000
"""Tokens of links kept at most: only the relay knows which of them are good."""

_log = Log("front")


class Errand(StrEnum):
    """What is asked; the values stand in the database."""

    REFUSE = "refuse"
    """Never again."""
    ERASE = "erase"
    """Delete what you hold about me."""
    OPT_OUT = "opt-out"
    """The one-click link of a mail, named by its token in the place of an address."""


class Errands:
    """Runs them at once if the relay is there. SpoolUnavailableError: they can be neither done nor kept."""

    def __init__(self, relay: RelayClient, database: Database, mailboxes: MailboxHasher, clock: Clock) -> None:
        self._relay = relay
        self._database = database
        self._mailboxes = mailboxes
        self._clock = clock

    async def opt_out(self, token: str) -> bool:
        """Follow a one-click link; True as well if that was kept to be done. Who posts nonsense fills no table."""
        sql = "SELECT 1 FROM web_errand WHERE kind = ? LIMIT 1 OFFSET ?"
        if await self._rows(sql, (Errand.OPT_OUT.value, MOST_KEPT - 1)):
            return await self._run(Errand.OPT_OUT, token)
        return await self.do(Errand.OPT_OUT, token)

    async def do(self, errand: Errand, address: str) -> bool:
        """Done, or kept to be done; False for what is no address."""
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return await self._run(errand, address)
        except (RelayAwayError, TimeoutError):
            bindings = (errand.value, address, self._mailboxes.of(address), to_millis(self._clock.now()))
        sql = "INSERT INTO web_errand (kind, address, mailbox, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.write(lambda connection: list(connection.execute(sql, bindings)))
        _log.info("errand-kept", errand=errand.value)
        return True

    async def refuses(self, address: str) -> bool | None:
        """Whether no letter may go to this address; None if the relay alone knows, and it is away."""
        waits = await self.waits(address)
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return await refuses_mail(self._relay, address) or waits
        except (RelayAwayError, TimeoutError):
            return waits or None

    async def waits(self, address: str) -> bool:
        """Whether a refusal of this mailbox has yet to reach the relay."""
        hashes = self._mailboxes.all_of(address)
        marks = ", ".join("?" * len(hashes))
        sql = f"SELECT 1 FROM web_errand WHERE kind = ? AND mailbox IN ({marks})"  # noqa: S608 - marks
        return bool(await self._rows(sql, (Errand.REFUSE.value, *hashes)))

    async def run(self) -> None:
        """Do all that was kept, oldest first: letters leave after it, and each of these may be about one of them.

        SpoolUnavailableError, TimeoutError: what could not be done stays for the next round. One that fails keeps up no
        other; after a few in a row the relay is away.
        """
        last: tuple[int, str, str] = (-1, "", "")
        begun = to_millis(self._clock.now())  # what comes in meanwhile is the next round's: this one ends
        failure: Exception | None = None
        in_a_row = 0
        while rows := await self._rows(_NEXT, (*last, begun, _BATCH)):
            for at, kind, address in rows:
                last = (at, kind, address)
                try:
                    async with asyncio.timeout(_RUN_TIMEOUT):
                        await self._run(Errand(kind), address)
                except (SpoolUnavailableError, TimeoutError) as error:
                    failure, in_a_row = error, in_a_row + 1
                    if in_a_row == _FAILURES:
                        raise
                    continue
                in_a_row = 0
                await self._database.write(partial(_forget, kind, address))
                _log.info("errand-done", errand=kind)
        if failure is not None:
            raise failure

    async def _run(self, errand: Errand, address: str) -> bool:
        match errand:
            case Errand.REFUSE:
                return await self._relay.suppress(address)
            case Errand.ERASE:
                await self._relay.erase(address)
                return True
            case Errand.OPT_OUT:
                return await self._relay.opt_out(address)
            case _:
                assert_never(errand)

    async def _rows(self, sql: str, bindings: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        def work(connection: Connection) -> list[tuple[Any, ...]]:
            return list(connection.execute(sql, bindings))

        return await self._database.read(work)


def _forget(kind: str, address: str, connection: Connection) -> None:
    list(connection.execute("DELETE FROM web_errand WHERE kind = ? AND address = ?", (kind, address)))
