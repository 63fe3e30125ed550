"""The contract of the signer."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from relay.mail.body_hash import BodyHash


class KeyUnavailableError(Exception):
    """A domain's key cannot be read; its mail is held with an alarm. The text says which file and why."""

    def __init__(self, domain: str, reason: str) -> None:
        super().__init__(f"{domain}: {reason}")
        self.domain = domain
        self.reason = reason


class Signer(Protocol):
    """Signs mail for the configured domains."""

    def domain_for(self, from_domain: str) -> str | None:
        """The signing domain of a From domain (itself, or the configured parent), None if nobody signs for it."""
        ...

    async def sign(self, domain: str, header: bytes, body: bytes | BodyHash, now: datetime) -> bytes:
        """The DKIM-Signature fields for this header block and body, CRLF ended, RSA topmost.

        `header` is every field the message will carry, CRLF ended, without the empty line; `body` the whole
        body, or its hash where it is too large to be held. Raises KeyUnavailableError.
        """
        ...

    def reload(self) -> dict[str, str]:
        """Read the keys again; domains whose keys cannot be read, with the reason."""
        ...
