"""The settings without effect: all of them are told, and none that works."""

from __future__ import annotations

import json
import logging
from io import StringIO
from pathlib import Path

import pytest

from relay.log import Log, configure_logging
from relay.settings import load_settings
from relay.settings_effect import inbound_listens, warn_without_effect, without_effect

_REPOSITORY = Path(__file__).resolve().parents[2]

_EVERYTHING = """\
[node]
roles = ["web", "api", "submission", "inbound", "delivery"]
[api]
listen = "127.0.0.1:8443/tls"
admin_listen = "127.0.0.1:8081"
[inbound]
listen = ["127.0.0.1:25"]
domain = "bounces.leak.example"
tls = { certificate = "a.pem", key = "a.key" }
[[signing.domain]]
domain = "leak.example"
selectors = ["s1"]
return_domain = "bounces.leak.example"
return_path = "ours"
[web]
first_contact = "doorbell"
admission_per_day = 10
sealed_keys = "elsewhere"
[alarm]
command = "page-me"
[[egress.source]]
name = "one"
warm_up = 2026-12-01
[[egress.source]]
name = "two"
"""


def _told(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "relay.toml"
    file.write_text(text, encoding="utf-8")
    return list(without_effect(load_settings(file, {})))


def test_every_setting_without_effect_is_told(tmp_path: Path) -> None:
    told = _told(tmp_path, _EVERYTHING)
    assert [text.partition(": ")[0] for text in told] == [
        "api.listen",
    ]
    assert all("no effect yet" in text for text in told)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[web]\nfirst_contact = "direct"\nadmission_per_day = 0\n[alarm]\ncommand = ""\n[inbound]\nlisten = []\n',
        '[[signing.domain]]\ndomain = "leak.example"\nselectors = ["s1"]\nreturn_path = "keep"\n',
        '[[egress.source]]\nname = "one"\naddress = "127.0.0.1"\n',
    ],
)
def test_what_changes_nothing_is_not_told(tmp_path: Path, text: str) -> None:
    assert _told(tmp_path, text) == []


def test_an_inbound_door_that_nothing_comes_to_is_told(tmp_path: Path) -> None:
    listen = '[inbound]\nlisten = ["127.0.0.1:2526"]\n'
    (told,) = _told(tmp_path, listen)
    assert told.startswith("inbound.listen: has no effect on bounces: no signing domain has a return domain")
    (told,) = _told(tmp_path, '[node]\nroles = ["submission"]\n' + listen)
    assert told == "inbound.listen: has no effect here: the role inbound is not in node.roles"


@pytest.mark.parametrize("name", ["relay.toml", "lab.toml"])
def test_the_shipped_files_say_nothing_in_vain(name: str) -> None:
    settings = load_settings(_REPOSITORY / "config" / name, {})
    assert list(without_effect(settings)) == []
    assert inbound_listens(settings)


def test_the_node_tells_each_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(_EVERYTHING, encoding="utf-8")
    written, before = StringIO(), logging.getLogger().handlers[:]
    configure_logging("warning", "json", written)
    try:
        warn_without_effect(load_settings(file, {}), Log("worker"))
    finally:
        logging.getLogger().handlers[:] = before
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(lines) == 1
    assert (lines[0]["action"], lines[0]["setting"]) == ("setting-without-effect", "api.listen")
