"""`leak read`: one line a message, in the order given, from files, folders and mboxes, without any configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import leak, leak_program
from tests.support.delivery_reports import PLAIN, failed

ORDINARY = b"From: ann@far.example\nSubject: Hello\n\nHello.\n"


def _lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_line_a_file_in_the_order_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bounce, letter = tmp_path / "b.eml", tmp_path / "a.eml"
    bounce.write_bytes(PLAIN.build())
    letter.write_bytes(ORDINARY)
    ran = leak(capsys, "read", "--json", bounce, letter)
    assert ran.status == 0
    assert _lines(ran.out) == [
        {
            "file": str(bounce),
            "kind": "bounce",
            "recipients": [
                {
                    "address": "ann@far.example",
                    "action": "failed",
                    "status": "5.1.1",
                    "reason": "unknown-user",
                    "permanent": True,
                    "rule": "unknown-user",
                }
            ],
        },
        {"file": str(letter), "kind": "other", "recipients": []},
    ]


def test_a_folder_is_walked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").write_bytes(ORDINARY)
    (tmp_path / "sub" / "two").write_bytes(PLAIN.build())
    (tmp_path / "one").write_bytes(ORDINARY)
    ran = leak(capsys, "read", "--json", tmp_path)
    assert [(Path(one["file"]).name, one["kind"]) for one in _lines(ran.out)] == [("one", "other"), ("two", "bounce")]


def test_an_mbox_holds_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = replace(PLAIN, blocks=(failed("bob@far.example"),)).build()
    box = tmp_path / "box.mbox"
    line = b"From MAILER-DAEMON Tue Mar 12 10:00:00 2019\n"
    box.write_bytes(line + PLAIN.build() + b"\n" + line + second + b"\n" + line + ORDINARY)
    told = _lines(leak(capsys, "read", "--json", box).out)
    assert [one["message"] for one in told] == [1, 2, 3]
    assert [[r["address"] for r in one["recipients"]] for one in told] == [["ann@far.example"], ["bob@far.example"], []]
    single = tmp_path / "single.eml"
    single.write_bytes(box.read_bytes())
    assert len(_lines(leak(capsys, "read", "--json", single).out)) == 1


def test_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b.eml"
    file.write_bytes(PLAIN.build().replace(b"user unknown", b"user unknown \x1b[31m"))
    out = leak(capsys, "read", file).out
    assert "ann@far.example: failed, 5.1.1, unknown-user, permanent [rule unknown-user]" in out
    assert "\x1b" not in out


def test_rules_beside_the_configuration_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bounces.toml").write_text(
        '[reason.own]\nabout = "ours"\nscope = "recipient"\npermanent = false\n'
        '[[rule]]\nid = "own-rule"\nreason = "own"\ncode = [550]\nexample = "550 x"\n'
    )
    file = tmp_path / "b.eml"
    file.write_bytes(PLAIN.build())
    ran = leak(capsys, "--config", tmp_path / "relay.toml", "read", "--json", file)
    [told] = _lines(ran.out)
    assert [(one["rule"], one["permanent"]) for one in told["recipients"]] == [("own-rule", False)]
    (tmp_path / "bounces.toml").write_text("[[rule]]\n")
    ran = leak(capsys, "--config", tmp_path / "relay.toml", "read", file)
    assert (ran.status, "id is missing" in ran.err) == (2, True)


def test_a_missing_file_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    ran = leak(capsys, "read", "no-such-file")
    assert (ran.status, ran.out) == (2, "")
    assert "no-such-file" in ran.err


async def test_standard_input() -> None:
    ran = await leak_program("read", "--json", "-", stdin=PLAIN.build())
    [told] = _lines(ran.out)
    assert (told["file"], told["kind"]) == ("-", "bounce")
