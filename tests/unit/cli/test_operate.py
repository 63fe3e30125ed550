"""Operating a node: queue, messages, users, reload, on a real SQLite spool."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.event import EventKind
from relay.ids import SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.opening import open_stores
from relay.policy.alarms import AlarmKind
from relay.policy.outcome import DecidedBy, Host, Outcome, Phase, Result, Scope, TlsFacts
from relay.policy.state import State
from relay.settings import load_settings
from relay.smtp.reply import remote_reply
from relay.smtp.transcript import Exchange
from relay.spool.work import AttemptRecord, Door, NewMessage, Settlement
from tests.support.command import leak


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text('[spool]\nurl = "sqlite:spool.db"\n')
    return path


async def _fill(file: Path) -> SpoolId:
    """One message from ann to three people: one deferred, one held, one delivered."""
    clock = SystemClock()
    stores = await open_stores(load_settings(file, {}), clock, SystemEntropy())
    now = clock.now()
    tenant = await stores.accounts.ensure_tenant("acme")
    me = await stores.spool.register("node", 0)
    message = NewMessage(
        id=new_spool_id(int(now.timestamp() * 1000), SystemEntropy()),
        tenant=tenant,
        credential=None,
        door=Door.SMTP,
        envelope=Envelope(
            parse_address("ann@leak.example"),
            tuple(Recipient(parse_address(f"{name}@{name}.example")) for name in ("bob", "carol", "dan")),
        ),
        content=b"Subject: x\r\n\r\nbody\r\n",
        prelude=b"",
        accepted_at=now,
        expires_at=now + timedelta(days=5),
        due=now,
        tags=("spring",),
        initial={1: State.HELD},
        hold_reason="the key of leak.example is missing",
    )
    receipt = await stores.spool.accept(message)
    await stores.spool.claim(me, 10)

    def attempt(result: Result, code: int, words: str) -> AttemptRecord:
        outcome = Outcome(
            result,
            Scope.RECIPIENT,
            Phase.RCPT,
            DecidedBy.REMOTE,
            remote_reply(code, (words,)),
            Host("mx.example", "192.0.2.1"),
            TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", verified=True),
        )
        return AttemptRecord(
            1, now, outcome, "ip1", 12, (Exchange(3, "we", "MAIL FROM:<>"), Exchange(9, "they", "250 ok"))
        )

    deferred = attempt(Result.TEMPORARY, 451, "4.7.1 greylisted \x1b[31m\u202e")
    delivered = attempt(Result.DELIVERED, 250, "2.0.0 queued")
    later = now + timedelta(hours=1)
    await stores.spool.settle(
        me,
        [
            Settlement(receipt.seq, 0, State.WAITING, later, EventKind.DEFERRED, attempt=deferred),
            Settlement(receipt.seq, 2, State.DELIVERED, None, EventKind.DELIVERED, attempt=delivered),
        ],
    )
    await stores.spool.raise_alarm("signing", "leak.example", "a key is missing")
    await stores.close()
    return receipt.id


@pytest.fixture
def message(file: Path) -> SpoolId:
    return asyncio.run(_fill(file))


def test_no_spool_yet(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["queue"], ["queue", "list"], ["queue", "retry", "--all"], ["message", "0" * 26]):
        ran = leak(capsys, *words, "--config", file)
        assert ran.status == 1
        assert "there is no spool at" in ran.err
    assert not (file.parent / "spool.db").exists()


def test_a_spool_that_this_version_cannot_open(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('[spool]\nurl = "mysql://db/leak"\n')
    ran = leak(capsys, "queue", "--config", file)
    assert ran.status == 2
    assert "spool.url" in ran.err


def test_the_summary(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    ran = leak(capsys, "queue", "--config", file)
    lines = ran.out.splitlines()
    assert lines[0].split() == ["DOMAIN", "TENANT", "WAITING", "LEASED", "HELD", "OLDEST", "NEXT", "DUE", "SITE"]
    assert {tuple(line.split()[:5]) for line in lines[1:3]} == {
        ("bob.example", "acme", "1", "0", "0"),
        ("carol.example", "acme", "0", "0", "1"),
    }
    assert "alarm since" in lines[3]
    assert "signing leak.example: a key is missing" in lines[3]
    told = json.loads(leak(capsys, "--config", file, "queue", "--json").out)
    assert {lane["domain"] for lane in told["lanes"]} == {"bob.example", "carol.example"}
    assert told["alarms"][0]["kind"] == "signing"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {0, 1}),
        (["--domain", "Bob.example"], {0}),
        (["--tenant", "acme"], {0, 1}),
        (["--tenant", "other"], set()),
        (["--sender", "ann@leak.example"], {0, 1}),
        (["--recipient", "carol@carol.example"], {1}),
        (["--older-than", "1h"], set()),
        (["--id", "{}"], {0, 1}),
        (["--id", "{}.1", "--domain", "bob.example"], {0}),
        (["--limit", "1"], {0}),
    ],
)
def test_the_list_and_its_filters(
    file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str], words: list[str], expected: set[int]
) -> None:
    ran = leak(capsys, "queue", "list", "--json", "--config", file, *(word.format(message) for word in words))
    assert ran.status == 0, ran.err
    assert {int(row["delivery"].rpartition(".")[2]) for row in json.loads(ran.out)} == expected


def test_the_list_for_people(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    lines = leak(capsys, "queue", "list", "--config", file).out.splitlines()
    assert lines[0].split() == ["DELIVERY", "RECIPIENT", "STATE", "ATTEMPTS", "DUE"]
    assert lines[1].split()[:5] == [f"{message}.0", "bob@bob.example", "waiting", "1", "in"]
    assert lines[2].split() == [f"{message}.1", "carol@carol.example", "held", "0", "-"]
    assert leak(capsys, "queue", "list", "--domain", "x.example", "--config", file).out == "nothing matches\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--id", "abc"], "is not a message's id"),
        (["--older-than", "yesterday"], "--older-than: 'yesterday' is not a duration"),
        (["--domain", "a b"], "--domain 'a b'"),
    ],
)
def test_wrong_filters(file: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str) -> None:
    ran = leak(capsys, "queue", "list", *words, "--config", file)
    assert ran.status == 2
    assert complaint in ran.err


def test_retry_asks_first(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    unspecific = leak(capsys, "queue", "retry", "--config", file)
    assert unspecific.status == 2
    assert "--all" in unspecific.err
    unasked = leak(capsys, "queue", "retry", "--domain", "bob.example", "--config", file)
    assert unasked.status == 2
    assert "1 delivery would be due now. Go on? Repeat the command with --yes" in unasked.err
    done = leak(capsys, "queue", "retry", "--all", "--yes", "--json", "--config", file)
    assert json.loads(done.out) == {"matched": 2, "changed": 2, "under_way": 0, "request": 1}
    rows = json.loads(leak(capsys, "queue", "list", "--json", "--config", file).out)
    assert {row["state"] for row in rows} == {"waiting"}
    none = leak(capsys, "queue", "retry", "--domain", "x.example", "--yes", "--config", file)
    assert (none.status, none.out) == (0, "nothing matches\n")


def test_requests_can_be_taken_back(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    def states() -> dict[str, str]:
        rows = json.loads(leak(capsys, "queue", "list", "--json", "--config", file).out)
        return {row["domain"]: row["state"] for row in rows}

    before = states()
    ran = leak(capsys, "queue", "cancel", "--all", "--yes", "--reason", "sent by mistake", "--config", file)
    assert ran.status == 0
    number = ran.out.rstrip().rpartition(" ")[2]
    assert set(states().values()) == {"held"}
    back = leak(capsys, "queue", "undo", number, "--config", file)
    assert (back.status, back.out) == (0, "put back: 2 deliveries\n")
    assert states() == before
    again = leak(capsys, "queue", "undo", number, "--config", file)
    assert "cannot be undone any more" in again.out


def test_suspend_and_resume(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    assert leak(capsys, "queue", "suspend", "--config", file).status == 2
    assert leak(capsys, "queue", "suspend", "--domain", "x.example", "--for", "soon", "--config", file).status == 2
    unknown = leak(capsys, "queue", "suspend", "--tenant", "nobody", "--config", file)
    assert (unknown.status, unknown.err) == (1, "leak: there is no tenant 'nobody'\n")
    ran = leak(
        capsys, "queue", "suspend", "--domain", "Bob.example", "--for", "2h", "--reason", "slow", "--config", file
    )
    assert ran.status == 0
    number = ran.out.rstrip().rpartition(" ")[2]
    shown = leak(capsys, "queue", "--config", file).out
    assert f"suspended ({number}) until" in shown
    assert " UTC: bob.example: slow" in shown
    assert leak(capsys, "queue", "resume", number, "--config", file).out == "resumed\n"
    assert "no suspension" in leak(capsys, "queue", "resume", number, "--config", file).out


def test_one_source_is_suspended_for_a_site_and_resumed(
    file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (("--source", "default"), ("--site", "mx.example", "--source", "ip9")):
        assert leak(capsys, "queue", "suspend", *wrong, "--config", file).status == 2
    ran = leak(capsys, "queue", "suspend", "--site", "MX.example", "--source", "default", "--config", file)
    assert ran.status == 0
    assert "mx.example from default: by the operator" in leak(capsys, "queue", "--config", file).out
    assert leak(capsys, "queue", "resume", "3", "--site", "mx.example", "--config", file).status == 2
    assert leak(capsys, "queue", "resume", "--site", "mx.example", "--source", "x", "--config", file).status == 1
    ended = leak(capsys, "queue", "resume", "--site", "mx.example", "--config", file)
    assert ended.out.startswith("resumed: nothing keeps mail to mx.example back")
    assert "suspended" not in leak(capsys, "queue", "--config", file).out


def test_the_life_of_a_message(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    ran = leak(capsys, "message", f"{message}.2", "--config", file)
    assert ran.status == 0
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[0] == f"message {message}"
    assert "door SMTP submission, tenant acme" in lines
    assert "intake from ann@leak.example, 20 B, 3 recipients" in lines
    assert f"delivery {message}.0 to bob@bob.example: waiting" in lines
    assert "plan mx.example [192.0.2.1] from ip1" in lines
    assert "talk 3 ms we MAIL FROM:<>" in lines
    assert any("had: TLSv1.3 " in line and "certificate verified" in line for line in lines)
    understood = next(line for line in lines if line.startswith("understand temporary"))
    assert understood.startswith(
        "understand temporary, decided by the far side at rcpt, about the recipient: 451 4.7.1"
    )
    assert "\x1b" not in ran.out  # S46
    assert "\u202e" not in ran.out
    upcoming = [line for line in lines if line.startswith("next ")]
    assert upcoming[0].startswith("next attempt 2 in ")
    assert "because: 451 4.7.1 greylisted" in upcoming[0]
    assert upcoming[1] == (
        "next nothing until somebody acts: the key of leak.example is missing;"
        f" to let it go: leak queue release --id {message}"
    )
    assert upcoming[2].startswith("next nothing: the next host took responsibility")
    brief = leak(capsys, "message", message.upper(), "--brief", "--config", file)
    assert "MAIL FROM" not in brief.out


def test_the_life_as_json(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(leak(capsys, "message", message, "--json", "--config", file).out)
    assert [one["state"] for one in told["deliveries"]] == ["waiting", "held", "delivered"]
    assert told["attempts"][0]["transcript"][0] == {"millis": 3, "speaker": "we", "text": "MAIL FROM:<>"}
    assert told["events"][0]["kind"] == "accepted"
    raw = leak(capsys, "message", message, "--json", "--config", file).out
    assert "\u202e" not in raw  # S46


def test_no_such_message(file: Path, message: SpoolId, capsys: pytest.CaptureFixture[str]) -> None:
    assert leak(capsys, "message", "0" * 26, "--config", file).status == 1
    assert leak(capsys, "message", "abc", "--config", file).status == 2


async def standing(file: Path, raised: Sequence[str] = ()) -> list[str]:
    """The subjects of standing alarms, after those of `raised` have been raised."""
    stores = await open_stores(load_settings(file, {}), SystemClock(), SystemEntropy())
    try:
        for subject in raised:
            await stores.spool.raise_alarm(AlarmKind.MODERATION, subject, "waits")
        return sorted(alarm.subject for alarm in await stores.spool.alarms())
    finally:
        await stores.close()


def test_users(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = ("--config", file)
    assert "no users; add one" in leak(capsys, "user", "list", *config).out
    refused = leak(capsys, "user", "add", "ann", *config)
    assert refused.status == 2
    assert "say --sender DOMAIN" in refused.err
    made = leak(capsys, "user", "add", "ann", "--sender", "Leak.example", *config)
    assert made.status == 0
    assert "password (shown this once): " in made.out
    key = json.loads(
        leak(capsys, "user", "add", "app", "--sender", "*", "--api-key", "--tenant", "acme", "--json", *config).out
    )
    assert key["api_key"].startswith("leak_")
    assert "password" not in key
    secret = file.with_name("password")
    secret.write_text("correct horse\n")
    given = leak(capsys, "user", "add", "bob", "--sender", "*", "--password-file", secret, *config)
    assert given.status == 0
    assert "correct horse" not in given.out
    again = leak(capsys, "user", "add", "bob", "--sender", "*", *config)
    assert (again.status, "there is a user 'bob' already" in again.err) == (1, True)
    assert leak(capsys, "user", "add", "no name", "--sender", "*", *config).status == 1
    rows = json.loads(leak(capsys, "user", "list", "--json", *config).out)
    assert [(row["name"], row["tenant"], row["senders"]) for row in rows] == [
        ("ann", "ann", ["leak.example"]),
        ("app", "acme", ["*"]),
        ("bob", "bob", ["*"]),
    ]
    assert [row["proofs"] for row in rows] == [["password"], ["api_key"], ["password"]]
    for verb in ("rotate", "remove"):
        nobody = leak(capsys, "user", verb, "nosuch", *config)
        assert (nobody.status, "there is no user 'nosuch'" in nobody.err) == (1, True)
    fresh = json.loads(leak(capsys, "user", "rotate", "app", "--yes", "--json", *config).out)
    assert fresh["api_key"] != key["api_key"]
    subjects = ("letters", "letters at ann", "letters at bob")
    assert asyncio.run(standing(file, raised=subjects)) == list(subjects)
    assert leak(capsys, "user", "remove", "bob", *config).status == 2
    assert leak(capsys, "user", "remove", "bob", "--yes", *config).status == 0
    assert asyncio.run(standing(file)) == ["letters", "letters at ann"], "who may not ring ends its alarm with its key"
    gone = leak(capsys, "user", "remove", "bob", "--yes", *config)
    assert (gone.status, "there is no user 'bob'" in gone.err) == (1, True)
    assert "correct horse" not in leak(capsys, "user", "list", *config).out


@pytest.fixture
def hang_ups() -> Iterator[list[int]]:
    """The SIGHUPs this process got."""
    got: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: got.append(number))
    yield got
    signal.signal(signal.SIGHUP, before)


def test_reload_tells_the_living_node(file: Path, capsys: pytest.CaptureFixture[str], hang_ups: list[int]) -> None:
    nobody = leak(capsys, "reload", "--config", file)
    assert (nobody.status, "no node runs on the spool" in nobody.err) == (1, True)
    pid_file = file.with_name("node.pid")
    pid_file.write_text(f"{os.getpid()}\n")
    stale = leak(capsys, "reload", "--config", file)
    assert (stale.status, hang_ups) == (1, [])
    with pid_file.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        told = leak(capsys, "reload", "--config", file)
        assert (told.status, hang_ups) == (0, [signal.SIGHUP])
        assert f"process {os.getpid()}" in told.out
        file.write_text("[node]\nworkers = -1\n")
        assert leak(capsys, "reload", "--config", file).status == 2
    assert hang_ups == [signal.SIGHUP]
