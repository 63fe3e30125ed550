"""What arrived: one accepted mail with everything the lab knows about how it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from relay.lab.reading import Summary, summarise
from relay.lab.verdict import Verdict
from relay.smtp.transcript import Exchange


@dataclass(frozen=True, slots=True)
class Client:
    """Who brought it: address, the name given in EHLO, and TLS version and cipher ("" in clear)."""

    address: str
    name: str
    tls_version: str = ""
    tls_cipher: str = ""


@dataclass(frozen=True, slots=True)
class Posting:
    """One mail as a host took it. `reverse_path` is "" for the null path; `content` is what stood before the dot."""

    host: str
    client: Client
    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    transcript: tuple[Exchange, ...] = field(repr=False, default=())
    parameters: tuple[str, ...] = ()
    """What followed MAIL FROM and RCPT TO, for instance "BODY=8BITMIME"."""
    answered: bool = True
    """False: stored, but the sender never got the 250."""

    @property
    def weight(self) -> int:
        """Roughly the octets it takes in memory."""
        said = sum(len(exchange.text) + 100 for exchange in self.transcript)
        return len(self.content) + said + sum(len(recipient) + 60 for recipient in self.recipients)


@dataclass(slots=True)
class Arrival:
    """A posting in the inbox: its id, when it came, whether it was read, and the verdict once there is one."""

    id: str
    at: datetime
    posting: Posting
    read: bool = False
    verdict: Verdict | None = None
    known: Summary | None = None

    @property
    def summary(self) -> Summary:
        """The summary, made when it is first asked for: taking mail must stay cheap."""
        if self.known is None:
            self.known = summarise(self.posting.content, self.posting.recipients)
        return self.known
