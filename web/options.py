"""What the front needs to be told: plain values, read from the configuration by whoever builds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta, tzinfo
from pathlib import Path
from typing import Final

from relay.errors import ConfigurationError
from web.network import Network
from web.operator import NOBODY, Operator
from web.organisations import AS_USUAL, Organisations
from web.pile import USUAL_MOST, Pile
from web.schools import SchoolMail
from web.shares import USUAL, Shares

_SHORTEST_KEY: Final = 32


@dataclass(frozen=True, slots=True)
class FrontOptions:
    """The front's settings. A key shorter than 32 octets raises ConfigurationError."""

    base_url: str
    """The public address, without a slash at the end; it is named in each letter."""
    sender_domain: str
    """Domain of the letters' From address."""
    form_key: bytes
    """Signs the tokens of forms; the same on all nodes."""
    link_key: bytes
    """Makes the secret of a status link from a letter's id; the same on all nodes."""
    block_key: bytes
    """Hashes mailboxes; the same on all nodes."""
    old_link_keys: tuple[bytes, ...] = ()
    """Earlier keys whose links in letters still work."""
    old_block_keys: tuple[bytes, ...] = ()
    """Earlier keys under which mailboxes may still be kept."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose Forwarded and X-Forwarded-For are believed."""
    client_port_header: str = "X-Forwarded-Port"
    sealed_keys: Path | None = None
    """Folder of the public halves to which sender records are sealed; none, or an empty one: no record is kept."""
    limits: bool = True
    """Whether senders and recipients have limits."""
    onion_url: str = ""
    """The front's onion service, without a slash at the end; "": there is none."""
    sender_local_part: str = "letter"
    hand_over_every: timedelta = timedelta(seconds=5)
    """How often letters that are due are looked for."""
    status_kept: timedelta = timedelta(days=90)
    """How long a status link works."""
    content_kept: timedelta = timedelta(days=7)
    """How long the relay keeps a letter's words after its last try, as the privacy page says."""
    doorbell: bool = False
    """Whether somebody who never read a letter from here is asked first."""
    doorbell_domain: str = ""
    """Domain of the From address of mails that only ask; "": the letters'."""
    doorbells_per_day: int = 500
    """So many of them leave for one provider on a day; 0 = as many as the relay's warm-up allows."""
    admission_per_day: int = 0
    """Letters that leave on a day; 0 = as many as the relay's warm-up allows."""
    school_domains: SchoolMail = SchoolMail.HOLD
    """What becomes of letters to schools."""
    most_waiting: int = USUAL_MOST
    """How many letters may wait for a person, and how many notices."""
    organisations: Organisations = AS_USUAL
    """How many letters a day the people of one organisation get together."""
    sender_confirmation: str = "off"
    """Whose own address has to be confirmed: "off", "above_limit" or "always"."""
    shares: Shares = USUAL
    """How a day is shared between kinds of network."""
    network_lists: Mapping[Network, tuple[Path, ...]] = field(default_factory=dict)
    """Files that say which addresses are Tor's or a data centre's."""
    replies: bool = False
    """Whether a letter may be answered by mail, and its writer sees the reply."""
    cool_down: timedelta = timedelta(0)
    """How long a writer may take a letter back."""
    jitter: timedelta = timedelta(0)
    """A letter leaves at a random moment within this time after the cool-down."""
    time_zone: tzinfo = UTC
    """Where "tomorrow morning" is."""
    failure_delay: timedelta = timedelta(0)
    """That a letter could not be delivered is told up to so much later."""
    wall: bool = True
    """Whether letters may be offered for the wall."""
    wall_delay: timedelta = timedelta(days=7)
    """How long after it was sent a moderator sees a letter that is offered."""
    wall_indexed: bool = False
    """Whether search engines may list the wall."""
    answer_step: timedelta = timedelta(milliseconds=20)
    """A letter's page comes at the end of a whole number of these."""
    weekly: str = "sunday"
    """The day on which the weekly leaves, in lower-case English; "off": there is none."""
    weekly_domain: str = ""
    """Domain of the From address of the weekly and of the mails that ask for it; "": the letters'."""
    operator: Operator = NOBODY
    """Who runs the service."""

    def __post_init__(self) -> None:
        for name, key in (("form", self.form_key), ("link", self.link_key), ("block", self.block_key)):
            if len(key) < _SHORTEST_KEY:
                raise ConfigurationError(f"the front's {name} key has {len(key)} octets; it needs {_SHORTEST_KEY}")

    @property
    def sender(self) -> str:
        """The From address of every letter: one for all, so that it says nothing about who wrote."""
        return f"{self.sender_local_part}@{self.sender_domain}"

    @property
    def pile(self) -> Pile:
        """How much may wait for a person; a kind of network that no list tells apart keeps no room of its own."""
        known = {kind for kind, files in self.network_lists.items() if files}
        tor = self.shares.tor if Network.TOR in known else 0.0
        return Pile(self.most_waiting, Shares(tor, self.shares.data_centre if Network.DATA_CENTRE in known else 0.0))

    @property
    def doorbell_sender(self) -> str:
        """The From address of every mail that only asks."""
        return f"doorbell@{self.doorbell_domain or self.sender_domain}"

    @property
    def weekly_sender(self) -> str:
        """The From address of the weekly, and of the mail that asks who wants it."""
        return f"weekly@{self.weekly_domain or self.sender_domain}"

    @property
    def confirming_sender(self) -> str:
        """The From address of mails to writers."""
        return f"confirm@{self.sender_domain}"

    @property
    def is_https(self) -> bool:
        """Whether the public address is https."""
        return self.base_url.startswith("https://")
