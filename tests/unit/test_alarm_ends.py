"""The ends of alarms whose story elsewhere tells only how they begin."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from relay.database.sqlite import SqliteDatabase
from relay.engine.alarms import Alarms
from relay.examination import Examination
from relay.ids import SeededEntropy
from relay.lab_node import equip
from relay.policy.alarms import AlarmKind
from relay.signing.keys import key_path
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
from relay.spool.sqlite import SqliteSpool
from tests.support.feed_bench import FeedBench
from tests.support.hand_clock import HandClock
from tests.support.whole_relay import WholeRelay, relay_against, relay_settings, running_lab

DOMAIN = "leak.lab.test"


async def test_a_spool_that_is_found_sound_is_damaged_no_more(tmp_path: Path) -> None:
    clock = HandClock()
    database = await SqliteDatabase.open(tmp_path / "spool.db")
    spool = SqliteSpool(database, clock)
    await spool.migrate()
    alarms = Alarms(spool, clock)
    await alarms.start(AlarmKind.DAMAGED_SPOOL, str(database.path), "page 7")
    examination = Examination(database, alarms)
    examination.start()
    async with asyncio.timeout(60):
        while await spool.alarms():
            await asyncio.sleep(0.01)
    await examination.stop()
    await spool.close()


async def test_what_was_decided_about_torn_content_ends_its_alarm(tmp_path: Path) -> None:
    clock: Any = HandClock()
    database = await SqliteDatabase.open(tmp_path / "spool.db")
    spool = SqliteSpool(database, clock)
    await spool.migrate()
    receipt = await FeedBench([spool], [database], SeededEntropy(1), clock).accept("bob@far.example")
    await spool.ask(Verb.HOLD, QueueFilter(message=receipt.id), "torn", timedelta())
    await spool.raise_alarm(AlarmKind.TORN_CONTENT, receipt.id, "torn")
    await spool.raise_alarm(AlarmKind.TORN_CONTENT, "another", "torn")
    await spool.ask(Verb.BOUNCE, QueueFilter(message=receipt.id), "looked at", timedelta())
    assert [alarm.subject for alarm in await spool.alarms()] == ["another"]
    await spool.close()


async def test_what_was_said_of_an_alarm_that_others_ended_is_forgotten(tmp_path: Path) -> None:
    clock = HandClock()
    database = await SqliteDatabase.open(tmp_path / "spool.db")
    spool = SqliteSpool(database, clock)
    await spool.migrate()
    alarms = Alarms(spool, clock)
    await alarms.start(AlarmKind.PROVIDER, "rule: mx.one.example", "blocked")
    await alarms.start(AlarmKind.PROVIDER, "rule: mx.two.example", "blocked")
    await spool.clear_alarm(AlarmKind.PROVIDER.value, "rule: mx.one.example")
    clock.move(60)
    await alarms.refresh()
    assert alarms.standing(AlarmKind.PROVIDER) == ["rule: mx.two.example"]
    assert {subject for _, subject in alarms._said} == {"rule: mx.two.example"}
    assert alarms.silence(AlarmKind.PROVIDER, "rule: mx.two.example") == timedelta(seconds=60)
    await spool.close()


async def standing(relay: WholeRelay) -> set[str]:
    return {alarm.kind for alarm in await relay.stores.spool.alarms()}


async def test_a_key_that_is_back_and_a_name_that_is_free_again(tmp_path: Path) -> None:
    async with running_lab(tmp_path) as lab, asyncio.timeout(90):
        settings = relay_settings(tmp_path, lab)
        equip(lab, settings)
        keys = [key_path(tmp_path / "dkim_keys", DOMAIN, name) for name in ("lab-rsa", "lab-ed25519")]
        for key in keys:
            key.rename(key.with_suffix(".away"))
        async with relay_against(lab, settings) as relay:
            spool = relay.stores.spool
            await spool.raise_alarm(AlarmKind.NODE_NAME_TAKEN, settings.node.name, "elsewhere")
            assert await standing(relay) == {AlarmKind.DKIM_KEY, AlarmKind.NODE_NAME_TAKEN}
        async with relay_against(lab, settings) as relay:
            assert await standing(relay) == {AlarmKind.DKIM_KEY}
            for key in keys:
                key.with_suffix(".away").rename(key)
            await relay.node.reload(settings)
            assert await standing(relay) == set()
