"""Whether an IPv6 address of ours is fit to send from."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.ipv6 import Ipv6Watch
from relay.resolver.contract import DnsAnswer, DnsFailure
from relay.resolver.fitness import fitness_of
from relay.settings import settings_from

ADDRESS = "2606:4700::25"
REVERSE = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.4.6.0.6.2.ip6.arpa"


class Zone(dict[tuple[str, str], DnsAnswer]):
    """A resolver with a few answers."""

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        return self.get((name, kind), DnsAnswer((), DnsFailure.NODATA))


def zone(spf: str = f"v=spf1 ip6:{ADDRESS} -all") -> Zone:
    return Zone(
        {
            (REVERSE, "PTR"): DnsAnswer(("mail6.leak.example",)),
            ("mail6.leak.example", "AAAA"): DnsAnswer((ADDRESS,)),
            ("leak.example", "TXT"): DnsAnswer(("something else", spf)),
            ("loop.example", "TXT"): DnsAnswer(("v=spf1 include:loop.example -all",)),
            ("pass.example", "TXT"): DnsAnswer((f"v=spf1 ip6:{ADDRESS}/64 -all",)),
            ("leak.example", "MX"): DnsAnswer(("10 mail6.leak.example",)),
        }
    )


@pytest.mark.parametrize(
    ("spf", "fit"),
    [
        (f"v=spf1 ip6:{ADDRESS} -all", True),
        ("v=spf1 ip4:192.0.2.1 -all", False),
        (f"v=spf1 -ip6:{ADDRESS} +all", False),
        ("v=spf1 ?all", False),
        ("v=spf1 a:mail6.leak.example -all", True),
        ("v=spf1 mx -all", True),
        ("v=spf1 include:pass.example -all", True),
        ("v=spf1 redirect=pass.example", True),
        ("v=spf1 include:loop.example -all", False),  # S33: an endless chain ends
        ("v=spf1 ip6:nonsense ip4: -all", False),
        ("nothing", False),
    ],
)
async def test_spf_must_let_the_address_send(spf: str, fit: bool) -> None:
    assert (await fitness_of(zone(spf), ADDRESS, ["leak.example"])).fit is fit


async def test_a_name_must_lead_back() -> None:
    there = zone()
    assert (await fitness_of(there, ADDRESS, ["leak.example"])).fit
    there["mail6.leak.example", "AAAA"] = DnsAnswer(("2606:4700::26",))
    found = await fitness_of(there, ADDRESS, ["leak.example"])
    assert (found.fit, "PTR" in found.why) == (False, True)
    there[REVERSE, "PTR"] = DnsAnswer((), DnsFailure.NXDOMAIN)
    assert (await fitness_of(there, ADDRESS, ["leak.example"])).fit is False


@pytest.mark.parametrize("question", [(REVERSE, "PTR"), ("mail6.leak.example", "AAAA"), ("leak.example", "TXT")])
async def test_without_an_answer_nothing_is_decided(question: tuple[str, str]) -> None:
    there = zone()
    there[question] = DnsAnswer((), DnsFailure.SERVFAIL)
    assert (await fitness_of(there, ADDRESS, ["leak.example"])).fit is None


async def test_an_address_of_the_lab_is_nobodys_concern() -> None:
    assert (await fitness_of(Zone(), "::1", ["leak.example"])).fit


async def test_the_watch_keeps_ipv6_to_the_fit() -> None:
    told: list[frozenset[str]] = []
    sources = [
        {"name": "four", "address": "192.0.2.1"},
        {"name": "six", "address": ADDRESS},
        {"name": "sure", "address": "2606:4700::1", "ipv6": "always"},
        {"name": "none", "address": "2606:4700::2", "ipv6": "never"},
    ]
    domain = {"domain": "leak.example", "selectors": ["s1"]}
    settings = settings_from({"egress": {"source": sources}, "signing": {"domain": [domain]}}, Path("/nowhere"))
    there = zone()
    watch = Ipv6Watch(settings, there, told.append)
    watch.start()
    await watch.stop()
    assert told[0] == {"six", "none"}
    assert await watch.look()
    assert told[-1] == {"none"}
    there["leak.example", "TXT"] = DnsAnswer(("v=spf1 -all",))
    await watch.look()
    assert told[-1] == {"six", "none"}
    there["leak.example", "TXT"] = DnsAnswer((), DnsFailure.TIMEOUT)
    assert not await watch.look()
    assert told[-1] == {"six", "none"}
