"""What came of mail by its tags: counted when it is asked for, from events. In SQL that every database knows.

Nothing is counted beforehand, since a tag is the sender's word and may be another for each letter. So a question looks
at a bounded number of messages, the newest, and costs the same however many are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection
from relay.event import EventKind

MOST_TAGS: Final = 500
"""Tags that a tenant is told of, the first by name."""
LOOKED_AT: Final = 100_000
"""Messages that a question looks at: the newest of each tag, in equal parts."""

_HOUR: Final = 3_600_000
_ENDS: Final = (
    *(EventKind.DELIVERED, EventKind.BOUNCED, EventKind.RETURNED, EventKind.EXPIRED, EventKind.SUPPRESSED),
    *(EventKind.COMPLAINED, EventKind.OPTED_OUT),
)
_NEXT: Final = "SELECT min(tag) FROM message_tag WHERE tenant = ? AND tag > ?"
_COUNTS: Final = (
    f"SELECT e.at / {_HOUR}, e.kind, count(*) FROM"  # noqa: S608 - constants of ours
    " (SELECT message FROM message_tag WHERE tenant = ? AND tag = ? ORDER BY message DESC LIMIT ?) g"
    f" JOIN event e ON e.message = g.message WHERE e.at >= ? AND e.kind IN ({', '.join(str(int(k)) for k in _ENDS)})"
    " GROUP BY 1, 2 ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class TagHour:
    """What happened in an hour to the mail of a tag: how often, by label of the event's kind."""

    tag: str
    hour: datetime
    counts: Mapping[str, int]


def tags_of(connection: Connection, tenant: int) -> list[str]:
    """The tags that a tenant's mail ever had, by name."""
    tags = [""]
    while len(tags) <= MOST_TAGS:  # the index is asked from tag to tag: a list of all messages would be long
        ((tag,),) = list(connection.execute(_NEXT, (tenant, tags[-1])))
        if tag is None:
            break
        tags.append(tag)
    return tags[1:]


def tag_hours(connection: Connection, tenant: int, tags: Sequence[str], since: datetime) -> list[TagHour]:
    """What happened to the mail of these tags, hour by hour for each, from the hour of a moment on."""
    first = to_millis(since) // _HOUR * _HOUR
    found: list[TagHour] = []
    for tag in tags:
        hours: dict[int, dict[str, int]] = {}
        values = (tenant, tag, LOOKED_AT // len(tags), first)
        for hour, kind, count in connection.execute(_COUNTS, values):
            hours.setdefault(hour, {})[EventKind(kind).label] = count
        found += [TagHour(tag, from_millis(hour * _HOUR), counts) for hour, counts in hours.items()]
    return found
