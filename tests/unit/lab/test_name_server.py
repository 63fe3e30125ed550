"""The lab's name server on real packets, UDP and TCP."""

from __future__ import annotations

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest

from relay.lab.lab import Lab
from relay.lab.zone import Fault, Trouble, Zone, ZoneResolver
from relay.resolver.contract import DnsFailure


async def ask(
    lab: Lab, name: str, kind: str, *, tcp: bool = False, ad: bool = False, wait: float = 5
) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    query.flags |= dns.flags.AD if ad else 0
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await send(query, "127.0.0.1", timeout=wait, port=lab.dns_port)


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("inbox.lab.test", "MX", "10 mx.inbox.lab.test."),
        ("null-mx.lab.test", "MX", "0 ."),  # B-rows: null MX (RFC 7505)
        ("no-mx.lab.test", "A", "127.0.1.9"),
        ("1.1.0.127.in-addr.arpa", "PTR", "mx.inbox.lab.test."),
        ("leak.lab.test", "TXT", '"v=spf1 ip4:127.0.0.0/8 -all"'),
    ],
)
async def test_published_records_are_answered(lab: Lab, name: str, kind: str, expected: str, tcp: bool) -> None:
    reply = await ask(lab, name, kind, tcp=tcp)
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA
    assert [item.to_text() for item in reply.answer[0]] == [expected]


@pytest.mark.parametrize("name", ["gmail.com", "nowhere.lab.test", "nxdomain.lab.test"])
async def test_nothing_else_exists(lab: Lab, name: str) -> None:
    assert (await ask(lab, name, "MX")).rcode() == dns.rcode.NXDOMAIN


async def test_nodata_is_not_nxdomain(lab: Lab) -> None:
    for name in ("inbox.lab.test", "lab.test"):  # a name without AAAA, and an empty non-terminal (RFC 8020)
        reply = await ask(lab, name, "AAAA")
        assert reply.rcode() == dns.rcode.NOERROR
        assert not reply.answer


async def test_servfail_and_silence(lab: Lab) -> None:
    assert (await ask(lab, "servfail.lab.test", "MX")).rcode() == dns.rcode.SERVFAIL
    with pytest.raises(dns.exception.Timeout):
        await ask(lab, "timeout.lab.test", "MX", wait=0.2)


async def test_truncation_sends_the_client_to_tcp(lab: Lab) -> None:
    lab.zone.break_name("inbox.lab.test", Fault(truncated=True))
    reply = await ask(lab, "inbox.lab.test", "MX")
    assert reply.flags & dns.flags.TC
    assert not reply.answer
    assert (await ask(lab, "inbox.lab.test", "MX", tcp=True)).answer
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], lab.dns_port
    assert str((await resolver.resolve("inbox.lab.test", "MX"))[0].exchange) == "mx.inbox.lab.test."


async def test_a_big_answer_truncates_itself(lab: Lab) -> None:
    lab.zone.publish("big.lab.test", "TXT", *(f"{i} " + "x" * 200 for i in range(40)))
    assert (await ask(lab, "big.lab.test", "TXT")).flags & dns.flags.TC
    assert len((await ask(lab, "big.lab.test", "TXT", tcp=True)).answer[0]) == 40


async def test_authentic_only_where_said_and_asked(lab: Lab) -> None:  # H-rows: AD is the resolver's word
    assert not (await ask(lab, "inbox.lab.test", "MX", ad=True)).flags & dns.flags.AD
    lab.zone.break_name("inbox.lab.test", Fault(authentic=True))
    assert (await ask(lab, "inbox.lab.test", "MX", ad=True)).flags & dns.flags.AD
    assert not (await ask(lab, "inbox.lab.test", "MX")).flags & dns.flags.AD


async def test_aliases_long_texts_and_changes_while_running(lab: Lab) -> None:
    lab.zone.publish("alias.lab.test", "CNAME", "target.lab.test")
    lab.zone.publish("target.lab.test", "TXT", "k" * 400)
    answer = (await ask(lab, "alias.lab.test", "TXT")).answer
    assert [rrset.rdtype.name for rrset in answer] == ["CNAME", "TXT"]
    assert b"".join(answer[1][0].strings) == b"k" * 400
    lab.zone.withdraw("target.lab.test")
    assert (await ask(lab, "alias.lab.test", "TXT")).rcode() == dns.rcode.NXDOMAIN


async def test_a_delayed_answer_comes(lab: Lab) -> None:
    lab.zone.break_name("inbox.lab.test", Fault(delay=0.05))
    assert (await ask(lab, "inbox.lab.test", "MX")).answer
    assert (await ask(lab, "inbox.lab.test", "MX", tcp=True)).answer


@pytest.mark.parametrize("packet", [b"", b"\x00", b"\xff" * 40, b"\x00" * 12])
async def test_nonsense_does_no_harm(lab: Lab, packet: bytes) -> None:
    from relay.lab.dns import respond

    respond(lab.zone, packet, stream=False)
    assert (await ask(lab, "inbox.lab.test", "MX")).answer


def test_a_wrong_record_is_refused_when_published() -> None:
    zone = Zone()
    with pytest.raises(ValueError, match="no A record"):
        zone.publish("x.lab.test", "A", "not an address")
    with pytest.raises(ValueError, match="not a kind"):
        zone.publish("x.lab.test", "BOGUS", "1")
    assert zone.names() == []


async def test_the_resolver_over_the_zone_speaks_the_contract() -> None:
    zone = Zone(authentic=True)
    zone.publish("x.lab.test", "MX", "010 MX.x.lab.test.", "0 .")
    zone.publish("deep.y.lab.test", "A", "127.0.0.1")
    resolver = ZoneResolver(zone)
    assert (await resolver.ask("X.lab.test.", "MX")).records == ("10 mx.x.lab.test", "0 .")
    assert (await resolver.ask("x.lab.test", "MX")).authentic
    assert (await resolver.ask("y.lab.test", "A")).failure is DnsFailure.NODATA
    assert (await resolver.ask("z.lab.test", "A")).failure is DnsFailure.NXDOMAIN
    for trouble, failure in ((Trouble.TIMEOUT, DnsFailure.TIMEOUT), (Trouble.REFUSED, DnsFailure.SERVFAIL)):
        zone.break_name("x.lab.test", Fault(trouble), "MX")
        assert (await resolver.ask("x.lab.test", "MX")).failure is failure
    zone.mend("x.lab.test", "MX")
    assert (await resolver.ask("x.lab.test", "MX")).failure is None
