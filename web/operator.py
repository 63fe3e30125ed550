"""Who runs this service, as the law wants every page of it to say (LCEN art. 1-1, GDPR art. 13 and 14, DSA art. 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator's details, shown on /legal, /privacy and /help; an empty one is left out."""

    name: str = ""
    """Person, association or company."""
    address: tuple[str, ...] = ()
    """Postal address, a line each."""
    mail: str = ""
    """Where a person answers users, recipients and authorities."""
    phone: str = ""
    publisher: str = ""
    """The director of publication."""
    registration: str = ""
    """Number in the register of companies or associations."""
    host: str = ""
    """Who houses the machine: name and address."""


NOBODY: Final = Operator()
"""Who has not said who they are."""
