"""What a reload takes over, read and tried before any of it is used: a mistake in one file changes nothing at all.

Stands between the settings and the node; `leak reload` and the supervisor try the same before they tell a worker.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from relay.policy.diagnosis import Diagnoser
from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.shaping import ShapingBook
from relay.policy.shaping_file import load_shaping
from relay.settings import Settings
from relay.tls_files import server_context


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A configuration that can be taken over; None where a door has no certificate."""

    settings: Settings
    diagnoser: Diagnoser
    shaping: ShapingBook
    submission_tls: ssl.SSLContext | None
    inbound_tls: ssl.SSLContext | None


def read_anew(settings: Settings) -> Reloaded:
    """Read every file that a reload applies. Raises ConfigurationError, and then nothing was changed."""
    submission, inbound = settings.submission.tls, settings.inbound.tls
    return Reloaded(
        settings,
        load_diagnoser(settings.folder),
        load_shaping(settings.folder),
        server_context(settings, submission, "submission.tls") if submission else None,
        server_context(settings, inbound, "inbound.tls") if inbound else None,
    )


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The settings that differ and that a reload does not apply: all but what certificates and keys hold."""
    before, after = old.model_dump(), new.model_dump()
    return sorted(
        f"{section}.{key}"
        for section, values in after.items()
        for key, value in values.items()
        if before[section].get(key) != value
    )
