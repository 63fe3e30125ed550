"""What a message says of itself to the relay alone: its stream, and whether to offer one-click unsubscribe.

Any door may be told by header fields, which never leave: `X-Leak-Stream: news`, `X-Leak-Unsubscribe: yes`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from relay.engine.submission import Submission
from relay.mail.check import Checked, ContentError
from relay.mail.header import join_fields
from relay.smtp.reply import reply

STREAM: Final = b"x-leak-stream"
UNSUBSCRIBE: Final = b"x-leak-unsubscribe"
_OURS: Final = frozenset({STREAM, UNSUBSCRIBE})
_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_YES: Final = {b"yes": True, b"no": False}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A submission with its labels read, and its content without them."""

    submission: Submission
    checked: Checked


def read_labels(submission: Submission, checked: Checked) -> Labelled:
    """Take our fields out of the header. Raises ContentError for a value that says nothing we know."""
    ours = [field for field in checked.fields if field.key in _OURS]
    if not ours:
        return Labelled(submission, checked)
    for field in ours:
        if field.key == STREAM:
            if not _NAME.fullmatch(field.value):
                raise _wrong("X-Leak-Stream", "write 1 to 64 letters, digits and . _ -")
            submission = replace(submission, stream=field.value.decode("ascii"))
        else:
            wanted = _YES.get(field.value.lower())
            if wanted is None:
                raise _wrong("X-Leak-Unsubscribe", 'write "yes" or "no"')
            submission = replace(submission, unsubscribe=wanted)
    left = tuple(field for field in checked.fields if field.key not in _OURS)
    return Labelled(submission, replace(checked, header=join_fields(left), fields=left))


def _wrong(name: str, allowed: str) -> ContentError:
    return ContentError(reply(550, "5.6.0", f"malformed header: {name}: {allowed}"), name)
