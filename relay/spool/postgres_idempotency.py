"""Idempotency keys of a batch on PostgreSQL: the first message with a key is written, the others repeat it.

Taking a key waits for another node's transaction that takes the same one, so of a hundred repetitions that arrive
everywhere at once one is accepted and the rest answer with it (R13).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from relay.clock import to_millis
from relay.database.postgres import Transaction
from relay.ids import SpoolId
from relay.spool.accepting import IDEMPOTENCY_MILLIS
from relay.spool.postgres_effects import columns
from relay.spool.work import Idempotency, IdempotencyConflictError, NewMessage, Receipt

_TAKE: Final = """
INSERT INTO idempotency AS stands (tenant, key, digest, message, at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[], $5::bigint[]) ORDER BY 1, 2
ON CONFLICT (tenant, key) DO UPDATE SET digest = excluded.digest, message = excluded.message, at = excluded.at
  WHERE stands.at + $6 <= $7
RETURNING tenant, key
"""

_FIND: Final = """
SELECT i.tenant, i.key, i.digest, m.id, m.seq
FROM unnest($1::bigint[], $2::text[]) AS k(tenant, key) JOIN idempotency i USING (tenant, key)
  JOIN message m ON m.id = i.message
"""

Answer = Receipt | IdempotencyConflictError
_Key = tuple[int, str]


class Keys:
    """The keys of one batch. After `take`, `new` are the messages to write; then `answers` has one for each."""

    def __init__(self, messages: Sequence[NewMessage]) -> None:
        self._messages = messages
        self._first: dict[_Key, tuple[NewMessage, Idempotency]] = {}
        for message in messages:
            if message.idempotency is not None:
                self._first.setdefault((message.tenant, message.idempotency.key), (message, message.idempotency))
        self._earlier: dict[_Key, tuple[bytes, SpoolId, int]] = {}

    async def take(self, transaction: Transaction) -> None:
        """Take what is free (a key whose day is over is), and read what the others stand for."""
        if not self._first:
            return
        rows = [
            (*key, idempotency.digest, message.id, to_millis(idempotency.counted_from(message.accepted_at)))
            for key, (message, idempotency) in self._first.items()
        ]
        now = min(to_millis(message.accepted_at) for message, _ in self._first.values())
        found = await transaction.fetch(_TAKE, *columns(rows, 5), IDEMPOTENCY_MILLIS, now)
        taken = {(tenant, key) for tenant, key in found}
        repeated = [key for key in self._first if key not in taken]
        if repeated:
            for tenant, key, digest, spool_id, seq in await transaction.fetch(_FIND, *columns(repeated, 2)):
                self._earlier[tenant, key] = (digest, SpoolId(spool_id), seq)

    @property
    def new(self) -> list[NewMessage]:
        """The messages without a key, and those that came first with one."""
        return [message for message in self._messages if self._is_new(message)]

    def _is_new(self, message: NewMessage) -> bool:
        if message.idempotency is None:
            return True
        key = (message.tenant, message.idempotency.key)
        return key not in self._earlier and self._first[key][0] is message

    def answers(self, receipts: Mapping[SpoolId, Receipt]) -> list[Answer]:
        """The answer to every message of the batch, given the receipts of the new ones."""
        return [self._answer(message, receipts) for message in self._messages]

    def _answer(self, message: NewMessage, receipts: Mapping[SpoolId, Receipt]) -> Answer:
        if message.id in receipts:
            return receipts[message.id]
        if message.idempotency is None:
            raise KeyError(message.id)
        key = (message.tenant, message.idempotency.key)
        if key in self._earlier:
            digest, spool_id, seq = self._earlier[key]
        else:
            first, idempotency = self._first[key]
            digest, spool_id, seq = idempotency.digest, first.id, receipts[first.id].seq
        if digest != message.idempotency.digest:
            return IdempotencyConflictError()
        return Receipt(spool_id, seq, frozenset(), duplicate=True)
