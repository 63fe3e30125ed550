"""MTA-STS and TLS reports of the inbound domain: served by host name, announced only once they answer."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from relay.cli.dns import answering_policies
from relay.cli.dns_compare import Finding, compare
from relay.cli.dns_records import wanted_records
from relay.policy.mta_sts import StsMode, StsPolicy, parse_policy
from relay.receiving import STS_MAX_AGE, sts_policies
from relay.resolver.contract import DnsAnswer
from tests.support.whole_relay import whole_relay

DOMAIN = "bounces.leak.lab.test"
INBOUND = {"listen": ["127.0.0.1:0"], "domain": DOMAIN, "tls": {"certificate": "relay.pem", "key": "relay.key"}}
POLICY = StsPolicy(StsMode.ENFORCE, ("mail.leak.lab.test",), STS_MAX_AGE)


async def test_the_policy_is_served_by_host_name(tmp_path: Path) -> None:  # I02
    async with whole_relay(tmp_path, "", inbound={**INBOUND, "mta_sts": "enforce"}) as relay:
        url = f"{relay.http}/.well-known/mta-sts.txt"
        async with aiohttp.ClientSession() as client:
            async with client.get(url, headers={"Host": f"MTA-STS.{DOMAIN}"}) as answer:
                assert (answer.status, answer.content_type) == (200, "text/plain")
                assert parse_policy(await answer.text()) == POLICY
            async with client.get(url) as answer:
                assert answer.status == 404
        assert await answering_policies(relay.settings) == frozenset(), "nothing answers over HTTPS yet"
        before = {(one.type, one.name) for one in wanted_records(relay.settings)}
        assert ("CNAME", f"mta-sts.{DOMAIN}") in before
        assert ("TXT", f"_mta-sts.{DOMAIN}") not in before
        after = {(one.type, one.name): one for one in wanted_records(relay.settings, {DOMAIN})}
        assert ("CNAME", f"mta-sts.{DOMAIN}") not in after
        record, reports = after["TXT", f"_mta-sts.{DOMAIN}"], after["TXT", f"_smtp._tls.{DOMAIN}"]
        assert reports.value == f"v=TLSRPTv1; rua=mailto:tls-reports@{DOMAIN}"
        for one in (record, reports):
            assert compare(one, DnsAnswer((one.value,))).finding is Finding.OK
            assert compare(one, DnsAnswer(("something else",))).finding is Finding.MISSING
        assert compare(record, DnsAnswer(("v=STSv1; id=old;",))).finding is Finding.DIFFERENT
        silent = relay.settings.model_copy(
            update={"inbound": relay.settings.inbound.model_copy(update={"mta_sts": "none"})}
        )
        assert sts_policies(silent) == {}
