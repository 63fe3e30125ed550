"""A rotation as an operator does it: made, published, switched, retired; each step refuses to come too early."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.clock import SystemClock, to_millis
from relay.ids import SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.making import make_signer
from relay.opening import open_stores
from relay.settings import load_settings
from relay.signing.keys import KeyFileError, KeyType, make_key
from relay.signing.rotation import FILE, read_rotation
from relay.spool.work import Door, NewMessage
from tests.support.command import leak, leak_program
from tests.support.dns_server import DnsServer, Zone

YEAR = datetime.now(UTC).year
NEXT = (f"s{YEAR}b", f"e{YEAR}b")
HEADER = b"From: a@leak.example\r\nTo: b@x.example\r\nSubject: x\r\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text(
        f'[node]\nname = "mx.leak.example"\n[spool]\nurl = "sqlite:spool.db"\n[[signing.domain]]\n'
        f'domain = "leak.example"\nselectors = ["s{YEAR}a", "e{YEAR}a"]\n'
    )
    make_key(tmp_path / "dkim_keys", "leak.example", f"s{YEAR}a", KeyType.RSA)
    make_key(tmp_path / "dkim_keys", "leak.example", f"e{YEAR}a", KeyType.ED25519)
    return path


async def signing(file: Path) -> list[str]:
    """The selectors that a node would sign with."""
    signer = make_signer(load_settings(file, {}))
    fields = await signer.sign("leak.example", HEADER, b"x\r\n", datetime.now(UTC))
    signer.close()
    return [line.split("s=")[1].split(";")[0] for line in fields.decode().splitlines() if "; s=" in line]


def zone_of(file: Path, capsys: pytest.CaptureFixture[str]) -> Zone:
    zone: Zone = {}
    for row in json.loads(leak(capsys, "dns", "--json", "--config", file).out):
        zone.setdefault(row["name"], {}).setdefault(row["type"], []).append(row["value"])
    return zone


async def test_keys_are_rotated_without_a_gap(file: Path, capsys: pytest.CaptureFixture[str]) -> None:  # L10
    begun = await leak_program("dkim", "rotate", "leak.example", "--config", str(file))
    assert begun.status == 0, begun.err
    assert all(f"{selector}._domainkey.leak.example. 3600 IN TXT" in begun.out for selector in NEXT)
    assert await signing(file) == [f"s{YEAR}a", f"e{YEAR}a"]
    zone = zone_of(file, capsys)
    hidden = zone.pop(f"{NEXT[0]}._domainkey.leak.example")
    async with DnsServer(zone) as server:
        environment = {"LEAK_RESOLVER__NAMESERVERS": f"127.0.0.1:{server.port}"}
        early = await leak_program("dkim", "rotate", "leak.example", "--config", str(file), environment=environment)
        assert early.status == 1
        assert "nothing is switched" in early.err
        assert NEXT[0] in early.err
        assert NEXT[1] not in early.err
        assert await signing(file) == [f"s{YEAR}a", f"e{YEAR}a"]
        zone[f"{NEXT[0]}._domainkey.leak.example"] = hidden
        late = await leak_program(
            "dkim", "rotate", "leak.example", "--wait", "1m", "--config", str(file), environment=environment
        )
    assert late.status == 0, late.err
    assert await signing(file) == list(NEXT)
    names = set(zone_of(file, capsys))
    assert {f"{s}._domainkey.leak.example" for s in (*NEXT, f"s{YEAR}a", f"e{YEAR}a")} <= names
    listed = json.loads(leak(capsys, "dkim", "list", "--json", "--config", file).out)
    uses = {row["selector"]: row["use"] for row in listed}
    assert uses == {NEXT[0]: "signs", NEXT[1]: "signs", f"s{YEAR}a": "old", f"e{YEAR}a": "old"}


def switched(file: Path, ago: timedelta) -> None:
    """The state after a switch some time ago."""
    folder = file.parent / "dkim_keys"
    for selector, kind in zip(NEXT, (KeyType.RSA, KeyType.ED25519), strict=True):
        make_key(folder, "leak.example", selector, kind)
    first = [f"s{YEAR}a", f"e{YEAR}a"]
    old = {"selectors": first, "switched": (datetime.now(UTC) - ago).isoformat()}
    state: dict[str, Any] = {"configured": first, "signing": list(NEXT), "coming": [], "old": [old]}
    (folder / "leak.example" / FILE).write_text(json.dumps(state))


def test_old_keys_are_kept_while_mail_may_need_them(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    switched(file, timedelta(days=5))
    refused = leak(capsys, "dkim", "retire", "leak.example", "--yes", "--config", file)
    assert refused.status == 1
    assert "may be on its way until" in refused.err
    assert (file.parent / "dkim_keys" / "leak.example" / f"s{YEAR}a.pem").exists()
    forced = leak(capsys, "dkim", "retire", "leak.example", "--yes", "--force", "--config", file)
    assert forced.status == 0
    assert f"s{YEAR}a._domainkey.leak.example TXT" in forced.out
    left = sorted(path.name for path in (file.parent / "dkim_keys" / "leak.example").glob("*.pem"))
    assert left == [f"e{YEAR}b.pem", f"s{YEAR}b.pem"]
    # What else reads the configured selectors goes by the rotation too.
    checked = leak(capsys, "check", "--json", "--config", file)
    assert (checked.status, f"leak.example (s{YEAR}b, e{YEAR}b)" in checked.out) == (0, True)
    assert "is held" not in checked.out + checked.err
    leak(capsys, "init", "--yes", "--config", file)
    assert not (file.parent / "dkim_keys" / "leak.example" / f"s{YEAR}a.pem").exists()
    assert leak(capsys, "dkim", "retire", "leak.example", "--yes", "--config", file).status == 1


async def waiting_mail(file: Path, accepted: datetime, sign_as: str | None) -> None:
    stores = await open_stores(load_settings(file, {}), SystemClock(), SystemEntropy())
    now = datetime.now(UTC)
    message = NewMessage(
        id=new_spool_id(to_millis(now), SystemEntropy()),
        tenant=1,
        credential=None,
        door=Door.SMTP,
        envelope=Envelope(parse_address("a@leak.example"), (Recipient(parse_address("b@x.example")),)),
        content=HEADER + b"\r\nx\r\n",
        prelude=b"DKIM-Signature: x\r\n",
        accepted_at=accepted,
        expires_at=now + timedelta(days=9),
        due=now + timedelta(days=1),
        sign_as=sign_as,
    )
    await stores.spool.accept(message)
    await stores.close()


async def test_old_keys_are_kept_for_mail_that_is_held(file: Path) -> None:
    switched(file, timedelta(days=30))
    now = datetime.now(UTC)
    await waiting_mail(file, now, "leak.example")
    await waiting_mail(file, now - timedelta(days=40), None)
    await waiting_mail(file, now - timedelta(days=40), "leak.example")
    told = await leak_program("dkim", "retire", "leak.example", "--yes", "--config", str(file))
    assert told.status == 1
    assert "1 unfinished messages may carry signatures" in told.err


def test_the_configuration_has_the_last_word(file: Path) -> None:
    switched(file, timedelta(days=1))
    folder = file.parent / "dkim_keys"
    edited = read_rotation(folder, "leak.example", ("other",))
    assert (edited.signing, len(edited.old)) == (("other",), 1)
    (folder / "leak.example" / FILE).write_text("{")
    with pytest.raises(KeyFileError, match="cannot be used"):
        read_rotation(folder, "leak.example", ("other",))


def test_a_domain_without_ed25519(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(file.read_text() + "ed25519 = false\n")
    assert asyncio.run(signing(file)) == [f"s{YEAR}a"]
    out = leak(capsys, "dkim", "rotate", "leak.example", "--config", file).out
    assert NEXT[0] in out
    assert NEXT[1] not in out


def test_the_operator_signs_below(file: Path) -> None:
    text = file.read_text().replace("[[signing", '[signing]\noperator_domain = "op.example"\n[[signing')
    file.write_text(text + '[[signing.domain]]\ndomain = "op.example"\nselectors = ["op"]\n')
    make_key(file.parent / "dkim_keys", "op.example", "op", KeyType.RSA)
    assert asyncio.run(signing(file)) == [f"s{YEAR}a", f"e{YEAR}a", "op"]


def test_an_unknown_domain_is_wrong_usage(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("rotate", "retire"):
        told = leak(capsys, "dkim", command, "else.example", "--config", file)
        assert (told.status, "there are: leak.example" in told.err) == (2, True)
