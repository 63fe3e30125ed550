"""`leak check --explain`: the rules of a domain are those of its exchangers, which the DNS knows."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import leak_program
from tests.support.dns_server import DnsServer

ZONE = {"mail.example": {"MX": ["5 in.l.google.com.", "10 alt.l.google.com."]}}


async def test_a_domain_is_explained_by_its_exchangers(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    async with DnsServer(ZONE) as dns:
        config.write_text(f'[resolver]\nnameservers = ["{dns.address[0]}:{dns.address[1]}"]\n', encoding="utf-8")
        ran = await leak_program("check", "--explain", "mail.example", "--json", "--config", str(config))
    told = json.loads(ran.out)
    assert told["exchangers"] == ["in.l.google.com", "alt.l.google.com"]
    assert told["limits"]["connections"] == {"value": 5, "from": "google"}
