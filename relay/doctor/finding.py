"""One result of the doctor: what was looked at, how bad it is, what was seen, and what to do.

Every check gives a finding for whatever it looked at, also where all is well: an alarm ends because something was
seen to be right, never because nobody looked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, the least first."""

    OK = "ok"
    NOTE = "note"
    """Works; could be better."""
    UNKNOWN = "unknown"
    """Could not be found out this time."""
    WARNING = "warning"
    """Costs mail at some receivers, or will soon."""
    ERROR = "error"
    """Mail is refused or lost for it."""

    @property
    def rank(self) -> int:
        """Its place in that order."""
        return list(Severity).index(self)

    @property
    def alarms(self) -> bool:
        """Whether a person should be told."""
        return self in {Severity.WARNING, Severity.ERROR}


@dataclass(frozen=True, slots=True)
class Finding:
    """`id` names the check and the alarm's kind, `subject` what it is about; both stay the same from look to look."""

    id: str
    subject: str
    severity: Severity
    evidence: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding as the command's JSON shows it."""
        return {name: str(value) for name, value in asdict(self).items()}


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity among them, OK for none."""
    return max((finding.severity for finding in findings), key=lambda severity: severity.rank, default=Severity.OK)
