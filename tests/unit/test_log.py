"""The log: full of facts, empty of secrets, one line each, and never slow (S46)."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime

import pytest

from relay.log import Log, configure_logging, redact
from relay.smtp.reply import remote_reply


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("RCPT TO:<ann.b@x.example> refused", "RCPT TO:<…@x.example> refused"),
        ("é.ü@x.example", "…@x.example"),
        ("a@b@c.example", "…@…@c.example"),
        ("@ nothing", "@ nothing"),
        ("mail at x@ y", "mail at x@ y"),
        ("Authorization: Bearer SECRET", "Authorization: Bearer …"),
        ("authorization=Basic c2VjcmV0", "authorization=Basic …"),
        ("AUTH PLAIN AGFubgBzZWNyZXQ=", "AUTH PLAIN …"),
        ("password: hunter2", "password: …"),
        ("key leak_0123456789abcdef used", "key … used"),
        ("GET /s/0123456789abcdef HTTP/1.1", "GET /s/… HTTP/1.1"),
        ("554 https://leak.example/r/AbC-_0123456789abcdef#never", "554 https://leak.example/r/…#never"),
        ("/u/0123456789abcdef /en/weekly/leave/0123456789abcdef", "/u/… /en/weekly/leave/…"),
        ("/usr/share/u/readme /notice/read", "/usr/share/u/readme /notice/read"),
        (
            "a\r\nb\x1b[31m\u202e",
            "a??b?[31m?".replace("?", "\N{SYMBOL FOR SUBSTITUTE}"),
        ),
    ],
)
def test_what_is_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "a@" * 500_000, "@" * 1_000_000, "token " * 200_000, "leak_" * 200_000]
)
def test_redaction_is_linear(text: str) -> None:
    # S29; the bound is generous, quadratic time would need minutes
    begun = time.process_time()
    redact(text, len(text))
    assert time.process_time() - begun < 20


def test_a_long_fact_is_cut() -> None:
    assert redact("x" * 5000) == "x" * 600 + "… (5000 characters)"


def test_a_line_is_json_with_its_action(log_lines: io.StringIO) -> None:
    log = Log("part")
    log.info("happened", count=3, reply="550 no <ann@x.example>\r\n", nothing=None)
    try:
        raise ValueError("secret of ann@x.example\nnext line")
    except ValueError:
        log.exception("broke", id="m1")
    first, second = map(json.loads, log_lines.getvalue().splitlines())
    assert (first["part"], first["action"], first["count"], first["nothing"]) == ("part", "happened", 3, None)
    assert "ann" not in first["reply"]
    assert second["level"] == "error"
    assert "ValueError" in second["exception"]
    assert "ann@" not in second["exception"]


def test_a_time_is_told_as_the_line_tells_its_own(log_lines: io.StringIO) -> None:
    Log("part").info("rests", until=datetime(2026, 11, 23, 7, 9, 37, 47759, UTC))
    assert json.loads(log_lines.getvalue())["until"] == "2026-11-23T07:09:37.047+00:00"


def test_a_line_of_text_shows_where_each_fact_ends(log_lines: io.StringIO) -> None:
    configure_logging("debug", "text", log_lines)
    Log("part").info("rests", path="mx.x.example from ip1", phase="connect", reply='550 say "a=b"', count=3, what="")
    assert log_lines.getvalue().partition("part: ")[2] == (
        r'rests path="mx.x.example from ip1" phase=connect reply="550 say \"a=b\"" count=3 what=""' + "\n"
    )


@pytest.mark.parametrize("junk", ["\u202e", "\u2028", "\x00", "\x1b", "\x7f", "\x9b", "\u2066", "\ud800"])
def test_a_remote_reply_carries_no_controls(junk: str) -> None:
    # S13
    assert junk not in remote_reply(550, (f"5.1.1 a{junk}b",)).text
