"""Setting a node up: init, check, keys."""

from __future__ import annotations

import json
import stat
from datetime import datetime
from pathlib import Path

import pytest
import trustme

from relay.cli.template import Answers, configuration_text, quote
from relay.settings import load_settings
from tests.support.command import REPOSITORY, leak, leak_program

_YEAR = datetime.now().astimezone().year


def _init(capsys: pytest.CaptureFixture[str], folder: Path, *more: str | Path) -> str:
    ran = leak(
        capsys, "init", "--folder", folder, "--domain", "leak.example", "--hostname", "mx.leak.example", "--yes", *more
    )
    assert ran.status == 0, ran.err
    return ran.out


def test_the_shipped_file_is_the_template() -> None:
    assert (REPOSITORY / "config" / "relay.toml").read_text(encoding="utf-8") == configuration_text(Answers())


def test_init_makes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = _init(capsys, tmp_path)
    settings = load_settings(tmp_path / "relay.toml", {})
    assert settings.node.name == "mx.leak.example"
    assert settings.sqlite_path == tmp_path / "spool" / "spool.db"
    [domain] = settings.signing.domain
    assert domain.selectors == (f"s{_YEAR}a", f"e{_YEAR}a")
    assert (domain.return_domain, domain.return_path) == (None, "keep")
    assert "inbound" not in settings.node.roles
    assert not settings.inbound.listen
    assert " MX " not in out
    assert "rua=" not in out
    assert out.splitlines()[-1] == f"Next: leak check --config {tmp_path / 'relay.toml'}"
    for selector in domain.selectors:
        key = tmp_path / "dkim_keys" / "leak.example" / f"{selector}.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert f"{selector}._domainkey.leak.example" in out
    assert len(list((tmp_path / "secrets").iterdir())) == 5
    assert "v=spf1" in out
    assert "v=DMARC1" in out
    assert leak(capsys, "check", "--config", tmp_path / "relay.toml").status == 0


def test_init_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _init(capsys, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    out = _init(capsys, tmp_path, "--listen", "127.0.0.1:2525")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert "exists and is kept as it is" in out
    assert out.count("exists and is kept") == 4


def test_init_completes_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _init(capsys, tmp_path)
    key = tmp_path / "dkim_keys" / "leak.example" / f"e{_YEAR}a.pem"
    key.unlink()
    (tmp_path / "secrets" / "link").unlink()
    out = _init(capsys, tmp_path)
    assert f"made {key}" in out
    assert (tmp_path / "secrets" / "link").exists()


def test_init_takes_the_place_of_the_untouched_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config" / "relay.toml"
    file.parent.mkdir()
    file.write_text(configuration_text(Answers()), encoding="utf-8")
    ran = leak(
        capsys,
        "--config",
        file,
        "init",
        "--domain",
        "a.example",
        "--hostname",
        "mx.a.example",
        "--yes",
        "--spool",
        "sqlite:x",
    )
    assert ran.status == 0
    settings = load_settings(file, {})
    assert settings.signing.domain[0].domain == "a.example"
    assert (tmp_path / "dkim_keys" / "a.example").is_dir()


def test_init_with_a_certificate_listens_with_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    issued = trustme.CA().issue_cert("mx.leak.example")
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    tls = ("--certificate", certificate, "--certificate-key", key)
    _init(capsys, tmp_path / "n", "--listen", "127.0.0.1:587", "--listen", "127.0.0.1:465/tls", *tls)
    ran = leak(capsys, "check", "--config", tmp_path / "n" / "relay.toml")
    assert (ran.status, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--hostname", "mx.leak.example"], "give --domain"),
        (["--domain", "leak"], "'leak': the domain is not fully qualified"),
        (["--domain", 'a".example'], "the domain is not valid"),
        (["--domain", "leak.example", "--certificate", "c.pem"], "belong together"),
        (["--domain", "leak.example", "--listen", "nonsense"], "'nonsense' is not an address"),
    ],
)
def test_init_with_wrong_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    ran = leak(capsys, "init", "--folder", tmp_path / "n", "--yes", *words)
    assert ran.status == 2
    assert complaint in ran.err
    assert not (tmp_path / "n" / "relay.toml").exists()


async def test_init_without_anybody_to_ask_names_the_options(tmp_path: Path) -> None:
    silent = await leak_program("init", "--folder", str(tmp_path / "n"))
    assert silent.status == 2
    assert "give --domain and --hostname" in silent.err
    assert not (tmp_path / "n").exists()
    answered = await leak_program("init", "--folder", str(tmp_path / "n"), stdin=b"leak.example\n\n")
    assert answered.status == 0
    assert load_settings(tmp_path / "n" / "relay.toml", {}).node.name == "mail.leak.example"


def test_quote_keeps_a_value_in_its_string() -> None:
    assert quote('a"b\\c\n') == '"a\\"b\\\\c\\u000a"'


def test_check_tells_every_complaint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[node]\nworkers = -1\ncolour = 1\n")
    ran = leak(capsys, "check", "--config", file)
    assert ran.status == 2
    assert f"{file}:2: node.workers" in ran.err
    assert f"{file}:3: node.colour: unknown key; allowed here: name," in ran.err


def test_check_warns_of_what_will_not_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _init(capsys, tmp_path)
    file = tmp_path / "relay.toml"
    (tmp_path / "dkim_keys" / "leak.example" / f"s{_YEAR}a.pem").chmod(0o644)
    text = file.read_text().replace('return_path = "keep"', 'return_domain = "bounces.example.net"')
    text = text.replace("[submission]\n", '[submission]\ntls = { certificate = "no.pem", key = "no.key" }\n')
    text = text.replace("trusted_networks = []", 'trusted_networks = ["0.0.0.0/0"]')
    text = text.replace("[delivery]\n", '[delivery]\nport = 2525\nca_file = "no.ca"\nallow_private_addresses = true\n')
    file.write_text(text)
    ran = leak(capsys, "check", "--config", file, "--json")
    assert ran.status == 0
    told = json.loads(ran.out)
    assert told["ok"] is True
    expected = (
        "mail of leak.example is held",
        "does not align",
        "no.pem",
        "is wide",
        "no.ca is not there",
        "MX hosts listen on 25",
        "for tests only",
    )
    for part in expected:
        assert any(part in warning for warning in told["warnings"]), part


def test_check_shows_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[spool]\nurl = "postgresql://leak:hunter2@db.example/leak"\n')
    ran = leak(capsys, "check", "--config", file)
    assert "hunter2" not in ran.out + ran.err
    assert "postgresql://leak@db.example/leak" in ran.out


def test_dkim_new_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[[signing.domain]]\ndomain = "a.example"\nselectors = ["s1"]\n')
    before = json.loads(leak(capsys, "dkim", "list", "--json", "--config", file).out)
    assert [(row["selector"], row["used"], row["type"]) for row in before] == [("s1", True, None)]
    assert "is missing" in before[0]["problem"]
    made = leak(capsys, "dkim", "new", "a.example", "s1", "--config", file)
    assert made.status == 0
    assert 's1._domainkey.a.example. 3600 IN TXT ( "v=DKIM1; k=rsa; p=' in made.out
    other = leak(capsys, "dkim", "new", "B.example", "e1", "--type", "ed25519", "--json", "--config", file)
    assert json.loads(other.out)["name"] == "e1._domainkey.b.example"
    table = leak(capsys, "dkim", "list", "--config", file).out.splitlines()
    assert table[0].split() == ["DOMAIN", "SELECTOR", "TYPE", "BITS", "USED", "PROBLEM"]
    assert table[1].split() == ["a.example", "s1", "rsa", "2048", "yes", "-"]
    assert table[2].split() == ["b.example", "e1", "ed25519", "256", "no", "-"]


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["a.example", "S 1"], 2, "is not a selector; write lower-case letters"),
        (["../a", "s1"], 2, "is not a domain"),
        (["a.example", "s1", "--type", "dsa"], 2, "write rsa or ed25519"),
        (["a.example", "e1", "--type", "ed25519"], 1, "never overwritten"),
    ],
)
def test_dkim_new_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, complaint: str
) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("")
    leak(capsys, "dkim", "new", "a.example", "e1", "--type", "ed25519", "--config", file)
    ran = leak(capsys, "dkim", "new", *words, "--config", file)
    assert ran.status == status
    assert complaint in ran.err
