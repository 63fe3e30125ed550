"""Who submits: the result of a proof, and the senders it may use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

LOCAL_TENANT: Final = "local"
"""The tenant of trusted networks, and of what the node writes itself."""

FRONT_TENANT: Final = "leak"
"""The tenant of the web front's letters."""


class Access(StrEnum):
    """What a credential opens; the values stand in the database."""

    TENANT = ""
    """All that its tenant may do."""
    FRONT = "front"
    """What a front on another machine asks of the relay (`/api/v1/front/`), and nothing else."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A proven submitter. `senders` are domains ("leak.example") or mailboxes ("a@leak.example"); "*" is any.

    `id` is the credential's number, None for a trusted network and for the relay itself.
    """

    tenant: int
    tenant_name: str
    id: int | None
    name: str
    senders: tuple[str, ...]

    def may_use(self, address: str) -> bool:
        """Whether mail may bear `address` (its domain an A-label in lower case) as its sender."""
        if "*" in self.senders or address in self.senders:
            return True
        return address.rpartition("@")[2] in self.senders


class Accounts(Protocol):
    """Proves who a client is. Implemented by `relay.account.book.AccountBook`."""

    async def by_password(self, name: str, password: str, peer: str) -> Identity | None:
        """The identity behind a user name and password (or an API key given as password), None if wrong.

        `peer` is the client's IP address: a credential of the lab is good on loopback only. Takes the same
        time for an unknown name and a wrong password. Raises SpoolUnavailableError.
        """
        ...

    async def by_key(self, key: str, peer: str, access: Access = Access.TENANT) -> Identity | None:
        """The identity behind an API key of this access, None if wrong. Raises SpoolUnavailableError."""
        ...
