"""From the settings to sources, pools, and what we know as ourselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.errors import ConfigurationError
from relay.settings import Settings, settings_from
from relay.sources import egress_sources, families, make_pools, own_addresses, own_names

TWO = [
    {"name": "ip1", "address": "192.0.2.10", "ehlo": "one.leak.example"},
    {"name": "ip2", "address": "192.0.2.11"},
]


def settings(egress: dict[str, Any] | None = None, route: list[dict[str, Any]] | None = None) -> Settings:
    data = {"node": {"name": "mail.leak.example"}, "egress": egress or {}, "delivery": {"route": route or []}}
    return settings_from(data, Path("/nowhere"))


def test_without_sources_the_system_chooses_under_the_nodes_name() -> None:
    (source,) = egress_sources(settings())
    assert (source.name, source.address, source.ehlo) == ("default", "", "mail.leak.example")


def test_all_sources_are_used_evenly_unless_pools_say_otherwise() -> None:
    pool = make_pools(settings({"source": TWO}), {}).pool("far.example", "", 1)
    assert [(member.source.name, member.weight) for member in pool.members] == [("ip1", 1.0), ("ip2", 1.0)]


def test_pools_are_found_by_route_stream_and_tenant() -> None:
    egress = {
        "source": TWO,
        "pool": [
            {"name": "default", "sources": ["ip1"]},
            {"name": "both", "sources": ["ip1", "ip2"], "weights": {"ip2": 3}, "tenants": ["shop"]},
            {"name": "bulk", "sources": ["ip2"], "streams": ["news"]},
        ],
    }
    pools = make_pools(settings(egress, [{"domain": "far.example", "pool": "both"}]), {"shop": 7})
    assert pools.pool("x.example", "", 1).name == "default"
    assert [member.weight for member in pools.pool("x.example", "", 7).members] == [1.0, 3.0]
    assert pools.pool("x.example", "news", 7).name == "bulk"
    assert pools.pool("far.example", "news", 7).name == "both"


def test_every_source_is_our_own_host() -> None:  # B06
    ours = settings({"source": TWO})
    assert own_names(ours) == {"mail.leak.example", "one.leak.example"}
    assert own_addresses(ours) == {"192.0.2.10", "192.0.2.11"}
    assert not any(address.startswith("127.") for address in own_addresses(settings()))


def test_the_families_are_those_of_all_sources() -> None:
    six = {"name": "ip6", "address": "2001:db8::1"}
    assert families(settings({"source": TWO})) == {4}
    assert families(settings({"source": [*TWO, six]})) == {4, 6}
    assert families(settings({"source": [*TWO, {**six, "ipv6": "never"}]})) == {4}


@pytest.mark.parametrize(
    ("egress", "complaint"),
    [
        ({"source": TWO, "pool": [{"name": "p", "sources": ["ip3"]}]}, "no .* is called so"),
        ({"source": TWO, "pool": [{"name": "p", "sources": []}]}, "at least one entry"),
        ({"source": TWO, "pool": [{"name": "p", "sources": ["ip1", "ip1"]}]}, "more than once"),
        ({"source": TWO, "pool": [{"name": "p", "sources": ["ip1"], "weights": {"ip2": 1}}]}, "not among its sources"),
        ({"source": TWO, "pool": [{"name": "p", "sources": ["ip1"], "weights": {"ip1": 0}}]}, "more than 0"),
        ({"source": TWO, "pool": [{"name": n, "sources": ["ip1"], "tenants": ["a"]} for n in "pq"]}, "more than once"),
        ({"source": TWO, "pool": [{"name": "p", "sources": ["ip1"]}] * 2}, "more than once"),
    ],
)
def test_pools_that_cannot_be_meant(egress: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        settings(egress)


@pytest.mark.parametrize(
    ("route", "complaint"),
    [
        ({}, "needs a next_hop, a pool, or both"),
        ({"pool": "none"}, "is called none"),
        ({"pool": "default", "tls": "verify"}, "belong to a next_hop"),
    ],
)
def test_routes_that_name_no_pool(route: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        settings({"source": TWO}, [{"domain": "far.example", **route}])
