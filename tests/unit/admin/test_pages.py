"""The operator's pages over a real spool on both databases: the facts of the commands, in their words."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from relay.admin import today as today_page
from relay.admin.heard import Bounds, read_heard
from relay.admin.life import chapters, what_next
from relay.admin.messages import MOST_FOUND
from relay.admin.paths import exchangers_of, limits_in_words
from relay.admin.reports import encrypted, weakest
from relay.clock import to_millis
from relay.database.contract import Connection
from relay.engine.alarms import Alarms
from relay.ids import SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.alarms import AlarmKind
from relay.policy.outcome import Result
from relay.policy.shaping import Limits
from relay.policy.warm_up import WarmUpRules, today
from relay.shaping.contract import Question, WarmUpKey
from relay.shaping.path_notes import PathNote, PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.spool.explaining import Obstacles
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Suspension, Verb
from relay.spool.rows import dump, load
from relay.spool.tls_hosts import HostTls
from relay.spool.work import Door, NewMessage
from tests.contract.test_learning import BLOCKED, FULL, GONE, Bench, bench
from tests.support.form import PageReader
from tests.support.operator import Operator, an_operator
from tests.unit.report.test_aggregate_reading import document

__all__ = ["bench"]

OURS = frozenset({"leak.example"})

ONE_DATABASE = pytest.mark.parametrize("bench", ["sqlite"], indirect=True)
"""For what is about words and the page alone: the reads behind it are tried on both elsewhere."""


@pytest.fixture
async def ann(bench: Bench) -> AsyncIterator[Operator]:
    await WarmUpBook(bench.database, bench.clock).migrate()
    async with an_operator(bench.database, bench.clock) as somebody:
        yield somebody


async def waits(bench: Bench, recipient: str, tenant: int = 1, **fields: object) -> SpoolId:
    """A message that waits for its first attempt, due in an hour."""
    now = bench.clock.now()
    message = NewMessage(
        id=new_spool_id(int(now.timestamp() * 1000), SystemEntropy()),
        tenant=tenant,
        credential=None,
        door=Door.SMTP,
        envelope=Envelope(parse_address("ann@sender.example"), (Recipient(parse_address(recipient)),)),
        content=b"Subject: x\r\n\r\nnobody's business\r\n",
        prelude=None,
        accepted_at=now,
        expires_at=now + timedelta(days=5),
        due=now + timedelta(hours=1),
        stream="news",
        **fields,  # type: ignore[arg-type]
    )
    await bench.spool.accept(message)
    return message.id


@ONE_DATABASE
async def test_a_node_without_mail_has_pages(ann: Operator) -> None:
    page = await ann.get("/admin")
    assert "Alarms None stands." in page.text
    assert "Waiting 0 Under way 0 Held 0 Oldest -" in page.text
    assert "No mail went out in this time." in page.text
    assert "Nothing waits." in (await ann.get("/admin/queue")).text
    assert "/desk" not in page.document


async def test_today_shows_what_happened_and_why(bench: Bench, ann: Operator) -> None:
    for number in range(3):
        await bench.ends(f"a{number}@b.example", Result.DELIVERED)
    await bench.ends("gone@b.example", Result.PERMANENT, GONE)
    await bench.ends("eve@b.example", Result.PERMANENT, BLOCKED)
    await bench.learn()
    await Alarms(bench.spool, bench.clock).start(AlarmKind.DKIM_KEY, "leak.example", "no key <b>can</b> be read")
    page = await ann.get("/admin")
    assert "Hard bounces, 24 h 40 %" in page.text
    assert "big 3 0 0 % 2 40 % 0 (0 %)" in page.text
    hour = bench.clock.now().strftime("%d %H:00")
    assert f"{hour} 5 3 0 2 0" in page.text
    assert page.document.count('<rect class="delivered"') == 1
    assert page.document.count('<rect class="bounced"') == 1
    assert "dkim-key leak.example since" in page.text
    assert "no key &lt;b&gt;can&lt;/b&gt; be read" in page.document
    about_us, _, about_recipients = page.text.partition("Failures about recipients")
    assert "mx.b.example remote source blocked" in about_us.partition("Failures about us")[2]
    assert "mx.b.example remote recipient unknown-user" in about_recipients


@ONE_DATABASE
async def test_failures_beyond_the_most_frequent_are_told_by_number(
    bench: Bench, ann: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        await bench.ends(f"gone{number}@b.example", Result.PERMANENT, GONE)
    await bench.ends("full@b.example", Result.TEMPORARY, FULL)
    await bench.learn()
    assert "none of them more often" not in (await ann.get("/admin")).text
    monkeypatch.setattr(today_page, "MOST_REPLIES", 1)
    page = await ann.get("/admin")
    assert "And 1 more, none of them more often." in page.text
    assert ("unknown-user" in page.text, "mailbox-full" in page.text) == (True, False)


@ONE_DATABASE
async def test_a_reply_is_new_for_an_hour(bench: Bench, ann: Operator) -> None:
    await bench.ends("gone@b.example", Result.PERMANENT, GONE)
    assert page_of_new(await ann.get("/admin")) == 0, "nobody can tell what was there before"
    bench.clock.move(2 * 3600)
    await bench.ends("eve@b.example", Result.PERMANENT, GONE)
    assert page_of_new(await ann.get("/admin")) == 0, "the words are those of two hours ago"
    await bench.ends("eve@b.example", Result.TEMPORARY, BLOCKED)
    assert page_of_new(await ann.get("/admin")) == 1
    bench.clock.move(3601)
    assert page_of_new(await ann.get("/admin")) == 0


def page_of_new(page: object) -> int:
    return str(getattr(page, "document")).count(">new</strong>")  # noqa: B009 - a PageReader


async def test_the_queue_is_shown_by_provider_site_and_domain(bench: Bench, ann: Operator) -> None:
    for recipient in ("a@gmail.com", "b@gmail.com", "c@b.example"):
        await waits(bench, recipient)
    bench.clock.move(2 * 3600)
    await waits(bench, "d@b.example", tenant=2)
    await bench.spool.note_site(1, "b.example", "mx.b.example")
    page = await ann.get("/admin/queue")
    assert "all 1 0 3 0 0 0 4 0 0 2h now" in page.text
    assert "google 0 0 2 0 0 0 2 0 0 2h now" in page.text
    assert "other 1 0 1 0 0 0 2 0 0 2h now" in page.text
    page = await ann.get("/admin/queue?by=site&provider=other")
    assert "mx.b.example 0 0 1" in page.text
    assert "(not looked up yet) 1 0 0" in page.text
    assert "gmail" not in page.text
    page = await ann.get("/admin/queue?by=domain&provider=other&site=mx.b.example")
    assert 'href="/admin/queue/domain?domain=b.example"' in page.document
    assert (await ann.get("/admin/queue?by=%3Cb%3E&site=%22nowhere")).text.count("Nothing waits.") == 1


@ONE_DATABASE
async def test_a_domain_tells_what_comes_next_and_why_in_the_words_of_the_command(bench: Bench, ann: Operator) -> None:
    message = await waits(bench, "a@b.example")
    held = await waits(bench, "b@b.example")
    await bench.spool.ask(Verb.HOLD, QueueFilter(message=held), "asked by the sender", timedelta())
    until = bench.clock.now() + timedelta(hours=3)
    stopped = Suspension(0, "", "b.example", "", until, "they are down")
    await bench.spool.suspend(stopped)
    view = await bench.spool.message(message)
    assert view is not None
    (suspension,) = await bench.spool.suspensions()
    told = what_next(view, view.deliveries[0], bench.clock.now(), Obstacles((suspension,)))
    assert "they are down" in told
    page = await ann.get("/admin/queue/domain?domain=B.example")
    assert f"{message}.0 to a@b.example 0 attempts, next try in 1h: {told}" in page.text
    assert f"{held}.0 to b@b.example 0 attempts: asked by the sender" in page.text
    assert "nobody's business" not in page.text
    page = await ann.get("/admin/queue")
    assert f"until {until:%Y-%m-%d %H:%M:%S} UTC: b.example: they are down" in page.text


@ONE_DATABASE
async def test_what_stops_and_slows_paths_is_told(bench: Bench, ann: Operator) -> None:
    now = bench.clock.now()
    notes = (
        PathNote("mx.b.example", "ip1", now, now + timedelta(minutes=9), "connect", "refused\u202e"),
        PathNote("mx.c.example", "ip1", pace="30 a minute"),
    )
    await PathNotes(bench.database, bench.clock).write(1, notes, ())
    page = await ann.get("/admin/queue")
    assert (
        "mx.b.example from ip1 rests until 2026-11-21 12:09:00 UTC because: refused\N{REPLACEMENT CHARACTER}"
        in page.text
    )
    assert "mx.c.example from ip1: its provider limits us, the pace learnt is 30 a minute" in page.text


async def test_a_message_is_found_by_what_is_known_of_it(bench: Bench, ann: Operator) -> None:
    one = await waits(bench, "a@b.example", tags=("invoice",))
    two = await waits(bench, "c@b.example", tenant=2)
    for asked, expected in (
        ("recipient=A@b.example", [one]),
        ("recipient=&sender=ann@sender.example", [one, two]),
        ("recipient=&tag=invoice", [one]),
        ("recipient=&tenant=two", [two]),
        ("recipient=&state=waiting", [one, two]),
        ("recipient=&state=held", []),
        ("recipient=%00a@b.example", [one]),
        ("recipient=a@b.example&cursor=zz%00&state=none", [one]),
        ("recipient=a@b.example&tenant=nobody%00", [one]),
    ):
        page = await ann.get(f"/admin/messages?{asked}")
        assert [message for message in (one, two) if f"/admin/message/{message}" in page.document] == expected, asked
        assert ("Nothing." in page.text) is (expected == []), asked
    assert "Nothing" not in (await ann.get("/admin/messages")).text
    response, _ = await ann.ask("GET", f"/admin/messages?id=%20{one.upper()}.0")
    assert response.headers["Location"] == f"/admin/message/{one}"
    assert "'x' is not a message's id" in (await ann.get("/admin/messages?id=x")).text


@ONE_DATABASE
async def test_what_is_found_is_shown_in_pages(bench: Bench, ann: Operator) -> None:
    messages = [await waits(bench, f"a{n}@b.example") for n in range(MOST_FOUND + 3)]
    page = await ann.get("/admin/messages?recipient=")
    assert messages[-1] in page.text
    assert messages[2] not in page.text
    older = page.document.partition('<a href="/admin/messages?recipient=')[2].partition('"')[0].replace("&amp;", "&")
    page = await ann.get(f"/admin/messages?recipient={older}")
    assert all(message in page.text for message in messages[:3])
    assert messages[3] not in page.text


@ONE_DATABASE
async def test_a_message_has_its_life_in_the_words_of_the_command(bench: Bench, ann: Operator) -> None:
    pages: list[str] = []
    for message in (await bench.ends("gone@b.example", Result.PERMANENT, GONE), await waits(bench, "a@b.example")):
        view = await bench.spool.message(message)
        assert view is not None
        page = await ann.get(f"/admin/message/{message}")
        for chapter in chapters(view, bench.clock.now()):
            assert chapter.title in page.text
            for step in chapter.steps:
                assert step.name in page.text
                assert " ".join(step.text.split()) in page.text
        pages.append(page.text)
    assert "next nothing: it was refused for good" in pages[0]
    assert "next the first attempt in 1h" in pages[1]
    assert "nobody's business" not in "".join(pages)


@ONE_DATABASE
async def test_a_message_that_is_not_there_is_told_as_the_command_does(ann: Operator) -> None:
    for unknown in ("0" * 26, "x", "%3Cb%3E", "%00"):
        response, page = await ann.ask("GET", f"/admin/message/{unknown}")
        assert response.status == 404
        assert "it was never accepted here, or its time to be kept is over" in page.text


@ONE_DATABASE
async def test_paths_tell_limits_stops_and_codes(bench: Bench, ann: Operator) -> None:
    await bench.ends("us@b.example", Result.PERMANENT, BLOCKED)
    for recipient in ("a@gmail.com", "b@c.example"):
        await waits(bench, recipient)
    await bench.spool.note_site(1, "gmail.com", "alt1.gmail-smtp-in.l.google.com+gmail-smtp-in.l.google.com")
    await bench.spool.note_site(1, "c.example", "mx.c.example")
    now = bench.clock.now()
    rest = PathNote("mx.c.example", "ip1", now, now + timedelta(minutes=9), "connect", "refused")
    pace = PathNote("mx.d.example", "ip1", pace="30 a minute")
    await PathNotes(bench.database, bench.clock).write(1, [rest, pace], ())
    await bench.spool.suspend(Suspension(0, "", "", "mx.c.example", now + timedelta(hours=3), "they are down"))
    await bench.spool.suspend(Suspension(0, "two", "", "", now + timedelta(hours=5), "unpaid"))
    page = await ann.get("/admin/paths")
    everywhere, *sites = page.document.split('<section class="path">')
    assert "ends in 5h" in everywhere
    assert "tenant two: unpaid" in everywhere
    told = {part.partition("<h2>")[2].partition("</h2>")[0]: PageReader(part).text for part in sites}
    assert list(told)[:2] == ["mx.c.example", "mx.d.example"], "what is stopped stands first"
    plain = "20 connections, 100 messages each (what a site gets that no rule names)"
    assert f"provider other mail 1 waiting, 0 under way limits {plain} stopped or slowed" in told["mx.c.example"]
    assert "ends in 3h : suspended (1) until" in told["mx.c.example"]
    assert "ends in 9m : mx.c.example from ip1 rests until" in told["mx.c.example"]
    assert "mx.d.example from ip1: its provider limits us, the pace learnt is 30 a minute" in told["mx.d.example"]
    assert "1 × 550 , the last 0s ago: 550 they said" in told["mx.b.example"]
    assert "exchanger one host of a site that has no mail now" in told["mx.b.example"]
    assert "limits" not in told["mx.b.example"], "those are a site's, and may be others there"
    assert list(told)[-1] == "mx.b.example", "after the sites, which have mail or rest"
    assert "exchanger" not in told["mx.c.example"]
    google = told["alt1.gmail-smtp-in.l.google.com+gmail-smtp-in.l.google.com"]
    assert "provider google mail 1 waiting" in google
    assert "(rule google)" in google


def test_a_long_site_is_known_by_its_first_exchanger() -> None:
    assert exchangers_of("mx1.b.example+mx2.b.example") == ["mx1.b.example", "mx2.b.example"]
    assert exchangers_of("mx1.b.example+17~0123abcd") == ["mx1.b.example"]
    assert limits_in_words(Limits(2, 10, 6, 30.5)) == (
        "2 connections, 10 messages each, 30.5 messages a minute, 6 connects a minute"
    )


async def test_a_warm_up_has_its_ceiling_its_use_and_its_days(bench: Bench, ann: Operator) -> None:
    book, day = WarmUpBook(bench.database, bench.clock), today(bench.clock.now().timestamp())
    assert "No source warms up" in (await ann.get("/admin/warm-up")).text
    young, old = (WarmUpKey("leak.example", source, 4, "big") for source in ("ip1", "ip2"))
    (answer,) = await book.ask([Question(young, 30, False, WarmUpRules((120, 500)), day)])
    await book.ask([Question(old, 1, False, WarmUpRules(()), day)])
    assert answer.granted > 0

    def yesterday(connection: Connection) -> None:
        rows = [(answer.row, day - 1, 40, 3, 2, 1), (answer.row, day - 20, 9, 9, 9, 9)]
        connection.executemany(
            "INSERT INTO warm_up_day (warm_up, day, delivered, deferred, bounced, complaints)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )

    await bench.database.write(yesterday)
    (view,) = [one for one in await book.views() if one.ceiling]
    page = await ann.get("/admin/warm-up")
    assert f"Step 1: {view.used} of 120 letters are used today" in page.text
    assert f'width="{960 * view.used / 120:.1f}" height="24"' in page.document
    assert "2026-11-20 40 3 2 1" in page.text
    assert "2026-11-21 0 0 0 0" in page.text
    assert "9 9 9 9" not in page.text
    assert page.document.count('<rect class="bounced"') == 1
    assert "leak.example from ip2 at big is warm" in page.text


async def test_reports_of_receivers_are_summed_as_the_command_does(bench: Bench, ann: Operator) -> None:
    assert "No DMARC report came." in (await ann.get("/admin/reports")).text
    begin = int((bench.clock.now() - timedelta(days=1)).timestamp())
    rows = (("192.0.2.10", 9, "pass", "pass"), ("203.0.113.66", 3, "fail", "fail"))
    tls = b'{"policies":[{"policy":{"policy-domain":"leak.example"},"summary":{"total-successful-session-count":3}}]}'
    stored = [("dmarc", document(*rows, begin=begin)), ("dmarc", b"what is this"), ("tls-rpt", tls)]
    at = to_millis(bench.clock.now())

    def store(connection: Connection) -> None:
        connection.executemany(
            "INSERT INTO aggregate_report (form, domain, digest, at, content) VALUES (?, 'leak.example', ?, ?, ?)",
            [(form, str(n), at, zlib.compress(content)) for n, (form, content) in enumerate(stored)],
        )

    await bench.database.write(store)
    await bench.ends("a@b.example", Result.DELIVERED)
    page = await ann.get("/admin/reports")
    assert "passed DMARC, 30 days 75 %" in page.text
    assert "leak.example 192.0.2.10 9 0 1" in page.text
    assert "leak.example 203.0.113.66 0 3 1" in page.text
    assert "leak.example 3 0 1" in page.text
    assert "1 could not be read" in page.text


async def test_reports_about_invented_domains_crowd_out_nobody(bench: Bench, ann: Operator) -> None:  # S28
    """Those that were kept before such reports were declined, and those that name ours among many."""
    begin = int((bench.clock.now() - timedelta(days=1)).timestamp())
    ours = document(("192.0.2.10", 9, "pass", "pass"), begin=begin)
    head = ours.replace(b"192.0.2.10", b"192.0.2.66")
    forged = [head.replace(b"Leak.example", b"a%d.example" % n) for n in range(120)]
    policies = ",".join(
        f'{{"policy":{{"policy-domain":"{name}"}},"summary":{{"total-successful-session-count":3}}}}'
        for name in ("leak.example", *(f"b{n}.example" for n in range(120)))
    )
    reports = [("dmarc", one) for one in (ours, *forged)] + [("tls-rpt", f'{{"policies":[{policies}]}}'.encode())]
    at = to_millis(bench.clock.now())

    def store(connection: Connection) -> None:
        connection.executemany(
            "INSERT INTO aggregate_report (form, domain, digest, at, content) VALUES (?, '', ?, ?, ?)",
            [(form, str(n), at, zlib.compress(content)) for n, (form, content) in enumerate(reports)],
        )

    await bench.database.write(store)
    page = await ann.get("/admin/reports")
    assert "leak.example 192.0.2.10 9 0 1" in page.text
    assert "leak.example 3 0 1" in page.text
    assert "192.0.2.66" not in page.document
    assert "b1.example" not in page.document
    assert "Left out: 120 about no domain that we send from, 0 beyond" in page.text


@ONE_DATABASE
async def test_reading_reports_has_an_end(bench: Bench) -> None:
    def store(connection: Connection) -> None:
        connection.executemany(
            "INSERT INTO aggregate_report (form, domain, digest, at, content) VALUES ('dmarc', 'd', ?, ?, ?)",
            [(str(n), to_millis(bench.clock.now()), zlib.compress(b"x")) for n in range(4)],
        )

    await bench.database.write(store)
    since = bench.clock.now() - timedelta(days=1)
    whole, few, late = (
        await read_heard(bench.database, since, OURS),
        await read_heard(bench.database, since, OURS, Bounds(most=3)),
        await read_heard(bench.database, since, OURS, Bounds(seconds=-1)),
    )
    assert (whole.looked_at, whole.unread, whole.cut) == (4, 4, False)
    assert (few.looked_at, few.cut) == (3, True)
    assert (late.looked_at, late.cut) == (0, True)


async def test_reports_of_many_rows_are_not_all_held(bench: Bench) -> None:  # S28
    report = zlib.compress(document(*((f"192.0.2.{n}", 1, "pass", "pass") for n in range(3))))

    def store(connection: Connection) -> None:
        connection.executemany(
            "INSERT INTO aggregate_report (form, domain, digest, at, content) VALUES ('dmarc', 'd', ?, ?, ?)",
            [(str(n), to_millis(bench.clock.now()), report) for n in range(4)],
        )

    await bench.database.write(store)
    found = await read_heard(bench.database, bench.clock.now() - timedelta(days=1), OURS, Bounds(rows=4))
    assert (found.looked_at, found.cut, sum(len(one.sources) for one in found.dmarc)) == (2, True, 6)


@ONE_DATABASE
async def test_a_letter_that_was_put_off_counts_for_each_attempt(bench: Bench, ann: Operator) -> None:
    """Results are counted, not letters, and so the table calls them."""
    await bench.ends("full@b.example", Result.TEMPORARY, FULL)
    await bench.ends("full@b.example", Result.TEMPORARY, FULL)

    def encrypt(connection: Connection) -> None:
        rows = list(connection.execute("SELECT seq, detail FROM event WHERE detail LIKE '%mx.b.example%'"))
        tls = {"demand": "may", "protocol": "TLSv1.3", "verified": True}
        told = [(dump({**load(detail), "tls": tls}), seq) for seq, detail in rows]
        connection.executemany("UPDATE event SET detail = ? WHERE seq = ?", told)

    await bench.database.write(encrypt)
    assert (
        "Certificate Results Last Why mx.b.example may - TLSv1.3 verified 2" in (await ann.get("/admin/reports")).text
    )


def test_hosts_with_a_fault_stand_first() -> None:
    told = [
        HostTls(host, "may", "", "", False, protocol, True, "", count, datetime(2026, 1, 1, tzinfo=UTC), error)
        for host, protocol, count, error in (
            ("a", "TLSv1.3", 9, ""), ("b", "", 3, ""), ("c", "TLSv1.3", 1, "expired"), ("d", "TLSv1.2", 10, ""),
        )
    ]  # fmt: skip
    assert [one.host for one in sorted(told, key=weakest)] == ["c", "b", "d", "a"]
    assert encrypted(told) == 20 / 23
    assert encrypted([]) is None
