"""The lab's map: which mail hosts there are, which domains they serve, and the zone that says so.

Host number N listens at 127.0.SUBNET.N. A domain has exchangers (hosts by number), a dead address, a null
MX, or only an address record. `lay_out` writes it all into a zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from relay.lab.behaviour import FLAKY, Behaviour, Tls
from relay.lab.zone import Fault, Trouble, Zone

INBOX_DOMAIN: Final = "inbox.lab.test"
SENDING_DOMAIN: Final = "leak.lab.test"
RELAY_NAME: Final = "mail.leak.lab.test"
RETURN_DOMAIN: Final = "bounces.leak.lab.test"
BLOCKLIST: Final = "dnsbl.lab.test"
SIGNED_NAME: Final = "signed.lab.test"
SPF: Final = "v=spf1 ip4:127.0.0.0/8 -all"
DEAD: Final = 250
"""The host number at which nothing listens."""


@dataclass(frozen=True, slots=True)
class LabHost:
    """One mail host: its number (the address's last octet, 1–254), its name and its behaviour."""

    number: int
    name: str
    behaviour: Behaviour


@dataclass(frozen=True, slots=True)
class LabDomain:
    """One mail domain: `exchangers` are (preference, host number); none of them and `address` is implicit MX.

    `tlsa` publishes secure DANE records, "right" or "wrong"; `sts` an MTA-STS policy: its mode, then its mx.
    """

    name: str
    about: str
    exchangers: tuple[tuple[int, int], ...] = ()
    address: int | None = None
    null_mx: bool = False
    trouble: Trouble | None = None
    tlsa: Literal["", "right", "wrong"] = ""
    sts: tuple[str, ...] = ()


_GOOD = Behaviour("takes all mail; STARTTLS with a certificate of the lab's authority")

HOSTS: Final[tuple[LabHost, ...]] = (
    LabHost(1, "mx.inbox.lab.test", _GOOD),
    LabHost(2, "mx.leak.lab.test", Behaviour("takes all mail, as a postmaster does")),
    LabHost(3, "mx2.two-mx.lab.test", Behaviour("takes all mail; the domain's second exchanger")),
    LabHost(4, "mx.grey.lab.test", Behaviour("greylists 10 seconds by client, sender and recipient", greylist=10)),
    LabHost(5, "mx.old.lab.test", Behaviour("knows HELO only: no extensions, no STARTTLS", esmtp=False, tls=Tls.NONE)),
    LabHost(
        6,
        "mx.badtls.lab.test",
        Behaviour("STARTTLS with a self-signed certificate for another name", tls=Tls.WRONG_NAME),
    ),
    LabHost(
        7, "mx.brokentls.lab.test", Behaviour("offers STARTTLS and closes instead of shaking hands", tls=Tls.BROKEN)
    ),
    LabHost(
        8,
        "mx.flaky.lab.test",
        Behaviour("421 or a reset at another step on each connection; the tenth is fine", mishaps=FLAKY),
    ),
    LabHost(9, "no-mx.lab.test", Behaviour("takes all mail; found by its address record alone")),
    LabHost(10, "mx.plain.lab.test", Behaviour("takes all mail in clear: no STARTTLS", tls=Tls.NONE)),
    LabHost(11, "mx.dane.lab.test", _GOOD),
    LabHost(12, "mx.dane-wrong.lab.test", _GOOD),
    LabHost(13, "mx.sts.lab.test", _GOOD),
)

DOMAINS: Final[tuple[LabDomain, ...]] = (
    LabDomain(INBOX_DOMAIN, "takes all mail", ((10, 1),)),
    LabDomain(SENDING_DOMAIN, "the lab's own sending domain; takes all mail", ((10, 2),)),
    LabDomain(RETURN_DOMAIN, "where returns to the lab's sending domain go; takes all mail", ((10, 2),)),
    LabDomain(
        "two-mx.lab.test", "nothing listens at the first exchanger, the second takes all mail", ((10, DEAD), (20, 3))
    ),
    LabDomain("grey.lab.test", "greylists for 10 seconds", ((10, 4),)),
    LabDomain("old.lab.test", "HELO only, no extensions, no TLS", ((10, 5),)),
    LabDomain("badtls.lab.test", "self-signed certificate for another name", ((10, 6),)),
    LabDomain("brokentls.lab.test", "the TLS handshake fails", ((10, 7),)),
    LabDomain("flaky.lab.test", "421 or a reset at another step on each connection; the tenth is fine", ((10, 8),)),
    LabDomain("no-mx.lab.test", "no MX record: its address record stands in (implicit MX)", address=9),
    LabDomain("plain.lab.test", "takes all mail, without TLS", ((10, 10),)),
    LabDomain("dead.lab.test", "nothing listens at its only exchanger", ((10, DEAD),)),
    LabDomain("dane.lab.test", "a secure TLSA record that names the host's key", ((10, 11),), tlsa="right"),
    LabDomain("dane-wrong.lab.test", "a secure TLSA record that names another key", ((10, 12),), tlsa="wrong"),
    LabDomain(
        "dane-two.lab.test",
        "secure TLSA records at both exchangers; the first one's names another key",
        ((10, 12), (20, 11)),
        tlsa="right",
    ),
    LabDomain("sts.lab.test", "MTA-STS, enforced and kept", ((10, 13),), sts=("enforce", "mx.sts.lab.test")),
    LabDomain(
        "sts-unlisted.lab.test",
        "MTA-STS, enforced; its exchanger is not in the policy",
        ((10, 13),),
        sts=("enforce", "*.elsewhere.lab.test"),
    ),
    LabDomain(
        "sts-badcert.lab.test",
        "MTA-STS, enforced; its exchanger's certificate does not verify",
        ((10, 6),),
        sts=("enforce", "*.badtls.lab.test"),
    ),
    LabDomain(
        "sts-testing.lab.test",
        "MTA-STS, testing only; its exchanger's certificate does not verify",
        ((10, 6),),
        sts=("testing", "*.badtls.lab.test"),
    ),
    LabDomain("null-mx.lab.test", "says that it takes no mail (null MX)", null_mx=True),
    LabDomain("servfail.lab.test", "its DNS answers SERVFAIL", trouble=Trouble.SERVFAIL),
    LabDomain("timeout.lab.test", "its DNS never answers", trouble=Trouble.TIMEOUT),
    LabDomain("nxdomain.lab.test", "does not exist", trouble=Trouble.NXDOMAIN),
)


def address(subnet: int, number: int) -> str:
    """The loopback address of a host."""
    return f"127.0.{subnet}.{number}"


def lay_out(zone: Zone, subnet: int, hosts: tuple[LabHost, ...], domains: tuple[LabDomain, ...]) -> None:
    """Write hosts, domains, reverse names and the sending domain's SPF and DMARC records into `zone`."""
    names = {host.number: host.name for host in hosts}
    for host in hosts:
        _publish_host(zone, host.name, address(subnet, host.number))
    for domain in domains:
        if domain.trouble is not None:
            zone.break_name(domain.name, Fault(domain.trouble))
        elif domain.null_mx:
            zone.publish(domain.name, "MX", "0 .")
        elif domain.exchangers:
            for _, number in domain.exchangers:
                if number not in names:
                    names[number] = f"mx{number}.{domain.name}"
                    _publish_host(zone, names[number], address(subnet, number))
            zone.publish(domain.name, "MX", *(f"{weight} {names[number]}." for weight, number in domain.exchangers))
        elif domain.address is not None:
            zone.publish(domain.name, "A", address(subnet, domain.address))
    _publish_host(zone, RELAY_NAME, "127.0.0.1")
    zone.publish("ns.lab.test", "A", "127.0.0.1")
    # What the doctor asks: a blocklist with its test entry alone (RFC 5782 §5), and a name as if it were signed.
    zone.publish(f"2.0.0.127.{BLOCKLIST}", "A", "127.0.0.2")
    zone.publish(SIGNED_NAME, "A", "127.0.0.1")
    zone.break_name(SIGNED_NAME, Fault(authentic=True))
    for name in (SENDING_DOMAIN, RELAY_NAME, RETURN_DOMAIN, INBOX_DOMAIN):
        zone.publish(name, "TXT", SPF)
    zone.publish(f"_dmarc.{SENDING_DOMAIN}", "TXT", "v=DMARC1; p=reject; adkim=r; aspf=r")
    # Everything below lab.test belongs to someone else, as below a registry's suffix (RFC 9989 §4.10).
    zone.publish("_dmarc.lab.test", "TXT", "v=DMARC1; p=none; psd=y")


def _publish_host(zone: Zone, name: str, where: str) -> None:
    zone.publish(name, "A", where)
    zone.publish(".".join(reversed(where.split("."))) + ".in-addr.arpa", "PTR", f"{name}.")
