"""The settings: what they take, and that every complaint names its place, what is wrong and what is allowed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.errors import ConfigurationError
from relay.front_node import key_of
from relay.settings import Listen, Settings, load_settings, parse_listen, settings_from

_REPOSITORY = Path(__file__).resolve().parents[2]


def _load(tmp_path: Path, text: str, **environment: str) -> Settings:
    file = tmp_path / "relay.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environment)


def _complaints(tmp_path: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, text, **environment)
    return [line.replace(f"{tmp_path}/", "") for line in str(caught.value).splitlines()]


def test_an_empty_file_is_a_configuration(tmp_path: Path) -> None:
    settings = _load(tmp_path, "")
    assert settings.delivery.port == 25
    assert settings.submission.require_auth
    assert settings.folder == tmp_path


def test_the_shipped_file_loads_and_finds_its_neighbours() -> None:
    settings = load_settings(_REPOSITORY / "config" / "relay.toml", {})
    assert settings.path(settings.signing.keys).resolve() == _REPOSITORY / "dkim_keys"
    assert settings.delivery.retry == Settings().delivery.retry
    assert settings.signing.domain[0].selectors


def test_units_and_paths(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        '[spool]\nurl = "sqlite:var/spool.db"\n[submission]\nmax_message_size = "25 MB"\n'
        '[delivery]\nretry = ["90s", "1h30m"]\nca_file = ""\n',
    )
    assert settings.sqlite_path == tmp_path / "var" / "spool.db"
    assert settings.submission.max_message_size == 25_000_000
    assert settings.delivery.retry == (timedelta(seconds=90), timedelta(minutes=90))
    assert settings.delivery.ca_file is None


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///a/b.db", Path("/a/b.db")), ("postgresql://user@host/db", None), ("nonsense", None)],
)
def test_sqlite_path(tmp_path: Path, url: str, path: Path | None) -> None:
    assert _load(tmp_path, f'[spool]\nurl = "{url}"').sqlite_path == path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:25", Listen(host="127.0.0.1", port=25)),
        ("[::1]:465/tls", Listen(host="::1", port=465, tls=True)),
        (":8080", Listen(host="0.0.0.0", port=8080)),
        ("localhost:0", Listen(host="localhost", port=0)),
    ],
)
def test_listen(text: str, expected: Listen) -> None:
    assert parse_listen(text) == expected
    assert parse_listen(str(expected)) == expected


@pytest.mark.parametrize("text", ["25", "host", "host:", "host:x", "h:70000", "h:25/ssl", "h:25/", "a b:25", "-:\n25"])
def test_listen_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="host"):
        parse_listen(text)


def test_loopback() -> None:
    assert parse_listen("127.0.0.9:1").loopback
    assert parse_listen("[::1]:1").loopback
    assert parse_listen("localhost:1").loopback
    assert not parse_listen("0.0.0.0:1").loopback
    assert not parse_listen("example.org:1").loopback


def test_an_unknown_key_names_its_line_and_the_allowed_ones(tmp_path: Path) -> None:
    [complaint] = _complaints(tmp_path, '# first\n[log]\nlevel = "info"\ncolour = true\n')
    assert complaint == "relay.toml:4: log.colour: unknown key; allowed here: format, level"


def test_an_unknown_section(tmp_path: Path) -> None:
    [complaint] = _complaints(tmp_path, "\n[nodes]\nname = 1\n")
    assert complaint.startswith("relay.toml:2: nodes: unknown key; allowed here: alarm, api, ")
    assert "folder" not in complaint


def test_the_folder_is_no_setting(tmp_path: Path) -> None:
    [complaint] = _complaints(tmp_path, 'folder = "/"')
    assert complaint.startswith("relay.toml:1: folder: unknown key")


def test_every_complaint_is_told_at_once(tmp_path: Path) -> None:
    text = '[node]\nworkers = "many"\nroles = ["web", "cook"]\n[log]\nlevel = "loud"\n'
    first, second, third = _complaints(tmp_path, text)
    assert first.startswith("relay.toml:2: node.workers: ")
    assert first.endswith('write a whole number, without quotes; got "many"')
    assert second.startswith("relay.toml:3: node.roles: ")
    assert second.endswith('write "web", "api", "submission", "inbound" or "delivery"; got "cook"')
    assert third.startswith("relay.toml:5: log.level: ")


_VALUES = {
    "a listen without port": ('[api]\nlisten = "localhost"', "2: api.listen: 'localhost' is not an address; write \"h"),
    "a listen that is a number": ("[api]\nlisten = 8080", '2: api.listen: 8080 is not an address; write "host:port"'),
    "tls without certificate": ('[submission]\nlisten = [":465/tls"]', "1: submission: a /tls address needs tls"),
    "a certificate without key": (
        '[submission]\nlisten = []\ntls = { certificate = "a" }',
        "3: submission.tls.key: missing; it has no default",
    ),
    "a duration without unit": ("[delivery]\nexpire_after = 5", "2: delivery.expire_after: 5 is not a duration; write"),
    "a wrong duration": ('[delivery]\nretry = ["5m", "soon"]', "2: delivery.retry: 'soon' is not a duration; write"),
    "no retries": ("[delivery]\nretry = []", "2: delivery.retry: it needs at least one entry; got []"),
    "a wrong size": ('[submission]\nmax_message_size = "big"', "2: submission.max_message_size: 'big' is not a size"),
    "a truth as size": (
        "[submission]\nmax_message_size = true",
        "2: submission.max_message_size: True is not a size; write",
    ),
    "a wrong network": (
        '[submission]\ntrusted_networks = ["10.0.0.1/8"]',
        '2: submission.trusted_networks: 10.0.0.1/8 has host bits set; write networks such as "127.0.0.1/32"',
    ),
    "a wrong proxy": (
        '[web]\ntrusted_proxies = ["all"]',
        "2: web.trusted_proxies: 'all' does not appear to be an IPv4",
    ),
    "a host name": ('[node]\nname = "mail"', "2: node.name: 'mail': the domain is not fully qualified"),
    "a name server with tls": (
        '[resolver]\nnameservers = ["1.1.1.1:853/tls"]',
        '2: resolver.nameservers: \'1.1.1.1:853/tls\': "/tls" cannot stand here; write "host:port"',
    ),
    "a smarthost": ('[delivery]\nsmarthost = "relay"', "2: delivery.smarthost: 'relay' is not an address; write"),
    "a base url with path": ('[web]\nbase_url = "https://a.example/x"', "2: web.base_url: write http:// or https://"),
    "a source's address": (
        '[[egress.source]]\nname = "a"\naddress = "x"',
        "3: egress.source.address: 'x' is not an IP",
    ),
    "two sources of a name": (
        '[[egress.source]]\nname = "a"\n[[egress.source]]\nname = "a"',
        "1: egress.source: named more than once: a",
    ),
    "a size without unit": (
        '[submission]\nmax_message_size = "10"',
        "2: submission.max_message_size: '10' has no unit; write",
    ),
    "half an octet": (
        "[submission]\nmax_message_size = 2.5",
        "2: submission.max_message_size: 2.5 is not a size; write",
    ),
    "a negative size": ("[spool]\nminimum_free = -1", "2: spool.minimum_free: -1 is not a size; it must be 0 or more"),
    "a text as truth": (
        '[submission]\nrequire_auth = "yes"',
        '2: submission.require_auth: write true or false, without quotes; got "yes"',
    ),
    "a text as number": ('[node]\nworkers = "2"', '2: node.workers: write a whole number, without quotes; got "2"'),
    "a truth as number": ("[node]\nworkers = true", "2: node.workers: write a whole number, without quotes; got true"),
    "a text as share": ('[delivery]\njitter = "0.1"', '2: delivery.jitter: write a number, without quotes; got "0.1"'),
    "too many": ("[node]\nworkers = 300", "2: node.workers: it must be 256 or less; got 300"),
    "nothing at all": ("[delivery]\ntime_scale = 0", "2: delivery.time_scale: it must be more than 0; got 0"),
    "a number as text": ("[alarm]\ncommand = 1", "2: alarm.command: write a text in quotes; got 1"),
    "a number as path": ("[signing]\nkeys = 1", "2: signing.keys: write a path in quotes; got 1"),
    "a number as list": ("[node]\nroles = 1", '2: node.roles: write a list, as in ["a", "b"]; got 1'),
    "a value as section": ("log = [1, true]", "1: log: this is a section: write its keys below"),
    "a NUL in a path": ('[node]\nsecrets = "a\\u0000b"', "2: node.secrets: the text holds a NUL byte"),
    "a NUL in a name": ('[node]\nname = "a\\u0000.example"', "2: node.name: the text holds a NUL byte"),
    "a NUL in a URL": ('[spool]\nurl = "sqlite:a\\u0000"', "2: spool.url: the text holds a NUL byte"),
    "a NUL in a list": ('[unsubscribe]\nstreams = ["a", "\\u0000"]', "2: unsubscribe.streams: the text"),
    "a NUL in a table of many": ('[[egress.source]]\nname = "a\\u0000"', "2: egress.source.name: the text holds a NUL"),
    "a dotted key": ("node.workers = -1", "1: node.workers: it must be 0 or more; got -1"),
}


@pytest.mark.parametrize(("text", "expected"), _VALUES.values(), ids=_VALUES.keys())
def test_a_wrong_value(tmp_path: Path, text: str, expected: str) -> None:
    [complaint] = _complaints(tmp_path, text)
    assert complaint.startswith(f"relay.toml:{expected}")


_SIGNING = """\
[signing]
threads = 1

[[signing.domain]]
domain = "a.example"
selectors = ["s1"]

[[signing.domain]]
domain = "b.example"
{}
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('selectors = ["S 1"]', "10: signing.domain.selectors: 'S 1' is not a selector; write lower-case letters"),
        ("selectors = []", "10: signing.domain.selectors: it needs at least one entry"),
        ("", "8: signing.domain.selectors: missing; it has no default"),
        ('selectors = ["s1", "s1"]', "10: signing.domain.selectors: named more than once: s1"),
        ('selectors = ["s.-x"]', "10: signing.domain.selectors: 's.-x' is not a selector"),
        (
            'selectors = ["s"]\nreturn_path = "mine"',
            '11: signing.domain.return_path: write "ours" or "keep"; got "mine"',
        ),
        (
            'selectors = ["s"]\nkeys = "x"',
            "11: signing.domain.keys: unknown key; allowed here: domain, ed25519, return_domain",
        ),
        (
            'selectors = ["s"]\n[[signing.domain]]\ndomain = "A.example"\nselectors = ["t"]',
            "4: signing.domain: named more",
        ),
    ],
)
def test_a_complaint_about_the_second_domain_names_its_line(tmp_path: Path, line: str, expected: str) -> None:
    [complaint] = _complaints(tmp_path, _SIGNING.format(line))
    assert complaint.startswith(f"relay.toml:{expected}")


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file; name one with --config, or run `leak init`"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path / "latin.toml", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[log]\nlevel info\n", "2: not valid TOML: Expected '=' after a key in a key/value pair in column 7"),
        ("\n[node\n", "2: not valid TOML: "),
        ('[log]\nlevel = """info\n', "2: not valid TOML: "),
    ],
)
def test_what_is_no_toml_names_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert _complaints(tmp_path, text)[0].startswith(f"relay.toml:{expected}")


def test_variables_are_replaced(tmp_path: Path) -> None:
    settings = _load(tmp_path, '[node]\nname = "${NAME}.leak.example"\nroles = ["${ROLE}"]', NAME="mx", ROLE="delivery")
    assert (settings.node.name, settings.node.roles) == ("mx.leak.example", ("delivery",))
    assert _complaints(tmp_path, '[node]\nname = "${NAME}"\nroles = ["${ROLE}"]') == [
        "relay.toml:2: node.name: the environment variable NAME is not set",
        "relay.toml:3: node.roles: the environment variable ROLE is not set",
    ]


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        '[node]\nworkers = 1\n[submission]\nlisten = ["127.0.0.1:25"]',
        LEAK_NODE__WORKERS="2",
        LEAK_NODE__NAME="mx.leak.example",
        LEAK_SUBMISSION__LISTEN="127.0.0.1:2525",
        LEAK_INBOUND__LISTEN='["127.0.0.1:26", "127.0.0.1:27"]',
        LEAK_DELIVERY__EXPIRE_AFTER="2d",
        LEAK_RESOLVER__TRUST_AD="true",
        LEAK_CONFIG="other.toml",
        LEAK_SEND_SERVER="127.0.0.1:587",
    )
    assert (settings.node.workers, settings.node.name) == (2, "mx.leak.example")
    assert [str(address) for address in settings.submission.listen] == ["127.0.0.1:2525"]
    assert len(settings.inbound.listen) == 2
    assert settings.delivery.expire_after == timedelta(days=2)
    assert settings.resolver.trust_ad


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("127.0.0.1/32, 10.0.0.0/8,", ("127.0.0.1/32", "10.0.0.0/8")),
        ('"::1"', ("::1",)),
        ('["::1", "127.0.0.1"]', ("::1", "127.0.0.1")),
        ("", ()),
    ],
)
def test_a_list_in_the_environment_may_be_plain_text(tmp_path: Path, text: str, networks: tuple[str, ...]) -> None:
    file = '[submission]\ntrusted_networks = ["192.0.2.0/24"]\n'
    settings = _load(tmp_path, file, LEAK_SUBMISSION__TRUSTED_NETWORKS=text, LEAK_DELIVERY__RETRY="5m, 1h")
    assert settings.submission.trusted_networks == networks
    assert settings.delivery.retry == (timedelta(minutes=5), timedelta(hours=1))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("LEAK_DELIVERY__RETRY", "5", 'delivery.retry: write a list, as in ["a", "b"]; got 5'),
        ("LEAK_NODE__ROLES", "web, cook", "node.roles: write "),
        ("LEAK_NODE__WORKERS", "many", "node.workers: write a whole number, without quotes"),
        ("LEAK_NODE__COLOUR", "red", "node.colour: unknown key; allowed here: name,"),
        ("LEAK_NOSUCH__KEY", "1", "nosuch: unknown key; allowed here: alarm,"),
        ("LEAK_SUBMISSION__TLS__KEY", "a.pem", "submission.tls.certificate: missing; it has no default"),
    ],
)
def test_a_complaint_about_a_variable_names_it(tmp_path: Path, variable: str, value: str, expected: str) -> None:
    [complaint] = _complaints(tmp_path, "[node]\nworkers = 1\n", **{variable: value})
    assert complaint.removeprefix(f"environment variable {variable}: ").startswith(expected)


def test_settings_built_by_a_program(tmp_path: Path) -> None:
    settings = settings_from(
        {"node": {"workers": 1}, "egress": {"source": [{"name": "a", "address": "::1"}]}}, tmp_path
    )
    assert settings.path(settings.signing.keys) == tmp_path / "dkim_keys"
    with pytest.raises(ConfigurationError, match=r"\(built in\):1: node.workers: "):
        settings_from({"node": {"workers": -1}}, tmp_path)


def test_paths_are_told_without_detours(tmp_path: Path) -> None:
    settings = _load(tmp_path, "")
    assert settings.path(Path("../keys")) == tmp_path.parent / "keys"
    assert settings.path(Path("/a/b/../c")) == Path("/a/c")
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "inner")
    assert settings.path(Path("link/../keys")).resolve() == tmp_path / "far" / "keys"


def test_a_date_needs_no_quotes(tmp_path: Path) -> None:
    settings = _load(tmp_path, '[[egress.source]]\nname = "a"\nwarm_up = 2026-12-01')
    assert settings.egress.source[0].warm_up == "2026-12-01"


@pytest.mark.parametrize(
    ("url", "more", "complaint"),
    [
        ("http://relay.leak.example", {}, "write https://"),
        ("http://10.0.0.7:8080", {}, "write https://"),
        ("https://relay.leak.example/api", {}, "without a path"),
        ("https://user:pass@relay.leak.example", {}, "without a path"),
        ("ftp://relay.leak.example", {}, "write https://"),
        ("https://relay.leak.example", {"key_file": None}, "key_file: missing"),
        ("https://relay.leak.example", {}, ""),
        ("http://127.0.0.1:8080", {}, ""),
        ("http://[::1]:8080", {}, ""),
        ("http://10.0.0.7:8080", {"allow_http": True}, ""),
    ],
)
def test_the_relay_of_a_front_alone(url: str, more: dict[str, Any], complaint: str) -> None:
    relay = {name: value for name, value in {"key_file": "key", **more, "url": url}.items() if value is not None}
    data = {"node": {"roles": ["web"]}, "web": {"relay": relay, "sender_domain": "leak.example"}}
    if not complaint:
        assert settings_from(data, Path("/x")).web.relay.url == url
        return
    with pytest.raises(ConfigurationError, match=complaint):
        settings_from(data, Path("/x"))


def test_letters_can_be_answered_only_where_mail_comes_in() -> None:  # RCP 10
    with pytest.raises(ConfigurationError, match=r"web\.replies: letters could not be answered"):
        settings_from({"web": {"replies": True}}, Path())
    assert settings_from({"web": {"replies": True}, "inbound": {"domain": "b.leak.example"}}, Path()).web.replies
    alone = {
        "relay": {"url": "https://relay.leak.example", "key_file": "key"},
        "sender_domain": "leak.example",
        "replies": True,
    }
    assert settings_from({"web": alone, "node": {"roles": ["web"]}}, Path()).web.replies


def test_a_front_alone_does_nothing_else() -> None:
    relay = {"url": "https://relay.leak.example", "key_file": "key"}
    with pytest.raises(ConfigurationError, match=r'node.roles = \["web"\]'):
        settings_from({"web": {"relay": relay, "sender_domain": "leak.example"}}, Path("/x"))
    with pytest.raises(ConfigurationError, match="sender_domain"):
        settings_from({"node": {"roles": ["web"]}, "web": {"relay": relay}}, Path("/x"))


def test_the_relay_s_key_is_its_owner_s_alone(tmp_path: Path) -> None:
    relay = {"url": "https://relay.leak.example", "key_file": "key"}
    values = {"node": {"roles": ["web"]}, "web": {"relay": relay, "sender_domain": "leak.example"}}
    settings, key = settings_from(values, tmp_path), tmp_path / "key"
    key.write_text("k3y\n")
    key.chmod(0o644)
    with pytest.raises(ConfigurationError) as told:
        key_of(settings)
    assert str(told.value) == f"web.relay.key_file: {key} has mode 0644; run `chmod 600 {key}`"
    key.chmod(0o600)
    assert key_of(settings) == "k3y"


def test_the_shipped_front_s_configuration_is_one() -> None:
    folder = Path(__file__).resolve().parents[2] / "packaging" / "front"
    settings = load_settings(folder / "front.toml", {})
    assert settings.node.roles == ("web",)
    assert settings.web.relay.url.startswith("https://")
