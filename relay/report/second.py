"""A second opinion: flufl.bounce, Mailman's detectors, where our own readers found nobody.

It tells only who failed, not why. It is given a copy cut to a size at which its expressions stay quick, and
whatever it raises counts as "found nobody": it reads the mail of strangers like everything here.
"""

from __future__ import annotations

import email
import logging
from email.policy import compat32
from typing import Final

from relay.report.words import ADDRESS

MAX_OCTETS: Final = 24 * 1024
MAX_LINE: Final = 300
MAX_LINES: Final = 500

logging.getLogger("flufl.bounce").disabled = True  # it logs each detector it runs and every fault it raises


def second_opinion(raw: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses that failed for now, and for good, as flufl.bounce reads them; never raises."""
    from flufl.bounce import all_failures  # late: loading it compiles a hundred expressions, which few bounces need

    lines = raw[:MAX_OCTETS].replace(b"\r\n", b"\n").split(b"\n")[:MAX_LINES]
    try:
        message = email.message_from_bytes(b"\n".join(line[:MAX_LINE] for line in lines), policy=compat32)
        temporary, permanent = all_failures(message)
    except Exception:  # noqa: BLE001 - any fault of a detector means that it found nobody
        return (), ()
    return _addresses(temporary), _addresses(permanent)


def _addresses(found: frozenset[bytes] | set[bytes]) -> tuple[str, ...]:
    texts = sorted(address.decode("utf-8", "replace").strip() for address in found if address)
    return tuple(text for text in texts if ADDRESS.fullmatch(text))[:100]
