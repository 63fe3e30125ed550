"""Setting a node up: init, check, keys."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import stat
import sys
from datetime import datetime
from pathlib import Path

import pytest
import trustme

from relay.cli.template import Answers, configuration_text, quote
from relay.settings import load_settings
from tests.support.command import PROGRAM, REPOSITORY, leak, leak_program

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
    assert (domain.return_domain, domain.return_path) == ("bounces.leak.example", "ours")
    assert "inbound" in settings.node.roles
    assert [str(one) for one in settings.inbound.listen] == ["0.0.0.0:25"]
    assert " MX " in out
    assert "rua=mailto:dmarc-reports@bounces.leak.example" in out
    assert out.splitlines()[-1] == f"Next: leak check --config {tmp_path / 'relay.toml'}"
    for selector in domain.selectors:
        key = tmp_path / "dkim_keys" / "leak.example" / f"{selector}.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert f"{selector}._domainkey.leak.example" in out
    assert len(list((tmp_path / "secrets").iterdir())) == 5
    assert "v=spf1" in out
    assert "v=DMARC1" in out
    assert leak(capsys, "check", "--config", tmp_path / "relay.toml").status == 0


def test_init_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Automation: a file of answers, addresses among them; the records and the words for the host name them."""
    answers = tmp_path / "answers.toml"
    answers.write_text(
        'domain = "leak.example"\nhostname = "mx.leak.example"\naddress = ["192.0.2.10", "2001:db8::1"]\n'
    )
    ran = leak(capsys, "init", "--yes", "--folder", tmp_path / "node", "--answers", answers)
    assert ran.status == 0, ran.err
    assert load_settings(tmp_path / "node" / "relay.toml", {}).doctor.addresses == ("192.0.2.10", "2001:db8::1")
    assert "v=spf1 ip4:192.0.2.10 ip6:2001:db8::1 -all" in ran.out
    assert "PTR record of 192.0.2.10, 2001:db8::1 to mx.leak.example" in ran.out
    assert "port 25" in ran.out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('domian = "leak.example"', "domian"),
        ("domain = 5", "domain"),
        ('domain = "leak.example"\naddress = "nowhere"', "nowhere"),
        ("domain", "answers.toml"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text(text)
    ran = leak(capsys, "init", "--yes", "--folder", tmp_path / "node", "--answers", answers)
    assert ran.status == 2
    assert complaint in ran.err
    assert not (tmp_path / "node").exists()


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
    assert ran.status == 0
    # Who runs the service, how alarms reach them and who keeps the keys of sealed records, only its operator can say.
    told = [line.split(": ")[1] for line in ran.err.splitlines()]
    assert sorted(told) == ["alarm", "web.operator", "web.sealed_keys"]


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


async def test_init_at_a_terminal_asks_again(tmp_path: Path) -> None:
    """What is no domain and no address is asked for anew; an empty answer takes what is proposed."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "init", "--folder", str(tmp_path / "n")),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=REPOSITORY,
    )
    os.close(theirs)
    seen = b""
    talk = [
        (b"From addresses: ", b"not a domain"),
        (b"such as leak.example", b"leak.example"),
        (b"[mail.leak.example]: ", b""),
        (b"addresses mail leaves from", b"192.0.2.300"),
        (b"is no IP address", b"192.0.2.10, 2001:db8::10"),
    ]
    try:
        async with asyncio.timeout(60):
            for awaited, answer in talk:
                while awaited not in seen:
                    seen += await asyncio.to_thread(os.read, ours, 4096)
                seen = seen.partition(awaited)[2]
                os.write(ours, answer + b"\n")
            while b"Next: leak check" not in seen:
                seen += await asyncio.to_thread(os.read, ours, 4096)
            assert await process.wait() == 0, seen
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
    assert b"ip4:192.0.2.10 ip6:2001:db8::10" in seen
    assert b"leak.example needs an MX record too" in seen


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
    assert "no record is kept of who sent a letter" in leak(capsys, "check", "--config", file).err
    (tmp_path / "dkim_keys" / "leak.example" / f"s{_YEAR}a.pem").chmod(0o644)
    leak(capsys, "sealed", "new-keys", tmp_path / "custody", "--from", "2020-01", "--months", "1")
    (tmp_path / "custody" / "public").rename(tmp_path / "sealed")
    text = file.read_text().replace('return_domain = "bounces.leak.example"', 'return_domain = "bounces.example.net"')
    text = text.replace("trusted_networks = []", 'trusted_networks = ["0.0.0.0/0"]')
    text = text.replace("[delivery]\n", "[delivery]\nport = 2525\nallow_private_addresses = true\n")
    text = text.replace(
        "[web]\n",
        '[web]\nsealed_keys = "sealed"\nfirst_contact = "doorbell"\ndoorbell_domain = "bell.leak.example"\n'
        'weekly_domain = "weekly.leak.example"\n',
    )
    text = text.replace(', "doorbells"]', "]")
    file.write_text(text)
    ran = leak(capsys, "check", "--config", file, "--json")
    assert ran.status == 0
    told = json.loads(ran.out)
    assert told["ok"] is True
    expected = (
        "mail of leak.example is held",
        "does not align",
        "is wide",
        "MX hosts listen on 25",
        "for tests only",
        "bell.leak.example has no [[signing.domain]]",
        "weekly.leak.example has no [[signing.domain]]",
        "mails that only ask offer no one-click",
        "the last key is that of 2020-01",
    )
    for part in expected:
        assert any(part in warning for warning in told["warnings"]), part


@pytest.mark.parametrize(
    ("sender", "returns", "aligns"),
    [
        ("leak.co.uk", "bounces.leak.co.uk", True),
        ("mail.leak.co.uk", "bounces.leak.co.uk", True),
        ("leak.co.uk", "bounces.other.co.uk", False),
        ("leak.co.uk", "co.uk", False),
    ],
)
def test_check_knows_whose_return_domain_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sender: str, returns: str, aligns: bool
) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(
        f'[spool]\nurl = "sqlite:a/spool.db"\n[[signing.domain]]\ndomain = "{sender}"\nselectors = ["s"]\n'
        f'return_domain = "{returns}"\n'
    )
    told = json.loads(leak(capsys, "check", "--json", "--config", file).out)
    assert any("does not align" in warning for warning in told["warnings"]) is not aligns


def test_check_warns_of_a_front_that_protects_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _init(capsys, tmp_path)
    file = tmp_path / "relay.toml"
    set_up = json.loads(leak(capsys, "check", "--config", file, "--json").out)["warnings"]
    loose = (
        '[web]\nlimits = false\nsender_domain = "other.example"\ntor_lists = ["none.txt"]\n'
        'trusted_proxies = ["10.0.0.0/8", "0.0.0.0/0", "::/0", "127.0.0.0/8"]\n'
        f'onion_url = "http://{"a" * 56}.onion"\n'
    )
    text = re.sub(r"(?m)^(base_url|trusted_proxies|sender_domain) = .*\n", "", file.read_text())
    loose += 'base_url = "http://leak.example"\n'
    file.write_text(text.replace("[web]\n", loose) + '\n[web.operator]\nmail = "write to us"\n')
    told = json.loads(leak(capsys, "check", "--config", file, "--json").out)["warnings"]
    expected = (
        "web.base_url: http://leak.example shows on the way",
        "web.trusted_proxies: 0.0.0.0/0, ::/0 is wide",
        "web.trusted_proxies: 0.0.0.0/0, 127.0.0.0/8 is where Tor connects from too",
        "web.limits: off",
        f"web.tor_lists: {tmp_path / 'none.txt'} cannot be read: No such file or directory",
        "web.operator.mail: write to us is no mail address",
        "web.sender_domain: other.example has no [[signing.domain]]",
    )
    for part in expected:
        assert any(part in warning for warning in told), (part, told)
        assert not any(part.partition(":")[0] + ":" in warning for warning in set_up), "of what `leak init` wrote"


_STOPS = {
    "a missing certificate": (
        '[submission]\nlisten = ["127.0.0.1:0"]\ntls = { certificate = "no.pem", key = "no.key" }',
        "no.pem",
    ),
    "an unknown spool": ('[spool]\nurl = "mysql://db/leak"', "spool.url: mysql: is not a spool"),
    "a spool below a file": ('[spool]\nurl = "sqlite:relay.toml/spool.db"', "is no folder"),
    "a spool below what is no folder": (
        '[spool]\nurl = "sqlite:///dev/null/x/spool.db"',
        "cannot be made: /dev/null is no",
    ),
    "a spool where nobody writes": ('[spool]\nurl = "sqlite:///proc/leak/spool.db"', "/proc/leak cannot be made"),
    "a spool that is a folder": ('[spool]\nurl = "sqlite:."', "is a folder"),
    "secrets below a file": ('[node]\nsecrets = "relay.toml/x"', "node.secrets: "),
    "one address for two": (
        '[submission]\nlisten = ["127.0.0.1:2525"]\n[api]\nlisten = "127.0.0.1:2525"',
        "api.listen: 127.0.0.1:2525 is taken by submission.listen: 127.0.0.1:2525",
    ),
    "any address and one": (
        '[web]\nlisten = "127.0.0.1:8080"\nsender_domain = "a.example"\n[api]\nlisten = ":8080"',
        "api.listen: 0.0.0.0:8080 is taken by web.listen: 127.0.0.1:8080",
    ),
    "a foreign address": (
        '[api]\nlisten = "192.0.2.1:8080"',
        "api.listen: 192.0.2.1:8080: this machine has no address",
    ),
    "a foreign source": (
        '[[egress.source]]\nname = "ip1"\naddress = "192.0.2.1"',
        "egress.source.address: ip1: this machine has no address 192.0.2.1",
    ),
    "a missing authority": ('[delivery]\nca_file = "no.ca"', "no.ca: cannot be read"),
    "a front without a domain": ('[web]\nlisten = "127.0.0.1:8080"', "web.sender_domain: missing"),
    "a missing password": (
        '[[delivery.route]]\ndomain = "*"\nnext_hop = "a.example:587"\nuser = "u"\npassword_file = "no"',
        "no cannot be read",
    ),
}


@pytest.mark.parametrize(("text", "complaint"), _STOPS.values(), ids=_STOPS.keys())
def test_check_finds_what_would_stop_a_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(text if "[spool]" in text else f'{text}\n[spool]\nurl = "sqlite:spool.db"\n')
    told = leak(capsys, "check", "--config", file)
    assert told.status == 2
    assert any(line.startswith("error: ") and complaint in line for line in told.err.splitlines()), told.err
    assert told.out.startswith(f"{file}: cannot run\n")
    as_json = json.loads(leak(capsys, "check", "--json", "--config", file).out)
    assert as_json["ok"] is False
    assert any(complaint in error for error in as_json["errors"])
    assert [path.name for path in tmp_path.iterdir()] == ["relay.toml"]


def test_check_finds_a_private_half_before_a_start_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.toml"
    front = '[web]\nlisten = "127.0.0.1:0"\nsender_domain = "a.example"\nsealed_keys = "custody/private"\n'
    file.write_text(front + '[spool]\nurl = "sqlite:spool.db"\n')
    assert leak(capsys, "sealed", "new-keys", tmp_path / "custody", "--months", "1").status == 0
    told = leak(capsys, "check", "--config", file)
    assert (told.status, "error: web.sealed_keys: " in told.err) == (2, True)
    assert "is a private half: it belongs offline" in told.err


def test_check_reads_the_packs_that_replace_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, pack = tmp_path / "relay.toml", tmp_path / "moderation" / "en.toml"
    file.write_text('[spool]\nurl = "sqlite:spool.db"\n')
    pack.parent.mkdir()
    pack.write_text("[[rule")
    told = leak(capsys, "check", "--config", file)
    assert told.status == 2
    assert str(pack) in told.err


def test_check_takes_what_can_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(
        '[spool]\nurl = "sqlite:a/spool.db"\n[submission]\nlisten = ["127.0.0.1:2525", "127.0.0.2:2525"]\n'
        '[api]\nlisten = "127.0.0.1:8080"\n[web]\nlisten = "127.0.0.1:8080"\nsender_domain = "a.example"\n'
    )
    assert leak(capsys, "check", "--config", file).status == 0


def test_check_tells_a_bad_file_as_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[node]\nworkers = -1\n")
    ran = leak(capsys, "check", "--json", "--config", file)
    assert ran.status == 2
    told = json.loads(ran.out)
    assert (told["ok"], told["errors"]) == (False, [f"{file}:2: node.workers: it must be 0 or more; got -1"])


def test_check_tells_lists_as_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _init(capsys, tmp_path)
    told = json.loads(leak(capsys, "check", "--json", "--config", tmp_path / "relay.toml").out)
    assert told["roles"] == ["web", "api", "submission", "inbound", "delivery"]
    assert told["submission"] == ["0.0.0.0:587"]
    assert told["errors"] == []
    assert not any("no effect" in warning for warning in told["warnings"])


def test_check_shows_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[spool]\nurl = "postgresql://leak:hunter2@db.example/leak"\n')
    ran = leak(capsys, "check", "--config", file)
    assert "hunter2" not in ran.out + ran.err
    assert "postgresql://leak@db.example/leak" in ran.out
    assert "spool.url" not in ran.err


@pytest.mark.parametrize("url", ["postgresql://", "postgresql:///leak", "postgresql://leak@db.example:99999/leak"])
def test_check_refuses_a_spool_without_a_host(tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(f'[spool]\nurl = "{url}"\n')
    ran = leak(capsys, "check", "--config", file)
    assert ran.status == 2
    assert "error: spool.url: " in ran.err


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
    assert table[0].split() == ["DOMAIN", "SELECTOR", "TYPE", "BITS", "USE", "PROBLEM"]
    assert table[1].split() == ["a.example", "s1", "rsa", "2048", "signs", "-"]
    assert table[2].split() == ["b.example", "e1", "ed25519", "256", "not", "used", "-"]


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
