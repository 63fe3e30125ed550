"""The ways to a person, each against a real far side: what arrives, and what is told when nothing does."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from relay.alarming import check_ways, make_poster, make_ways
from relay.clock import SystemClock
from relay.errors import ConfigurationError
from relay.notify.ways import Told
from relay.policy.calling import Call
from relay.settings import Settings, settings_from
from tests.support.scripted_smtp import ScriptedSmtp
from tests.support.webhook_receiver import WebhookReceiver

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
RAISED = Told("mail.leak.example", Call("ptr", "192.0.2.1", AT, "550 no PTR\r\nBcc: x@evil.example \u202e"))
OVER = Told("mail.leak.example", Call("ptr", "192.0.2.1", AT, "was missing", AT))


def settings(folder: Path, **alarm: Any) -> Settings:
    ca_file = {"ca_file": "ca.pem"} if (folder / "ca.pem").exists() else {}
    data = {"node": {"name": "mail.leak.example"}, "delivery": ca_file, "alarm": {"timeout": "5s", **alarm}}
    return settings_from(data, folder)


async def tell(folder: Path, told: Told = RAISED, **alarm: Any) -> str:
    """Tell on the one way that is configured."""

    async def lookup(host: str) -> tuple[str, ...]:
        return ("127.0.0.1",)

    configured = settings(folder, **alarm)
    poster = make_poster(configured, lookup, SystemClock())
    try:
        (way,) = make_ways(configured, poster)
        return await way.tell(told)
    finally:
        await poster.close()


def program(folder: Path, text: str) -> str:
    (folder / "page.py").write_text(text)
    return f"{sys.executable} {folder / 'page.py'} 'two words'"


async def test_command(tmp_path: Path) -> None:
    """JSON on standard input, words as a shell splits them, and no shell."""
    text = f"import sys, pathlib; pathlib.Path({str(tmp_path / 'heard')!r}).write_text(sys.argv[1] + sys.stdin.read())"
    assert await tell(tmp_path, command=program(tmp_path, text)) == ""
    heard = (tmp_path / "heard").read_text()
    assert heard.startswith("two words{")
    alarm = json.loads(heard.removeprefix("two words"))
    assert (alarm["action"], alarm["kind"], alarm["subject"]) == ("raised", "ptr", "192.0.2.1")
    assert alarm["since"] == "2026-11-22T12:00:00+00:00"
    assert "PTR record" in alarm["remedy"]


async def test_command_that_fails(tmp_path: Path) -> None:
    """Its exit status, its absence and its slowness are told; a slow one is killed."""
    assert "exit status 3" in await tell(tmp_path, command=program(tmp_path, "import sys; sys.exit(3)"))
    assert "No such file" in await tell(tmp_path, command="/nowhere/page")
    slow = "import time; time.sleep(600)"
    assert "not done within 1 s" in await tell(tmp_path, command=program(tmp_path, slow), timeout="1s")


async def test_ntfy(tmp_path: Path) -> None:
    """JSON to the server's root, so that no evidence becomes a header."""
    (tmp_path / "token").write_text("tk_secret\n")
    (tmp_path / "token").chmod(0o600)
    async with WebhookReceiver() as server:
        topic = f"http://ntfy.lab.test:{server.port}/my-topic"
        words: dict[str, Any] = {"ntfy": topic, "allow_private_addresses": True, "ntfy_token_file": "token"}
        assert await tell(tmp_path, **words) == ""
        assert await tell(tmp_path, OVER, **words) == ""
    raised, over = (json.loads(post.body) for post in server.posts)
    assert raised["topic"] == "my-topic"
    assert raised["title"] == "[mail.leak.example] alarm: ptr 192.0.2.1"
    assert "\r" not in raised["message"]
    assert "What to do: ask whoever gives you the address" in raised["message"]
    assert over["title"] == "[mail.leak.example] over: ptr 192.0.2.1"
    assert over["priority"] < raised["priority"]
    assert server.posts[0].headers["Authorization"] == "Bearer tk_secret"


async def test_webhook(tmp_path: Path) -> None:
    async with WebhookReceiver() as server:
        words: dict[str, Any] = {"webhook": server.url, "allow_private_addresses": True}
        assert await tell(tmp_path, OVER, **words) == ""
        server.judge = lambda _: 500
        assert await tell(tmp_path, **words) == "HTTP status 500"
    assert json.loads(server.taken[0].body)["action"] == "ended"


async def test_webhook_to_a_neighbour(tmp_path: Path) -> None:
    """A name that leads to a private address is not connected to, unless that was asked for (S36)."""
    async with WebhookReceiver() as server:
        url = f"https://inside.lab.test:{server.port}/"
        assert await tell(tmp_path, webhook=url) == "its host has no public address"
    assert not server.posts


async def test_smarthost(tmp_path: Path) -> None:
    """A plain mail, inside TLS where it is offered, with nothing of the evidence as a header."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with ScriptedSmtp(tls=ca, tls_names=("localhost",)) as far:
        words: dict[str, Any] = {"smarthost": f"localhost:{far.port}", "mail_to": ["ops@example.org"]}
        assert await tell(tmp_path, **words) == ""
    assert far.sessions[0].encrypted
    text = far.messages[0].content.decode()
    assert "Subject: [mail.leak.example] alarm: ptr 192.0.2.1\r\n" in text
    assert "From: alarm@mail.leak.example\r\n" in text
    assert "\r\nBcc:" not in text
    assert "since 2026-11-22 12:00 UTC" in text


async def test_smarthost_that_is_not_believed(tmp_path: Path) -> None:
    """A certificate that does not verify, and no password in clear."""
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o600)
    words: dict[str, Any] = {"mail_to": ["ops@example.org"], "user": "ops", "password_file": "password"}
    async with ScriptedSmtp(tls=trustme.CA(), tls_names=("localhost",)) as far:
        assert "certificate" in await tell(tmp_path, smarthost=f"localhost:{far.port}", **words)
    async with ScriptedSmtp() as clear:
        assert "STARTTLS" in await tell(tmp_path, smarthost=f"localhost:{clear.port}", **words)
    assert not far.messages
    assert not clear.messages
    assert b"secret" not in clear.sessions[0].received


@pytest.mark.parametrize(
    ("alarm", "complaint"),
    [
        ({"command": "'"}, "alarm.command"),
        ({"webhook": "https://127.0.0.1/hook"}, "alarm.webhook: this address is not public"),
        ({"webhook": "http://chat.example/hook"}, "alarm.webhook: write https://"),
        ({"ntfy": "https://10.0.0.1/topic"}, "alarm.ntfy"),
        ({"webhook": "https://chat.example/", "webhook_token_file": "none"}, "alarm.webhook_token_file"),
        ({"smarthost": "localhost:587", "mail_to": ["a@b.example"]}, "the relay itself"),
    ],
)
def test_what_cannot_be_used_is_told_at_once(tmp_path: Path, alarm: dict[str, Any], complaint: str) -> None:
    configured = settings(tmp_path, **alarm).model_copy(
        update={"submission": settings_from({"submission": {"listen": ["0.0.0.0:587"]}}, tmp_path).submission}
    )
    with pytest.raises(ConfigurationError, match=complaint):
        check_ways(configured)


@pytest.mark.parametrize(
    "alarm",
    [
        {"ntfy": "https://ntfy.sh"},
        {"smarthost": "smtp.example:587"},
        {"mail_to": ["ops@example.org"]},
        {"smarthost": "smtp.example:587", "mail_to": ["nobody"]},
        {"user": "ops"},
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, alarm: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        settings(tmp_path, **alarm)
