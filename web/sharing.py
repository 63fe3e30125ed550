"""Links by which somebody tells others of a page on the wall: plain addresses that carry the page's own. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from web.catalogue import Words

_NETWORKS: Final = (
    ("Facebook", "https://www.facebook.com/sharer/sharer.php", "u"),
    ("X", "https://x.com/intent/post", "url"),
    ("Bluesky", "https://bsky.app/intent/compose", "text"),
    ("WhatsApp", "https://wa.me/", "text"),
)


@dataclass(frozen=True, slots=True)
class ShareLink:
    """What a link is called, and where it leads."""

    name: str
    url: str


def share_links(page: str, words: Words) -> tuple[ShareLink, ...]:
    """Links that carry the address `page` and nothing else."""
    mail = f"mailto:?{urlencode({'subject': words('wall.share_subject'), 'body': page}, quote_via=quote)}"
    others = (ShareLink(name, f"{url}?{urlencode({field: page})}") for name, url, field in _NETWORKS)
    return (ShareLink(words("wall.share_mail"), mail), *others)
