"""Every kind of alarm fires and ends: a new kind without a story here fails this test.

A story runs what raises and ends it on a real spool. Where that is a test of its own elsewhere, the table names it.
"""

from __future__ import annotations

import ast
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import pytest

from relay.account.book import AccountBook
from relay.account.identity import Identity
from relay.client.bell import AlarmBell, LoneBell
from relay.client.local import LocalRelayClient, RelayParts
from relay.database.sqlite import SqliteDatabase
from relay.doctor.finding import Finding, Severity
from relay.engine.alarms import Alarms
from relay.engine.watch import Look, Watch
from relay.event import EventKind
from relay.figures.book import FigureBook
from relay.figures.depths import Span
from relay.figures.rows import add_figures, hour_of
from relay.ids import SeededEntropy
from relay.policy.alarms import AlarmKind
from relay.policy.lessons import Figure
from relay.policy.trouble import Seen
from relay.settings import Settings, TlsFiles, settings_from
from relay.spool.orders import Suspension
from relay.spool.sqlite import SqliteSpool
from relay.tls_watch import TlsWatch, WatchedDoor
from relay.watching import PROVIDER_QUIET, FrontWatching, Watched, Watching, seen_of
from tests.support.certificates import Made, make
from tests.support.feed_bench import FeedBench
from tests.support.hand_clock import HandClock
from tests.support.switched_database import SwitchedDatabase
from tests.unit.doctor.test_judgements import CASES

NODE: Final = "mail.leak.example"


@dataclass
class Bench:
    """A spool, its alarms, and the watch of a node on it."""

    database: SwitchedDatabase
    spool: SqliteSpool
    clock: HandClock
    alarms: Alarms
    settings: Settings
    watched: Watched
    watching: Watching = field(init=False)

    def __post_init__(self) -> None:
        self.watching = Watching(self.settings, self.watched)

    async def stands(self, kind: AlarmKind) -> bool:
        assert all(one == kind for one, _ in self.alarms._standing)
        if not self.database.away:
            rows = [alarm.subject for alarm in await self.spool.alarms()]
            assert rows == self.alarms.standing(kind)
        return bool(self.alarms.standing(kind))

    async def look(self, name: str) -> None:
        """One look of the watch."""
        look = next(one for one in self.watching.looks() if one.name == name)
        await Watch(self.alarms, [], NODE).look(look)

    def narrow(self) -> Bench:
        """The same, with a setting that no disk has room enough for."""
        spool = self.settings.spool.model_copy(update={"minimum_free": 1 << 60})
        return replace(self, settings=self.settings.model_copy(update={"spool": spool}))

    async def answer(self, kind: EventKind, count: int, reason: str = "") -> None:
        """What a provider answered, this hour."""
        figure = Figure(hour_of(self.clock.now()), 1, "", "google", int(kind), reason)
        await self.database.write(lambda connection: add_figures(connection, {figure: count}))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = HandClock()
    database = SwitchedDatabase(await SqliteDatabase.open(tmp_path / "spool.db"))
    spool = SqliteSpool(database, clock)  # type: ignore[arg-type]
    accounts = AccountBook(database, clock, SeededEntropy(2))
    await accounts.migrate()
    await spool.migrate()
    figures = FigureBook(database, clock)
    await figures.migrate()
    alarms = Alarms(spool, clock)
    settings = settings_from({"node": {"name": NODE}, "spool": {"url": "sqlite:spool.db"}}, tmp_path)
    watched = Watched(database, spool, figures, alarms, clock)
    yield Bench(database, spool, clock, alarms, settings, watched)
    await accounts.close()
    await spool.close()


Story = Callable[[Bench], Awaitable[None]]


def by_doctor(kind: AlarmKind) -> Story:
    """Its findings are those of the judgements' own table: the worst one twice, then the one that is right."""
    found = [case[1]() for case in CASES]
    wrong = next(one for one in found if one.id == kind and one.severity.alarms)
    right = next(one for one in found if one.id == kind and one.severity is Severity.OK)

    async def story(bench: Bench) -> None:
        def look(finding: Finding) -> Look:
            async def see() -> list[Seen]:
                return [seen_of(Finding(finding.id, "subject", finding.severity, finding.evidence, finding.remedy))]

            return Look("doctor", see, 3600, 0, twice=True, whole=True)

        watch = Watch(bench.alarms, [], NODE)
        assert await watch.look(look(wrong))  # asks to be looked at again
        assert not await bench.stands(kind)
        assert not await watch.look(look(wrong))
        assert await bench.stands(kind)
        await watch.look(look(Finding(kind, "subject", Severity.UNKNOWN, "the DNS is silent")))
        assert await bench.stands(kind)
        await watch.look(look(right))
        assert not await bench.stands(kind)

    return story


def by_answers(kind: AlarmKind, event: EventKind, reason: str = "") -> Story:
    async def story(bench: Bench) -> None:
        await bench.answer(EventKind.DELIVERED, 50)
        await bench.look("figures")
        assert not await bench.stands(kind)
        await bench.answer(event, 4 if reason else 50, reason)
        await bench.look("figures")
        assert await bench.stands(kind)
        bench.clock.move(5 * 3600)
        await bench.look("figures")
        assert not await bench.stands(kind)
        await bench.look("figures")

    return story


async def database(bench: Bench) -> None:
    bench.database.away = True
    for _ in range(2):
        await bench.look("database")
        assert not await bench.stands(AlarmKind.DATABASE)
    await bench.look("database")
    assert await bench.stands(AlarmKind.DATABASE)
    assert list(bench.alarms.unstored) == [("database", NODE)]
    bench.database.away = False
    await bench.look("database")
    assert not await bench.stands(AlarmKind.DATABASE)


async def workers(bench: Bench) -> None:
    async def life() -> None:
        await bench.spool.register(NODE, 0)
        await bench.look("workers")

    for _ in range(3):
        await life()
        assert not await bench.stands(AlarmKind.WORKERS)
    await life()
    assert await bench.stands(AlarmKind.WORKERS)
    bench.clock.move(1900)
    await bench.look("workers")
    assert not await bench.stands(AlarmKind.WORKERS)


async def queue_age(bench: Bench) -> None:
    feed = FeedBench([bench.spool], [bench.database], SeededEntropy(1), cast("Any", bench.clock))
    await feed.accept("bob@late.example")
    bench.clock.move(1790)
    await bench.look("queue")
    assert not await bench.stands(AlarmKind.QUEUE_AGE)
    (depth,) = await bench.watched.figures.depths(Span.SHORT, bench.clock.now() - timedelta(hours=1))
    assert (depth.waiting, depth.leased, depth.held, depth.oldest) == (1, 0, 0, timedelta(seconds=1790))
    bench.clock.move(20)
    await bench.look("queue")
    assert await bench.stands(AlarmKind.QUEUE_AGE)
    until = bench.clock.now() + timedelta(hours=1)
    await bench.spool.suspend(Suspension(0, "", "late.example", "", until, "somebody knows"))
    await bench.look("queue")
    assert not await bench.stands(AlarmKind.QUEUE_AGE)


async def disk(bench: Bench) -> None:
    narrow = bench.narrow()
    await narrow.look("disk")
    assert await bench.stands(AlarmKind.DISK)
    await bench.look("disk")
    assert not await bench.stands(AlarmKind.DISK)


async def provider(bench: Bench) -> None:
    await bench.alarms.start(AlarmKind.PROVIDER, "rule: mx", "421 slow down")
    assert await bench.stands(AlarmKind.PROVIDER)
    bench.clock.move(PROVIDER_QUIET.total_seconds() - 60)
    await bench.alarms.start(AlarmKind.PROVIDER, "rule: mx", "421 slow down")  # said again
    bench.clock.move(120)
    await bench.look("provider")
    assert await bench.stands(AlarmKind.PROVIDER)
    bench.clock.move(PROVIDER_QUIET.total_seconds())
    await bench.look("provider")
    assert not await bench.stands(AlarmKind.PROVIDER)


async def certificate_files(bench: Bench) -> None:
    folder, one, other = bench.settings.folder, make("one.example"), make("other.example")
    used: list[ssl.SSLContext] = []

    def write(certificate: Made, key: Made) -> None:
        (folder / "chain.pem").write_bytes(certificate.pem)
        (folder / "key.pem").write_bytes(key.key_pem)

    write(one, one)
    files = TlsFiles(certificate=Path("chain.pem"), key=Path("key.pem"))
    door = WatchedDoor("inbound.tls", files, used.append, lambda: 0)
    watch = TlsWatch(bench.settings, [door], bench.alarms)
    await watch.look()
    assert not used
    write(other, one)
    await watch.look()  # perhaps the second file is just being written
    assert not await bench.stands(AlarmKind.CERTIFICATE_FILES)
    await watch.look()
    assert await bench.stands(AlarmKind.CERTIFICATE_FILES)
    assert not used
    write(other, other)
    await watch.look()
    assert not await bench.stands(AlarmKind.CERTIFICATE_FILES)
    assert len(used) == 1


async def relay_away(bench: Bench) -> None:
    silence = 0.0
    bench.watching = FrontWatching(bench.settings, bench.watched, lambda: (silence, "no connection"))
    await bench.look("relay")
    silence = 60.0
    await bench.look("relay")
    assert not await bench.stands(AlarmKind.RELAY_AWAY), "a restart takes that long"
    silence = 200.0
    await bench.look("relay")
    assert await bench.stands(AlarmKind.RELAY_AWAY)
    silence = 0.0
    await bench.look("relay")
    assert not await bench.stands(AlarmKind.RELAY_AWAY)


async def sealing_keys(bench: Bench) -> None:
    """A front alone has no doctor, and looks at this all the same."""
    web = bench.settings.web.model_copy(update={"listen": "127.0.0.1:8080"})
    settings = bench.settings.model_copy(update={"web": web})
    bench.watching = FrontWatching(settings, bench.watched, lambda: (0.0, ""))
    folder = settings.path(web.sealed_keys)
    folder.mkdir(parents=True)
    now = bench.clock.now()
    for after, stands in ((timedelta(days=-31), True), (timedelta(), True), (timedelta(days=62), False)):
        (folder / f"{now + after:%Y-%m}.pem").touch()
        await bench.look("sealing-keys")
        assert await bench.stands(AlarmKind.SEALING_KEYS) is stands, after
    bench.clock.move(20 * 86_400)
    await bench.look("sealing-keys")
    assert await bench.stands(AlarmKind.SEALING_KEYS)


def front_of(bench: Bench, number: int | None, name: str) -> LocalRelayClient:
    """The relay as a front rings it; one elsewhere has a key, with a number."""
    nothing: Any = None
    parts = RelayParts(nothing, nothing, nothing, nothing, nothing, nothing, nothing, alarms=bench.alarms)
    return LocalRelayClient(parts, Identity(1, "leak", number, name, ("leak.example",)))


async def moderation(bench: Bench) -> None:
    since = bench.clock.now() - timedelta(hours=5)
    own, other = front_of(bench, None, "front"), front_of(bench, 7, "paris")
    await own.letters_wait(3, since)
    await other.letters_wait(0, None)
    assert await bench.stands(AlarmKind.MODERATION), "another front has nothing to say of ours"
    await other.letters_wait(2, since)
    assert bench.alarms.standing(AlarmKind.MODERATION) == ["letters", "letters at paris"]
    await own.letters_wait(0, None)
    assert bench.alarms.standing(AlarmKind.MODERATION) == ["letters at paris"]
    await other.letters_wait(0, None)
    assert not await bench.stands(AlarmKind.MODERATION)
    # A front alone: its own alarm calls, or its relay's if it can call nobody; never both.
    for calls_somebody in (True, False):
        bell = LoneBell(AlarmBell(bench.alarms), other, calls_somebody=calls_somebody)
        await bell.letters_wait(3, since)
        theirs = [] if calls_somebody else ["letters at paris"]
        assert bench.alarms.standing(AlarmKind.MODERATION) == ["letters", *theirs]
        await bell.letters_wait(0, None)
        assert not await bench.stands(AlarmKind.MODERATION)


async def threat_to_life(bench: Bench) -> None:
    client = front_of(bench, None, "front")
    for count, words in ((2, "2 letters that threaten a life"), (1, "1 letter that threatens a life")):
        await client.letters_wait(0, None, count)
        assert await bench.stands(AlarmKind.THREAT_TO_LIFE)
        assert any(one.detail.startswith(words) for one in await bench.spool.alarms()), words
        await client.letters_wait(0, None)
    await client.letters_wait(0, None, 1)
    await client.letters_wait(0, None)
    assert not await bench.stands(AlarmKind.THREAT_TO_LIFE)


async def legal_request(bench: Bench) -> None:
    client = front_of(bench, None, "front")
    await client.letters_wait(0, None, 0, 2)
    assert await bench.stands(AlarmKind.LEGAL_REQUEST)
    await client.letters_wait(0, None)
    assert not await bench.stands(AlarmKind.LEGAL_REQUEST)


async def pile(bench: Bench) -> None:
    client = front_of(bench, None, "front")
    await client.letters_wait(0, None, 0, 0, 85)
    assert await bench.stands(AlarmKind.PILE)
    await client.letters_wait(0, None)
    assert not await bench.stands(AlarmKind.PILE)


DOCTORS: Final = (
    AlarmKind.ADDRESS,
    AlarmKind.BLOCKLIST,
    AlarmKind.CERTIFICATE,
    AlarmKind.CLOCK,
    AlarmKind.DKIM,
    AlarmKind.DMARC,
    AlarmKind.EHLO,
    AlarmKind.FSYNC,
    AlarmKind.KEY_AGE,
    AlarmKind.MTA_STS,
    AlarmKind.MX,
    AlarmKind.OPEN_RELAY,
    AlarmKind.PORT_25,
    AlarmKind.PTR,
    AlarmKind.RESOLVER,
    AlarmKind.SECRETS,
    AlarmKind.SPF,
    AlarmKind.VERSIONS,
)
STORIES: Final[Mapping[AlarmKind, Story]] = {
    **{kind: by_doctor(kind) for kind in DOCTORS},
    AlarmKind.BLOCKLISTED: by_answers(AlarmKind.BLOCKLISTED, EventKind.BOUNCED, "blocklisted"),
    AlarmKind.BOUNCES: by_answers(AlarmKind.BOUNCES, EventKind.BOUNCED),
    AlarmKind.CERTIFICATE_FILES: certificate_files,
    AlarmKind.DATABASE: database,
    AlarmKind.DEFERRALS: by_answers(AlarmKind.DEFERRALS, EventKind.DEFERRED),
    AlarmKind.DISK: disk,
    AlarmKind.IDENTITY: by_answers(AlarmKind.IDENTITY, EventKind.DEFERRED, "authentication"),
    AlarmKind.MODERATION: moderation,
    AlarmKind.THREAT_TO_LIFE: threat_to_life,
    AlarmKind.LEGAL_REQUEST: legal_request,
    AlarmKind.PILE: pile,
    AlarmKind.RELAY_AWAY: relay_away,
    AlarmKind.SEALING_KEYS: sealing_keys,
    AlarmKind.PROVIDER: provider,
    AlarmKind.QUEUE_AGE: queue_age,
    AlarmKind.WORKERS: workers,
}
ELSEWHERE: Final[Mapping[AlarmKind, str]] = {
    AlarmKind.ABUSE_MAIL: "unit/cli/test_inbound.py::test_what_waits_is_listed_shown_and_done",
    AlarmKind.COMPLAINTS: "unit/engine/test_brakes.py::test_a_stopped_stream_waits_and_others_pass",
    AlarmKind.DAMAGED_SPOOL: "unit/database/test_damage.py::test_a_damaged_spool_refuses_new_mail_with_an_alarm",
    AlarmKind.DKIM_KEY: "unit/engine/test_intake.py::test_mail_whose_key_is_lost_is_held_with_an_alarm",
    AlarmKind.INBOUND_UNREAD: "crash/test_inbound_kill.py::test_mail_that_kills_its_reader_is_put_aside",
    AlarmKind.JOURNAL: "unit/engine/test_journal.py::test_a_file_that_cannot_be_written_alarms_and_misses_nothing",
    AlarmKind.NODE_NAME_TAKEN: "unit/test_namesake.py::test_the_older_leaves_an_alarm_that_says_where_the_other_runs",
    AlarmKind.POSTMASTER_MAIL: "unit/cli/test_inbound.py::test_what_waits_is_listed_shown_and_done",
    AlarmKind.QUARANTINE: (
        "contract/test_quarantine.py::test_a_command_answers_the_alarm_and_a_release_gives_three_new_tries"
    ),
    AlarmKind.SEEDS: "interop/test_seeds.py::test_the_alarm_ends_in_the_inbox",
    AlarmKind.TORN_CONTENT: "unit/engine/test_settler.py::test_torn_content_is_held_with_an_alarm_and_others_go_on",
    AlarmKind.WEBHOOK_DISABLED: (
        "contract/test_webhooks.py::test_whoever_takes_nothing_for_days_is_disabled_and_can_be_enabled"
    ),
}
ENDS: Final[Mapping[AlarmKind, str]] = {
    AlarmKind.DAMAGED_SPOOL: "unit/test_alarm_ends.py::test_a_spool_that_is_found_sound_is_damaged_no_more",
    AlarmKind.DKIM_KEY: "unit/test_alarm_ends.py::test_a_key_that_is_back_and_a_name_that_is_free_again",
    AlarmKind.INBOUND_UNREAD: "unit/cli/test_inbound.py::test_the_alarm_of_unread_mail_ends_with_the_last_of_it",
    AlarmKind.NODE_NAME_TAKEN: "unit/test_alarm_ends.py::test_a_key_that_is_back_and_a_name_that_is_free_again",
    AlarmKind.TORN_CONTENT: "unit/test_alarm_ends.py::test_what_was_decided_about_torn_content_ends_its_alarm",
    AlarmKind.WEBHOOK_DISABLED: "unit/cli/test_webhook.py::test_a_disabled_one_s_alarm_ends_with_it",
}
"""Where the story elsewhere tells only how it begins: where it ends."""


def test_every_kind_has_a_story() -> None:
    assert STORIES.keys() | ELSEWHERE.keys() == set(AlarmKind)
    assert not STORIES.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize("kind", sorted(STORIES), ids=str)
async def test_it_fires_and_ends(bench: Bench, kind: AlarmKind) -> None:
    await STORIES[kind](bench)


@pytest.mark.parametrize("place", sorted({*ELSEWHERE.values(), *ENDS.values()}))
def test_the_story_elsewhere_is_there(place: str) -> None:
    file, _, name = place.partition("::")
    tree = ast.parse((Path(__file__).parents[1] / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


async def test_a_full_disk_keeps_nobody_from_hearing_that_mail_waits(bench: Bench) -> None:  # R27
    feed = FeedBench([bench.spool], [bench.database], SeededEntropy(1), cast("Any", bench.clock))
    await feed.accept("bob@late.example")
    bench.clock.move(1810)
    bench.database.full = True
    await bench.look("queue")
    assert bench.alarms.standing(AlarmKind.QUEUE_AGE)
    bench.database.full = False
    await bench.look("queue")
    assert await bench.watched.figures.depths(Span.SHORT, bench.clock.now() - timedelta(hours=1))


async def test_what_no_setting_speaks_of_any_more_ends(bench: Bench) -> None:
    """An address that was taken out of the configuration leaves no alarm; other nodes' alarms are theirs."""
    seen = [Seen(AlarmKind.PTR, subject, wrong=True, evidence="none") for subject in ("one", "two")]

    async def see() -> list[Seen]:
        return seen

    watch = Watch(bench.alarms, [], NODE)
    look = Look("doctor", see, 3600, 0, whole=True)
    await bench.alarms.start(AlarmKind.PTR, "other.example: one", "theirs")
    await watch.look(look)
    assert bench.alarms.standing(AlarmKind.PTR) == [f"{NODE}: one", f"{NODE}: two", "other.example: one"]
    seen.pop()
    await watch.look(look)
    assert bench.alarms.standing(AlarmKind.PTR) == [f"{NODE}: one", "other.example: one"]
