"""What a recipient asks of the relay, kept until the relay has it: nobody's no is lost because a machine is away.

Beside the pages. In one process with the relay nothing is ever kept here; with a relay elsewhere an errand stands in a
table of the front, no letter leaves for its mailbox meanwhile, and the courier's rounds run it when the relay is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, assert_never

from relay.client.contract import Followed, RelayAwayError, RelayClient
from relay.clock import Clock, to_millis
from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.errand_table import BEFORE_ALL, Errand, ErrandTable, Question
from web.limit_keys import LimitKeys, Period
from web.refusals import refuses_mail

_ASK_TIMEOUT: Final = 6.0
_RUN_TIMEOUT: Final = 30.0
_BATCH: Final = 50
_FAILURES: Final = 3

_log = Log("front")


class Errands:
    """Runs them at once if the relay is there. SpoolUnavailableError: they can be neither done nor kept."""

    def __init__(self, relay: RelayClient, table: ErrandTable, keys: LimitKeys, clock: Clock) -> None:
        self._relay = relay
        self._table = table
        self._keys = keys
        self._clock = clock
        self._unreadable = False

    async def opt_out(self, token: str, network: bytes) -> Followed:
        """Follow a one-click link that `network` posted; DONE as well if that was kept to be done.

        Who posts nonsense fills no table, and keeps nobody else's link out.
        """
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return Followed.DONE if await self._run(Errand.OPT_OUT, token) else Followed.UNKNOWN
        except (RelayAwayError, TimeoutError):
            kept = await self._table.keep_link(token, self._keys.hashes(Period.DAY, b"link\0" + network))
        if kept is Followed.DONE:
            _log.info("errand-kept", errand=Errand.OPT_OUT.value)
        else:
            _log.warning("link-not-kept", why=kept.value, remedy="a limit of requests to /u/ at the proxy")
        return kept

    async def do(self, errand: Errand, address: str) -> bool:
        """Done, or kept to be done; False for what is no address."""
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return await self._run(errand, address)
        except (RelayAwayError, TimeoutError):
            await self._table.keep(errand, address)
        _log.info("errand-kept", errand=errand.value)
        return True

    async def refuses(self, address: str) -> bool | None:
        """Whether no letter may go to this address; None if the relay alone knows, and it is away."""
        (answer,) = await self.refuse([address])
        return answer

    async def refuse(self, addresses: Sequence[str]) -> list[bool | None]:
        """The same of several, all of them asked at once."""
        waits = await self._table.waits(addresses)
        return await asyncio.gather(*(self._refused(*one) for one in zip(addresses, waits, strict=True)))

    async def _refused(self, address: str, waits: bool) -> bool | None:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return await refuses_mail(self._relay, address) or waits
        except (RelayAwayError, TimeoutError):
            return waits or None

    async def waits(self, address: str) -> bool:
        """Whether a refusal of this mailbox has yet to reach the relay."""
        (answer,) = await self._table.waits([address])
        return answer

    def question(self, address: str) -> Question:
        """The same, for who reads more than that at a time."""
        return self._table.question(address)

    async def run(self) -> None:
        """Do all that was kept, oldest first: letters leave after it, and each of these may be about one of them.

        SpoolUnavailableError, TimeoutError: what could not be done stays for the next round. One that fails keeps up no
        other; after a few in a row the relay is away.
        """
        await self._table.adopt()
        last = BEFORE_ALL
        begun = to_millis(self._clock.now())  # what comes in meanwhile is the next round's: this one ends
        failure: Exception | None = None
        in_a_row = 0
        while rows := await self._table.next(last, begun, _BATCH):
            for last in rows:
                about = self._table.about(last)
                if about is None:
                    self._tell_unreadable(last.errand)
                    continue
                try:
                    async with asyncio.timeout(_RUN_TIMEOUT):
                        await self._run(last.errand, about)
                except (SpoolUnavailableError, TimeoutError) as error:
                    failure, in_a_row = error, in_a_row + 1
                    if in_a_row == _FAILURES:
                        raise
                    continue
                in_a_row = 0
                await self._table.forget(last)
                _log.info("errand-done", errand=last.errand.value)
        if failure is not None:
            raise failure

    def _tell_unreadable(self, errand: Errand) -> None:
        """Once a life: it is met again in every round."""
        if not self._unreadable:
            self._unreadable = True
            _log.error("errand-unreadable", errand=errand.value, remedy="bring back the link key it was sealed under")

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
