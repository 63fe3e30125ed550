"""The plans of PostgreSQL's hot statements: by key, whatever the statistics of a moment say."""

from __future__ import annotations

from relay.clock import SystemClock
from relay.database.postgres import PostgresDatabase
from relay.spool import postgres_settling
from relay.spool.postgres import PostgresSpool
from tests.support.postgres_server import PostgresServer

WAITING = 20_000
SETTLED = 200


async def test_a_settlement_asks_for_its_delivery_by_key(postgres_server: PostgresServer) -> None:
    # Analysed while nothing is leased, the index of leased deliveries looks like the shortest way to any of them.
    database = await PostgresDatabase.open(await postgres_server.create())
    spool = PostgresSpool(database, SystemClock())
    try:
        await spool.migrate()
        async with database._link() as link:
            fill = (
                "INSERT INTO delivery (message, n, lane, state, initial, attempts, due)"
                f" SELECT i, 0, i % 1000, 1, 1, 0, 5 FROM generate_series(1, {WAITING}) AS i"
            )
            await link.connection.execute(fill)
            await link.connection.execute("ANALYZE delivery")
            rows = [
                (message, 0, 10, None, 1, 7, 0, False, False, None, None, False, None) for message in range(SETTLED)
            ]
            explained = await link.connection.fetch(
                f"EXPLAIN {postgres_settling._CHANGE}", *map(list, zip(*rows, strict=True))
            )
    finally:
        await spool.close()
    plan = "\n".join(line for (line,) in explained)
    assert "delivery_pkey" in plan
    assert "delivery_leased" not in plan
