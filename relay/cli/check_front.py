"""What `leak check` says of a front: what its settings allow, and what visitors, recipients or a court would miss."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from relay.settings import Settings

_TOR: Final = ip_network("127.0.0.1/32")
"""Where a Tor of this machine connects from."""
_WIDE: Final = 7
"""Networks of fewer bits than these are nobody's own: 10.0.0.0/8 and fc00::/7 are the largest that are."""


def find_front_warnings(settings: Settings) -> Iterator[str]:
    """What will not work, or protects nobody, as the front is set up; nothing where no front is."""
    if "web" not in settings.node.roles or settings.web.listen is None:
        return
    yield from _visitors(settings)
    yield from _networks(settings)
    yield from _operator(settings)
    yield from _sealing_keys(settings)
    if settings.web.relay.url:
        return  # the relay signs, and is checked where it is
    yield from _letters(settings)
    yield from _doorbell(settings)
    yield from _weekly(settings)


def _visitors(settings: Settings) -> Iterator[str]:
    web = settings.web
    if _is_open(web.base_url):
        yield f"web.base_url: {web.base_url} shows on the way what visitors write; write https://"
    wide = [text for text in web.trusted_proxies if ip_network(text).prefixlen < _WIDE]
    if wide:
        yield f"web.trusted_proxies: {', '.join(wide)} is wide: whoever is in it says of which address they are"
    mine = [text for text in web.trusted_proxies if ip_network(text).overlaps(_TOR)]
    if web.onion_url and mine:
        yield (
            f"web.trusted_proxies: {', '.join(mine)} is where Tor connects from too: whoever comes by the onion "
            "service says of which address they are; let the proxy connect from 127.0.0.2 (nginx: proxy_bind), and "
            "trust that"
        )
    if not web.limits:
        yield "web.limits: off, so nobody is limited; for tests only"


def _is_open(base_url: str) -> bool:
    """Whether pages go in clear to other machines; an onion service encrypts by itself."""
    url = urlsplit(base_url)
    host = url.hostname or ""
    if url.scheme == "https" or host == "localhost" or host.endswith((".onion", ".localhost")):
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True


def _networks(settings: Settings) -> Iterator[str]:
    """Lists that cannot be read tell nobody apart: the front runs without them."""
    for name in ("tor_lists", "data_centre_lists"):
        for one in getattr(settings.web, name):
            path = settings.path(one)
            try:
                with path.open("rb"):
                    pass
            except OSError as error:
                yield f"web.{name}: {path} cannot be read: {error.strerror}; nobody is told apart by it"


def _operator(settings: Settings) -> Iterator[str]:
    operator = settings.web.operator
    if operator.missing:
        yield f"web.operator: {', '.join(operator.missing)}: empty, and the legal pages have to say them"
    name, _, domain = operator.mail.partition("@")
    if operator.mail and not (name and domain):
        yield f"web.operator.mail: {operator.mail} is no mail address, and the pages tell people to write to it"


def _letters(settings: Settings) -> Iterator[str]:
    domain, signed = settings.web.sender_domain, {entry.domain for entry in settings.signing.domain}
    if domain is not None and domain not in signed:
        yield f"web.sender_domain: {domain} has no [[signing.domain]]: letters go unsigned, and are refused"


def _sealing_keys(settings: Settings) -> Iterator[str]:
    """Whether what tells who sent a letter can be sealed in the coming months."""
    from relay.clock import SystemClock
    from relay.doctor.finding import Severity
    from relay.doctor.sealing import judge_keys, months_in

    months = months_in(settings.path(settings.web.sealed_keys))
    finding = judge_keys(settings.node.name, months, SystemClock().now())
    if finding.severity is not Severity.OK:
        yield f"web.sealed_keys: {finding.evidence}; {finding.remedy}"


def _doorbell(settings: Settings) -> Iterator[str]:
    """A mail that only says "somebody wrote, click" looks like phishing: it must not cost the letters their name."""
    web = settings.web
    if web.first_contact != "doorbell":
        return
    if web.doorbell_domain is None:
        yield "web.doorbell_domain: none: providers judge letters and mails that only ask by one name"
    elif web.doorbell_domain not in {entry.domain for entry in settings.signing.domain}:
        yield f"web.doorbell_domain: {web.doorbell_domain} has no [[signing.domain]]: its mail goes unsigned"
    if "doorbells" not in settings.unsubscribe.streams:
        yield 'unsubscribe.streams: "doorbells" is missing: mails that only ask offer no one-click unsubscribe'


def _weekly(settings: Settings) -> Iterator[str]:
    """Bulk mail draws complaints of its own; but who has named no domain for it has chosen nothing wrong."""
    web = settings.web
    if web.weekly == "off" or not web.wall or web.weekly_domain is None:
        return
    if web.weekly_domain not in {entry.domain for entry in settings.signing.domain}:
        yield f"web.weekly_domain: {web.weekly_domain} has no [[signing.domain]]: its mail goes unsigned"
