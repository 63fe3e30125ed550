"""Settling what came in from outside: what follows from a sorted item, in one transaction.

Sorting is idempotent: an item is sorted by the transaction that first says so, and the change of state, the event and
the report are in that transaction; whoever comes second changes nothing.
"""

from __future__ import annotations

from typing import Final

from relay.database.contract import Connection
from relay.event import EventKind
from relay.ids import SpoolId
from relay.policy.hearing import Followed
from relay.policy.state import State
from relay.spool.accepting import write_event
from relay.spool.feedback_loops import count_report
from relay.spool.inbound_values import MOST_REPLIES, Consequence
from relay.spool.letter_replies import add_reply
from relay.spool.report_shares import PackedReport, keep_report
from relay.spool.rows import dump

_ONCE: Final = frozenset({EventKind.COMPLAINED, EventKind.OPTED_OUT})
"""What each recipient can say of a message once; the complaint brake counts these events."""

_OF_NOBODY: Final = """
UPDATE inbound_mail SET content = NULL
WHERE id = (SELECT mail FROM inbound WHERE id = ?)
  AND NOT EXISTS (SELECT 1 FROM inbound i WHERE i.mail = inbound_mail.id AND i.sorted_at IS NULL)
  AND EXISTS (SELECT 1 FROM message m WHERE m.id = ?
    AND NOT EXISTS (SELECT 1 FROM recipient r WHERE r.message = m.seq AND r.n = ?))
"""
"""What comes back about an erased recipient is sorted, and not kept: it names them."""

_OF_READERS: Final = """
UPDATE inbound_mail SET content = NULL, size = 0, peer = '', helo = '', reverse_path = NULL
WHERE id = (SELECT mail FROM inbound WHERE id = ?)
  AND NOT EXISTS (SELECT 1 FROM inbound i WHERE i.mail = inbound_mail.id
    AND (i.sorted_at IS NULL OR i.purpose NOT IN ('reply', 'unsubscribe')))
"""
"""Who answers a letter leaves nothing here but words, and who wants no more mail leaves that wish."""

_MAIL_OF: Final = "SELECT mail FROM inbound WHERE id = ?"
_DROP: Final = """
DELETE FROM inbound WHERE id = ? AND purpose = 'reply'
  AND (SELECT count(*) FROM inbound o WHERE o.message = ? AND o.n = ? AND o.purpose = 'reply'
    AND o.sorted_at IS NOT NULL) > ?
"""
_DROP_MAIL: Final = "DELETE FROM inbound_mail WHERE id = ? AND NOT EXISTS (SELECT 1 FROM inbound WHERE mail = ?)"


def settle(
    connection: Connection, number: int, consequence: Consequence, packed: PackedReport | None, now: int
) -> bool:
    """Write what followed from an item, `now` in milliseconds; False if it was sorted already.

    `packed` is the consequence's document, compressed before the transaction.
    """
    followed = consequence.followed
    connection.execute(
        "UPDATE inbound SET sorted_at = ?, kind = ?, result = ?, shown = ?, detail = ?, message = coalesce(message, ?),"
        " n = coalesce(n, ?) WHERE id = ? AND sorted_at IS NULL",
        (
            now,
            consequence.kind,
            followed.value,
            int(consequence.shown),
            dump(consequence.detail),
            *(consequence.delivery or (None, None)),
            number,
        ),
    )
    if connection.changes() != 1:
        return False
    if consequence.delivery is not None and consequence.event is not None:
        _tell(connection, number, consequence, now)
    if consequence.delivery is not None:
        connection.execute(_OF_NOBODY, (number, *consequence.delivery))
        if consequence.words:
            add_reply(connection, consequence.delivery[0], consequence.words, now)
    if consequence.forgets:
        connection.execute(_OF_READERS, (number,))
        if consequence.delivery is not None and followed is not Followed.PASSED_ON:
            _keep_few(connection, number, consequence.delivery)
    if packed is not None and (why := keep_report(connection, packed, now)):
        detail = dump({**consequence.detail, "why": why})
        connection.execute(
            "UPDATE inbound SET result = ?, detail = ? WHERE id = ?", (Followed.KEPT.value, detail, number)
        )
    if consequence.loop:
        count_report(connection, consequence.loop, now)
    return True


def _keep_few(connection: Connection, number: int, delivery: tuple[SpoolId, int | None]) -> None:
    """Of what strangers write to a letter the first few are listed: they may write for ever."""
    [(mail,)] = connection.execute(_MAIL_OF, (number,))
    connection.execute(_DROP, (number, *delivery, MOST_REPLIES))
    if connection.changes():
        connection.execute(_DROP_MAIL, (mail, mail))


def _tell(connection: Connection, number: int, consequence: Consequence, now: int) -> None:
    """The event at the delivery, and its change of state; RETURNED only ever comes from DELIVERED."""
    message, n = consequence.delivery or (None, None)
    seq = next((row[0] for row in list(connection.execute("SELECT seq FROM message WHERE id = ?", (message,)))), None)
    if seq is None or consequence.event is None:
        return
    kind = consequence.event
    if kind is EventKind.RETURNED:
        connection.execute(
            "UPDATE delivery SET state = ? WHERE message = ? AND n = ? AND state = ?",
            (int(State.RETURNED), seq, n, int(State.DELIVERED)),
        )
        if connection.changes() != 1:
            kind = EventKind.ATTEMPTED
            connection.execute("UPDATE inbound SET result = ? WHERE id = ?", (Followed.RECORDED.value, number))
    elif kind in _ONCE and _told_enough(connection, seq, n, kind):
        connection.execute("UPDATE inbound SET result = ? WHERE id = ?", (Followed.RECORDED.value, number))
        return
    write_event(connection, now, seq, n, kind, dump({**consequence.told, "inbound": number}))


def _told_enough(connection: Connection, seq: int, n: int | None, kind: EventKind) -> bool:
    """Whether all who could say it have: whoever was sent a mail may post his complaint a thousand times."""
    ((told, recipients),) = connection.execute(
        "SELECT (SELECT count(*) FROM event WHERE message = ? AND kind = ? AND coalesce(n, -1) = ?),"
        " (SELECT count(*) FROM delivery WHERE message = ?)",
        (seq, int(kind), -1 if n is None else n, seq),
    )
    return bool(told >= (recipients if n is None else 1))
