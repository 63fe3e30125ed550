"""From the settings to routes, logins and TLS policies."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.errors import ConfigurationError
from relay.policy.route import Login
from relay.policy.tls import TlsDemand
from relay.resolver.resolver import DnsResolver
from relay.resolver.routing import StaticRoute
from relay.sending import TlsPolicies, static_routes
from relay.settings import Settings, settings_from
from tests.support.dns_server import DnsServer


def settings(folder: Path, resolver: dict[str, Any] | None = None, **delivery: Any) -> Settings:
    return settings_from({"delivery": delivery, "resolver": resolver or {}}, folder)


def secret(folder: Path, text: str = "open sesame\n", mode: int = 0o600) -> str:
    file = folder / "password"
    file.write_text(text)
    file.chmod(mode)
    return file.name


def test_routes_are_hosts_or_domains_with_their_demands(tmp_path: Path) -> None:  # S05
    found = static_routes(
        settings(
            tmp_path,
            route=[
                {"domain": "*", "next_hop": "smtp.example:587", "user": "me", "password_file": secret(tmp_path)},
                {"domain": "Bücher.example", "next_hop": "elsewhere.example", "tls": "encrypt"},
                {"domain": "v6.example", "next_hop": "[2001:db8::1]:25"},
            ],
        )
    )
    assert found == {
        "*": StaticRoute("smtp.example", 587, TlsDemand.VERIFY, Login("me", "open sesame")),
        "xn--bcher-kva.example": StaticRoute("elsewhere.example", None, TlsDemand.ENCRYPT, None),
        "v6.example": StaticRoute("2001:db8::1", 25, None, None),
    }


@pytest.mark.parametrize(
    ("route", "complaint"),
    [
        ({"next_hop": "smtp.example:587", "user": "me"}, "belong together"),
        ({"next_hop": "smtp.example:587", "password_file": "x"}, "belong together"),
        ({"next_hop": "smtp.example:587", "user": "me", "password_file": "x", "tls": "may"}, "never sent in clear"),
        ({"next_hop": "smtp.example:587", "user": "me", "password_file": "x", "tls": "none"}, "never sent in clear"),
        ({"next_hop": "smtp.example:587/tls"}, "no next hop"),
        ({"next_hop": ":25"}, "no next hop"),
        ({"next_hop": "smtp.example:0"}, "no next hop"),
        ({"next_hop": "not a domain"}, "next_hop"),
    ],
)
def test_routes_that_cannot_be_meant(tmp_path: Path, route: dict[str, Any], complaint: str) -> None:  # S05
    with pytest.raises(ConfigurationError, match=complaint):
        settings(tmp_path, route=[{"domain": "d.example", **route}])


def test_a_domain_has_one_route_and_one_demand(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="more than once"):
        settings(tmp_path, route=[{"domain": "d.example", "next_hop": "a.example"}] * 2)
    with pytest.raises(ConfigurationError, match="more than once"):
        settings(tmp_path, tls=[{"domain": "d.example", "demand": "may"}] * 2)
    with pytest.raises(ConfigurationError, match="demand"):
        settings(tmp_path, tls=[{"domain": "d.example", "demand": "dane"}])


@pytest.mark.parametrize(
    ("text", "mode", "complaint"), [("x", 0o644, "chmod 600"), ("\n", 0o600, "no password"), ("a\0b", 0o600, "no pass")]
)
def test_a_password_file_is_private_and_holds_one(tmp_path: Path, text: str, mode: int, complaint: str) -> None:  # S47
    name = secret(tmp_path, text, mode)
    route = {"domain": "*", "next_hop": "smtp.example:587", "user": "me", "password_file": name}
    with pytest.raises(ConfigurationError, match=complaint):
        static_routes(settings(tmp_path, route=[route]))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        static_routes(settings(tmp_path, route=[route | {"password_file": "missing"}]))


def test_ehlo_names_are_ascii(tmp_path: Path) -> None:  # D18
    made = settings_from({"node": {"name": "poste.bücher.example"}}, tmp_path)
    assert made.node.name == "poste.xn--bcher-kva.example"
    source = {"name": "a", "ehlo": "ÉCOLE.example"}
    assert settings_from({"egress": {"source": [source]}}, tmp_path).egress.source[0].ehlo == "xn--cole-9oa.example"


async def said_at_start(made: Settings, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    caplog.set_level(logging.INFO, "leak")
    async with DnsServer({}) as dns:
        resolver = DnsResolver([dns.address], timeout=5, trust_ad=False, clock=SystemClock())
        policies = TlsPolicies(made, resolver, SystemClock())
        await policies.start()
        await policies.close()
        await resolver.close()
    return caplog.text


async def test_without_a_trusted_resolver_the_log_says_that_dane_is_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # H01
    assert "dane-off" in await said_at_start(settings(tmp_path), caplog)
    assert "dane-off" not in await said_at_start(settings(tmp_path, {"trust_ad": True}), caplog)
    assert "dane-off" not in await said_at_start(settings(tmp_path, dane=False), caplog)
    afar = {"trust_ad": True, "nameservers": ["192.0.2.53:53"]}
    assert "ad-bit-from-afar" in await said_at_start(settings(tmp_path, afar), caplog)


@pytest.mark.parametrize(
    ("delivery", "host"),
    [
        ({}, ""),
        ({"smarthost": "a.example:587"}, "a.example:587"),
        ({"route": [{"domain": "*", "next_hop": "b.example:587"}], "smarthost": "a.example:587"}, "b.example:587"),
        ({"route": [{"domain": "x.example", "next_hop": "b.example:587"}]}, ""),
        ({"route": [{"domain": "*", "next_hop": "b.example"}]}, ""),
    ],
)
def test_the_smarthost_is_known_by_either_setting(tmp_path: Path, delivery: dict[str, object], host: str) -> None:
    settings = settings_from({"delivery": delivery}, tmp_path)
    assert settings.delivery.takes_all == host
    every = static_routes(settings).get("*", StaticRoute(""))
    assert (f"{every.next_hop}:{every.port}" if every.port else "") == host
