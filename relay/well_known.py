"""The mailbox providers of many people, French ones among them: what a typing error may have meant, and which addresses
there lead to one mailbox. Pure.
"""

from __future__ import annotations

from typing import Final

_NO_DOTS: Final = str.maketrans("", "", ".")
_NO_MARKS: Final = str.maketrans("", "", ".-_")
_NOTHING: Final[dict[int, int | None]] = {}
_ONE_PROVIDER: Final[dict[str, tuple[str, dict[int, int | None]]]] = {
    **dict.fromkeys(("gmail.com", "googlemail.com"), ("gmail.com", _NO_DOTS)),
    **dict.fromkeys(("proton.me", "protonmail.com", "protonmail.ch", "pm.me"), ("proton.me", _NO_MARKS)),
    **dict.fromkeys(("icloud.com", "me.com", "mac.com"), ("icloud.com", _NOTHING)),
}
"""By domain: under which name its mailboxes are also known, and the characters of a local part that it does not see.

Left out where a mistake would make two people one. Yahoo's name-keyword@ exists only where its owner made it, so nobody
can guess one, and a hyphen may stand in a name of its own. Whether ann@orange.fr is ann@wanadoo.fr, Orange never says.
"""
_BEFORE_DOMAIN: Final = (".fastmail.com", ".fastmail.fm")
"""Providers where anything@ann.PROVIDER is ann@PROVIDER."""


def one_mailbox(local: str, domain: str) -> tuple[str, str]:
    """One local part and domain for all addresses of a mailbox, as far as their provider says so in public.

    Both in lower case, without quotes.
    """
    for provider in _BEFORE_DOMAIN:
        if domain.endswith(provider) and len(domain) > len(provider):
            return domain.removesuffix(provider).rpartition(".")[2], provider[1:]
    local, _ = without_tag(local, domain)
    name, unseen = _ONE_PROVIDER.get(domain, (domain, _NOTHING))
    return local.translate(unseen) or local, name


def without_tag(local: str, domain: str) -> tuple[str, str]:
    """An address as a mailbox was known by before anything was known of its provider: rows may still stand under it."""
    return local.partition("+")[0] or local, domain


WELL_KNOWN: Final[tuple[str, ...]] = (
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "outlook.fr",
    "hotmail.com",
    "hotmail.fr",
    "hotmail.co.uk",
    "hotmail.it",
    "hotmail.es",
    "hotmail.de",
    "live.com",
    "live.fr",
    "live.be",
    "msn.com",
    "yahoo.com",
    "yahoo.fr",
    "yahoo.co.uk",
    "yahoo.es",
    "yahoo.it",
    "yahoo.de",
    "ymail.com",
    "rocketmail.com",
    "aol.com",
    "aol.fr",
    "icloud.com",
    "me.com",
    "mac.com",
    "proton.me",
    "protonmail.com",
    "pm.me",
    "tutanota.com",
    "gmx.com",
    "gmx.net",
    "gmx.de",
    "gmx.fr",
    "web.de",
    "t-online.de",
    "mail.com",
    "email.com",
    "zoho.com",
    "fastmail.com",
    "orange.fr",
    "wanadoo.fr",
    "free.fr",
    "sfr.fr",
    "neuf.fr",
    "laposte.net",
    "bbox.fr",
    "numericable.fr",
    "aliceadsl.fr",
    "cegetel.net",
    "club-internet.fr",
    "skynet.be",
    "bluewin.ch",
    "libero.it",
    "btinternet.com",
    "comcast.net",
    "verizon.net",
)
