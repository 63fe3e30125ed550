"""`leak inbound` and `leak secrets`: what waits is listed with its age, shown, and done; keys are replaced."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.mail.address import NULL_PATH
from relay.node_secrets import token_keys
from relay.opening import open_stores
from relay.policy.hearing import Followed, Purpose
from relay.settings import load_settings
from relay.spool.inbound_values import Consequence, InboundAddress, NewInbound
from tests.support.command import leak


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "relay.toml"
    file.write_text('[node]\nname = "mail.leak.example"\n[spool]\nurl = "sqlite:spool.db"\n')
    return file


def take(config: Path, *purposes: Purpose) -> list[int]:
    """Items that a person should look at."""

    async def work() -> list[int]:
        stores = await open_stores(load_settings(config, {}), SystemClock(), SystemEntropy())
        numbers = []
        for purpose in purposes:
            address = InboundAddress(f"{purpose.value}@leak.example", purpose)
            mail = NewInbound("192.0.2.1", "mx", True, NULL_PATH, (address,), b"Subject: Please\r\n\r\nStop\x1b[2J\r\n")
            numbers += await stores.inbound.take(mail)
            detail = {"why": "somebody wrote", "subject": "Please"}
            await stores.inbound.settle(numbers[-1], Consequence("other", Followed.SHOWN, detail, shown=True))
            await stores.spool.raise_alarm(f"{purpose.value}-mail", "leak.example", "waits")
        await stores.close()
        return numbers

    return asyncio.run(work())


def test_what_waits_is_listed_shown_and_done(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = take(config, Purpose.ABUSE, Purpose.ABUSE)
    ran = leak(capsys, "inbound", "list", "--config", config)
    assert ran.status == 0
    assert "abuse" in ran.out
    assert "Please" in ran.out
    assert len(json.loads(leak(capsys, "inbound", "list", "--json", "--config", config).out)) == 2
    assert "somebody wrote" in leak(capsys, "inbound", "show", str(first), "--config", config).out
    raw = leak(capsys, "inbound", "show", str(first), "--raw", "--config", config).out
    assert "Subject: Please" in raw
    assert "\x1b" not in raw
    assert leak(capsys, "inbound", "done", str(first), "--config", config).status == 0
    assert _alarms(config) == ["abuse-mail"]
    assert leak(capsys, "inbound", "done", str(first), str(second), "--config", config).status == 1
    assert _alarms(config) == []
    assert "nothing waits" in leak(capsys, "inbound", "list", "--config", config).out
    assert len(json.loads(leak(capsys, "inbound", "list", "--all", "--json", "--config", config).out)) == 2


def test_wrong_words_are_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take(config)
    ran = leak(capsys, "inbound", "list", "--kind", "spam", "--config", config)
    assert ran.status == 2
    assert "bounce, complaint" in ran.err
    assert leak(capsys, "inbound", "show", "9", "--config", config).status == 1


def test_the_ledger_of_loops(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take(config)
    assert leak(capsys, "inbound", "enrol", "Yahoo", "--config", config).status == 0
    assert "Yahoo" in leak(capsys, "inbound", "loops", "--config", config).out
    assert leak(capsys, "inbound", "enrol", "a\x1bb", "--config", config).status == 2


def test_a_key_is_prepared_and_rotated(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leak(capsys, "secrets", "rotate", "--prepare", "--config", config).status == 0
    _, prepared = token_keys(config.parent / "secrets")
    assert leak(capsys, "secrets", "rotate", "--config", config).status == 0
    assert token_keys(config.parent / "secrets")[0] == prepared


def _alarms(config: Path) -> list[str]:
    async def work() -> list[str]:
        stores = await open_stores(load_settings(config, {}), SystemClock(), SystemEntropy())
        kinds = [alarm.kind for alarm in await stores.spool.alarms()]
        await stores.close()
        return kinds

    return asyncio.run(work())


def test_the_alarm_of_unread_mail_ends_with_the_last_of_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (number,) = take(config, Purpose.ABUSE)

    async def work() -> None:
        stores = await open_stores(load_settings(config, {}), SystemClock(), SystemEntropy())
        await stores.spool.raise_alarm("inbound-unread", "inbound", "it broke its reader")
        await stores.close()

    asyncio.run(work())
    assert _alarms(config) == ["abuse-mail", "inbound-unread"]
    assert leak(capsys, "inbound", "done", str(number), "--config", config).status == 0
    assert _alarms(config) == []
