"""What hosting providers want before mail may leave: where to ask for port 25, and for the PTR record.

Providers change their minds; the words say where to look, not what the answer will be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Provider:
    """A hosting provider, told by the reverse names it gives its addresses."""

    name: str
    suffixes: tuple[str, ...]
    port_25: str
    ptr: str


PROVIDERS: Final = (
    Provider(
        "Amazon EC2",
        ("amazonaws.com",),
        'blocked; fill in the form "Request to remove email sending limitations" with an Elastic IP address',
        "the same form, or `aws ec2 modify-address-attribute --domain-name NAME`, for an Elastic IP address",
    ),
    Provider(
        "Azure",
        ("cloudapp.azure.com",),
        "blocked; opened for Enterprise and MCA-E subscriptions only: others need a smarthost",
        "set reverseFqdn of the public IP address",
    ),
    Provider(
        "DigitalOcean",
        ("digitalocean.com",),
        "blocked on most accounts and rarely opened: ask the support, or use another host",
        "give the droplet the host name itself: the PTR record follows it",
    ),
    Provider(
        "Google Cloud",
        ("googleusercontent.com",),
        "always blocked: use another host, or a smarthost on port 587",
        "the instance's network interface, Public DNS PTR record",
    ),
    Provider(
        "Hetzner",
        ("your-server.de", "your-cloud.host"),
        "blocked for new customers; after the first paid invoice ask in the console under Limits",
        "Cloud: the server's Networking, Edit Reverse DNS; Robot: the address, Reverse DNS entry",
    ),
    Provider(
        "Linode (Akamai)",
        ("linode.com", "linodeusercontent.com"),
        "blocked; open a ticket once the A and PTR records stand, and say what is sent and how you handle complaints",
        "the Linode's Network tab, Edit RDNS",
    ),
    Provider(
        "Oracle Cloud",
        ("oraclecloud.com", "oraclevcn.com"),
        "blocked; ask by a service limit request for the exemption",
        "by a support request",
    ),
    Provider(
        "OVHcloud",
        ("ovh.net", "ovh.ca", "ovh.us", "kimsufi.com"),
        "open, but closed at once where spam is seen: the manager under IP, Anti-spam, unblocks",
        "the manager under IP, Modify the reverse path",
    ),
    Provider(
        "Scaleway",
        ("scw.cloud", "scaleway.com", "poneytelecom.eu", "online.net"),
        "blocked by the security group; after identity verification tick Enable SMTP there",
        "the flexible IP address, Reverse DNS",
    ),
    Provider(
        "Vultr",
        ("vultr.com", "vultrusercontent.com"),
        "blocked; open a ticket and say what is sent",
        "the server's Settings, IPv4 and IPv6, Reverse DNS",
    ),
)


def provider_of(reverse_names: Iterable[str]) -> Provider | None:
    """The provider whose reverse names these are, None when they tell nothing."""
    for name in reverse_names:
        plain = name.lower().rstrip(".")
        for provider in PROVIDERS:
            if any(plain == suffix or plain.endswith(f".{suffix}") for suffix in provider.suffixes):
                return provider
    return None


def open_port_25(provider: Provider | None) -> str:
    """How to have port 25 opened, at this provider or at the usual ones."""
    ask = (
        "ask the host to open TCP port 25 outward for this address: say which domain sends, how many letters a day, "
        "that PTR, SPF, DKIM and DMARC stand, and who answers abuse@"
    )
    if provider is not None:
        return f"{ask}. {provider.name}: {provider.port_25}"
    return f"{ask}. Where: " + "; ".join(f"{one.name}: {one.port_25}" for one in PROVIDERS)


def set_ptr(provider: Provider | None, address: str, name: str) -> str:
    """How to have the PTR record set, at this provider or wherever the address comes from."""
    ask = f"ask whoever gives you {address} to set its PTR record to {name}"
    return f"{ask}. {provider.name}: {provider.ptr}" if provider is not None else ask
