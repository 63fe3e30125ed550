"""What a front may ask of the relay, in process and over HTTP: real DNS packets, real sockets, both databases."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from relay.account.book import AccountBook
from relay.account.credential import NewUser
from relay.account.identity import Access, Identity
from relay.api.app import ApiDependencies, ApiOptions, make_api
from relay.api.connections import HttpLimits
from relay.api.server import HttpServer
from relay.client.checking import MAX_QUESTIONS, AddressChecker
from relay.client.contract import Letter, LetterAccepted, LetterRefused, RelayClient
from relay.client.line import Way
from relay.client.local import REPLIES, LocalRelayClient, RelayParts
from relay.client.remote import RemoteRelayClient
from relay.clock import SystemClock
from relay.database.contract import Connection, Database
from relay.database.sqlite import SqliteDatabase
from relay.engine.submission import Refusal
from relay.errors import SpoolUnavailableError
from relay.event import EventKind
from relay.ids import SpoolId, SystemEntropy
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.state import State
from relay.policy.suppress import Reason
from relay.resolver.resolver import DnsResolver
from relay.smtp.reply import reply
from relay.spool.contract import Spool
from relay.spool.letter_replies import LetterReplies, add_reply
from relay.spool.sqlite import SqliteSpool
from relay.spool.work import AttemptRecord, Door, Settlement
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import Which
from tests.support.dns_server import DnsServer, Fault, Zone
from tests.support.either_database import open_database, spool_on
from tests.support.hand_clock import HandClock
from tests.support.spooling_intake import SpoolingIntake
from tests.support.suppressions import book_on

ZONE: Zone = {
    "example.net": {"MX": ["10 mx.example.net"]},
    "mx.example.net": {"A": ["127.0.0.2"]},
    "gmial.com": {"MX": ["10 mx.example.net"]},
    "nomail.example": {"MX": ["0 ."]},
    "hollow.example": {"TXT": ["nothing here"]},
    "slow.example": {"MX": ["10 mx.example.net"]},
}
LETTER = Letter(
    sender="hello@leak.example",
    sender_name="A friend, via Leak",
    recipient="bob@example.net",
    subject="Quelqu’un vous écrit",
    text="Bonjour.\n",
    html="<p>Bonjour.</p>",
    stream="letter",
    idempotency_key="letter-1",
    headers={"List-Unsubscribe": "<https://leak.example/u/x>"},
)


FORMS = [("in process", "sqlite"), ("over HTTP", "sqlite"), ("over HTTP", "postgres")]
"""Over HTTP the relay answers with the form in process, so each is tried on each database."""


@dataclass(slots=True)
class Front:
    client: RelayClient
    intake: SpoolingIntake
    spool: Spool
    clock: HandClock
    book: SuppressionBook
    database: Database
    identity: Identity
    other: RelayClient
    """Another tenant's."""
    parts: RelayParts


@asynccontextmanager
async def served(
    parts: RelayParts, accounts: AccountBook, keys: Sequence[str], clock: HandClock
) -> AsyncIterator[list[RemoteRelayClient]]:
    """The relay's HTTP door on a real socket, and a client for each key."""
    dependencies = ApiDependencies(
        parts.intake,
        parts.spool,
        accounts,
        clock,
        parts.entropy,
        ApiOptions("mail.example.org"),
        fronts=partial(LocalRelayClient, parts),
    )
    server = HttpServer(make_api(dependencies), HttpLimits(), clock, shutdown=1.0)
    listener = socket.create_server(("127.0.0.1", 0))
    way = Way(f"http://127.0.0.1:{listener.getsockname()[1]}")
    await server.start([listener])
    clients = [RemoteRelayClient(way, key, SystemClock()) for key in keys]
    try:
        yield clients
    finally:
        for client in clients:
            await client.close()
        await server.stop()


@pytest.fixture(params=FORMS, ids=" ".join)
async def front(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Front]:
    form, kind = request.param
    database = await open_database(request, tmp_path, kind)
    clock, entropy = HandClock(), SystemEntropy()
    accounts = AccountBook(database, clock, entropy)
    await accounts.migrate()
    spool = spool_on(database, clock)
    await spool.migrate()
    intake = SpoolingIntake(spool, clock, entropy)
    book = book_on(database, clock)
    await book.migrate()
    async with DnsServer(ZONE, faults={("slow.example", "MX"): Fault.SERVFAIL}) as dns, AsyncExitStack() as ends:
        resolver = DnsResolver([dns.address], timeout=1.0, trust_ad=False, clock=SystemClock())
        parts = RelayParts(
            intake, spool, AddressChecker(resolver), entropy, book, database, LetterReplies(database, clock)
        )
        keys, identities = [], []
        for name in ("leak", "other"):
            created = await accounts.add_user(
                NewUser(name, tenant=name, senders=["leak.example"], api_key=True, access=Access.FRONT)
            )
            keys.append(created.api_key or "")
            proven = await accounts.by_key(keys[-1], "192.0.2.1", Access.FRONT)
            assert proven is not None
            identities.append(proven)
        clients: Sequence[RelayClient]
        if form == "over HTTP":
            clients = await ends.enter_async_context(served(parts, accounts, keys, clock))
        else:
            clients = [LocalRelayClient(parts, identity) for identity in identities]
        yield Front(clients[0], intake, spool, clock, book, database, identities[0], clients[1], parts)
    await accounts.close()
    await spool.close()


ADDRESSES = [
    (" bob@Example.NET ", True, "", ""),
    ("bob@gmial.com", True, "", "bob@gmail.com"),
    ("bob@gmal.com", False, "no-domain", "bob@gmail.com"),
    ("bob@nowhere.example", False, "no-domain", ""),
    ("bob@nomail.example", False, "null-mx", ""),
    ("bob@hollow.example", False, "no-host", ""),
    ("bob", False, "syntax", ""),
    ("bob@example.net\r\nRCPT TO:<x@y.org>", False, "syntax", ""),
]


async def test_addresses_are_checked(front: Front) -> None:
    for address, ok, reason, suggestion in ADDRESSES:
        found = await front.client.check(address)
        assert (found.ok, found.reason, found.suggestion, found.unknown) == (ok, reason, suggestion, False), address


async def test_a_silent_dns_refuses_nobody(front: Front) -> None:
    found = await front.client.check("bob@slow.example")
    assert (found.ok, found.unknown, found.address) == (True, True, "bob@slow.example")


async def test_checks_leave_the_resolver_to_delivery(tmp_path: Path) -> None:  # S50
    zone = ZONE | {
        "many.example": {"MX": [f"{n} mx{n}.many.example" for n in range(10)]},
        **{f"mx{n}.many.example": {"A": ["127.0.0.2"]} for n in range(10)},
    }
    silent = {(f"s{n}.example", "MX"): Fault.TIMEOUT for n in range(100)}
    silent |= {(f"mx{n}.many.example", "*"): Fault.TIMEOUT for n in range(10)}
    async with DnsServer(zone, faults=silent) as dns:
        resolver = DnsResolver([dns.address], timeout=20.0, trust_ad=False, clock=SystemClock())
        entropy = SystemEntropy()
        database = await SqliteDatabase.open(tmp_path / "spool.db")
        spool = SqliteSpool(database, SystemClock())
        intake, book = SpoolingIntake(spool, HandClock(), entropy), book_on(database, HandClock())
        parts = RelayParts(
            intake, spool, AddressChecker(resolver), entropy, book, database, LetterReplies(database, HandClock())
        )
        client = LocalRelayClient(parts, Identity(1, "leak", None, "front", ("leak.example",)))
        first = asyncio.create_task(client.check("a@many.example"))
        checks = [first, *(asyncio.create_task(client.check(f"a@s{n}.example")) for n in range(100))]
        async with asyncio.timeout(15):
            found = await asyncio.gather(*checks)
        assert all(answer.ok and answer.unknown for answer in found)
        # Nobody waits any more, but the look-ups go on; a new check must not add to them.
        assert (await client.check("bob@example.net")).unknown
        assert len(resolver._in_flight) <= MAX_QUESTIONS
        assert (await resolver.ask("example.net", "MX")).records
        await resolver.close()
        await spool.close()


async def test_a_letter_is_submitted_without_an_origin(front: Front) -> None:
    answer = await front.client.submit(LETTER)
    assert isinstance(answer, LetterAccepted)
    (submission,) = front.intake.submissions
    assert (submission.door, submission.origin, submission.identity) == (Door.WEB, None, front.identity)
    assert str(submission.envelope.reverse_path) == "hello@leak.example"
    assert [str(r.address) for r in submission.envelope.recipients] == ["bob@example.net"]
    assert submission.stream == "letter"
    mail = email.message_from_bytes(submission.content, policy=email.policy.SMTP)
    assert mail["List-Unsubscribe"] == "<https://leak.example/u/x>"
    shown = front.client.preview(LETTER)
    assert shown == {
        "From": '"A friend, via Leak" <hello@leak.example>',
        "To": "bob@example.net",
        "Subject": "Quelqu’un vous écrit",
    }
    assert {name: str(mail[name]) for name in shown} == shown


async def test_a_letter_handed_over_twice_is_one_message(front: Front) -> None:
    first = await front.client.submit(LETTER)
    again = await front.client.submit(replace(LETTER, html="<p>Rendered anew after an upgrade.</p>"))
    assert first == again
    assert await front.client.submit(replace(LETTER, idempotency_key="letter-2")) != first


async def test_refusals(front: Front) -> None:
    for bad in (
        replace(LETTER, recipient="bob"),
        replace(LETTER, subject="a\r\nBcc: x@y.org"),  # S08
        replace(LETTER, text="a\0b"),
        replace(LETTER, html="a\0b"),
        replace(LETTER, headers={"Bcc": "x@y.org"}),
    ):
        answer = await front.client.submit(bad)
        assert isinstance(answer, LetterRefused)
        assert not answer.temporary
        with pytest.raises(ValueError, match=r"."):
            front.client.preview(bad)
    assert front.intake.submissions == []
    front.intake.refusal = Refusal(reply(451, "4.3.0", "later"))
    assert await front.client.submit(LETTER) == LetterRefused(temporary=True, reason="later")


async def test_a_sender_that_is_not_the_front_s_ends_no_letter(front: Front) -> None:
    answer = await front.client.submit(replace(LETTER, sender="hello@doorbell.leak.example"))
    assert answer == LetterRefused(
        temporary=True, reason=f"{front.identity.name} may not send from doorbell.leak.example"
    )
    assert front.intake.submissions == []


async def test_a_relay_that_takes_no_replies_takes_no_letter_that_promises_them(front: Front) -> None:  # RCP 10
    deaf = LocalRelayClient(replace(front.parts, takes_replies=False), front.identity)
    answer = await deaf.submit(replace(LETTER, answerable=True))
    assert isinstance(answer, LetterRefused)
    assert answer.temporary
    assert isinstance(await deaf.submit(LETTER), LetterAccepted)


async def test_where_a_letter_stands(front: Front) -> None:
    answer = await front.client.submit(LETTER)
    assert isinstance(answer, LetterAccepted)
    state = await front.client.state(answer.id)
    assert state is not None
    assert (state.state, state.attempts, state.meaning) == ("waiting", 0, "")
    assert state.changed_at == state.next_due == front.clock.now()

    front.clock.move(60)
    incarnation = await front.spool.register("node", 0)
    (parcel,) = await front.spool.claim(incarnation, 10)
    later = reply(452, "4.2.2", "mailbox full")
    outcome = Outcome(Result.TEMPORARY, Scope.RECIPIENT, Phase.RCPT, DecidedBy.REMOTE, later)
    attempt = AttemptRecord(1, front.clock.now(), outcome, "default", 12)
    put_off = Settlement(parcel.seq, 0, State.WAITING, due=front.clock.now(), event=EventKind.DEFERRED, attempt=attempt)
    assert await front.spool.settle(incarnation, [put_off]) == 1
    state = await front.client.state(answer.id)
    assert state is not None
    assert (state.state, state.meaning) == ("waiting", "full")
    (parcel,) = await front.spool.claim(incarnation, 10)
    refused = reply(550, "5.1.1", "no such user")
    outcome = Outcome(Result.PERMANENT, Scope.RECIPIENT, Phase.RCPT, DecidedBy.REMOTE, refused)
    attempt = AttemptRecord(2, front.clock.now(), outcome, "default", 12)
    settlement = Settlement(parcel.seq, 0, State.BOUNCED, event=EventKind.BOUNCED, attempt=attempt)
    assert await front.spool.settle(incarnation, [settlement]) == 1
    state = await front.client.state(answer.id)
    assert state is not None
    assert (state.state, state.attempts, state.next_due, state.meaning) == ("bounced", 2, None, "unknown-user")
    assert state.changed_at == front.clock.now()


async def test_unknown_letters(front: Front) -> None:  # S49
    for identifier in ("", "x", "0" * 26, "../" * 9):
        assert await front.client.state(identifier) is None
    for identifier in ("", "x", "0" * 26, "a\0b"):  # PostgreSQL's text has no NUL
        assert await front.client.forget(identifier)
    answer = await front.client.submit(LETTER)
    assert isinstance(answer, LetterAccepted)
    assert await front.other.state(answer.id) is None


async def test_a_recipient_s_no_is_heard_and_the_address_forgotten(front: Front) -> None:
    assert not await front.client.suppressed("ann@b.example")
    assert await front.client.suppress("Ann+letters@b.example")
    assert await front.client.suppressed("ann@b.example")
    assert not await front.client.suppressed("bob@b.example")
    assert not await front.client.suppress("no address")
    assert (await front.client.refusals("letters"), await front.other.refusals("letters")) == (1, 0)
    (row,) = await front.book.show(Which())
    assert (row.address, row.reason, row.tenant_id, row.until) == (None, Reason.OPT_OUT, front.identity.tenant, None)


async def test_one_mail_is_forgotten_and_the_others_stay(front: Front) -> None:
    answer = await front.client.submit(LETTER)
    other = await front.client.submit(replace(LETTER, idempotency_key="another"))
    assert isinstance(answer, LetterAccepted)
    assert isinstance(other, LetterAccepted)
    assert not await front.client.forget(answer.id), "somebody may be delivering it: its content waits for that"
    sql = "SELECT m.id FROM recipient r JOIN message m ON m.seq = r.message"
    assert await front.database.read(lambda connection: list(connection.execute(sql))) == [(other.id,)]
    done = "UPDATE message SET open = 0 WHERE id = ?"
    await front.database.write(lambda connection: list(connection.execute(done, (answer.id,))))
    assert await front.client.forget(answer.id)
    sql = "SELECT m.id FROM content c JOIN message m ON m.seq = c.message"
    assert await front.database.read(lambda connection: list(connection.execute(sql))) == [(other.id,)]
    assert await front.client.forget("never-heard-of"), "nothing is left of what there is not"


async def test_a_mail_whose_id_was_never_heard_is_found_by_its_key(front: Front) -> None:  # R12
    answer = await front.client.submit(LETTER)
    assert isinstance(answer, LetterAccepted)
    assert await front.client.handed(LETTER.idempotency_key) == answer.id
    assert await front.client.handed("never-handed-over") == ""
    assert await front.other.handed(LETTER.idempotency_key) == "", "another customer's"


async def test_an_erased_recipient_stands_nowhere(front: Front) -> None:
    answer = await front.client.submit(LETTER)
    assert isinstance(answer, LetterAccepted)
    assert await front.client.erase(LETTER.recipient.upper()) == 1
    assert await front.client.erase(LETTER.recipient) == 0
    assert await front.client.erase("nobody") == 0
    rows = await front.database.read(lambda connection: list(connection.execute("SELECT * FROM recipient")))
    assert rows == []
    assert await front.client.state(answer.id) is not None


async def test_a_key_stands_for_its_letter_for_a_week(front: Front) -> None:  # R13
    """A front whose answer was lost may come again only after days: its own retries end before the key does."""
    first = await front.client.submit(LETTER)
    front.clock.move(7 * 86_400 - 3600)
    assert await front.client.submit(LETTER) == first
    front.clock.move(7200)
    assert await front.client.submit(LETTER) != first


async def test_what_is_no_address_is_said_alike(front: Front) -> None:
    for sender, recipient in (("nobody", ""), (LETTER.sender, "nobody")):
        with pytest.raises(ValueError, match=r"."):
            await front.client.admission(sender, "letter", recipient)
    room = await front.client.admission(LETTER.sender, "letter", LETTER.recipient)
    assert (room.remaining, room.departs_at, room.provider) == (None, None, "")


async def test_a_spool_that_is_away_refuses_no_letter(front: Front) -> None:
    front.intake.failure = SpoolUnavailableError("on holiday")
    with pytest.raises(SpoolUnavailableError):
        await front.client.submit(LETTER)
    front.intake.failure = None
    assert isinstance(await front.client.submit(LETTER), LetterAccepted)


async def test_replies_are_told_until_the_front_has_them(front: Front) -> None:  # RCP 10
    answers = [
        await front.client.submit(replace(LETTER, idempotency_key=f"a{n}", answerable=True)) for n in range(REPLIES + 1)
    ]
    ids = [answer.id for answer in answers if isinstance(answer, LetterAccepted)]
    assert {submission.replies_as for submission in front.intake.submissions} == {LETTER.sender_name}
    await front.client.submit(LETTER)
    assert front.intake.submissions[-1].replies_as is None
    words = "Merci\N{NO-BREAK SPACE}!\n\n" + "é" * 1990

    def work(connection: Connection) -> None:
        for n, one in enumerate(ids):
            add_reply(connection, SpoolId(one), words, n)

    await front.database.write(work)
    first = await front.client.replies()
    assert [(one.message_id, one.recipient) for one in first] == [(one, LETTER.recipient) for one in ids[:REPLIES]]
    assert {one.words for one in first} == {words}
    assert await front.client.replies() == first, "an answer that was lost is told again"
    assert not await front.other.replies([*ids, "", "x", "a\0b"])
    (rest,) = await front.client.replies([one.message_id for one in first])
    assert rest.message_id == ids[-1]
    for _ in range(2):
        assert not await front.client.replies([rest.message_id])
