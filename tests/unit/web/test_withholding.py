"""Two writers, one whose letter is withheld and one whose letter meets no mailbox: no page tells them apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.client.contract import LetterRefused, LetterState
from relay.clock import to_millis
from relay.database.contract import Connection
from relay.ids import SeededEntropy
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.relay_in_memory import RelayInMemory
from tests.support.visitor import Visitor
from web import withholding
from web.decisions import Action, Decision
from web.freezes import FREEZE
from web.holds import HoldStore
from web.links import Addressee, LinkKind, RecipientLinks
from web.reports import Outcome, ReportStore
from web.withheld_table import WithheldTable
from web.withholding import SLOW, Beside, Withholding, is_stuck, least_wait

NOW = HandClock().now()
DELAY = timedelta(minutes=30)
FOREIGN = "Ich möchte dir heute sagen, dass ich dich sehr vermisse und immer an dich denke, mein lieber Freund."
ON_ITS_WAY = "On its way"
_LETTER = "0" * 32
"""An earlier letter, by whose link a recipient acts."""
FAILED = "It could not be delivered"


@pytest.fixture
async def writers(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    """Visitors of a front that tells failures late, as a real one does."""
    options = replace(OPTIONS, failure_delay=DELAY, hand_over_every=timedelta(milliseconds=10))
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


@pytest.fixture
async def patient(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    """Visitors of one whose letters wait for five minutes before they leave."""
    options = replace(
        OPTIONS, failure_delay=DELAY, cool_down=timedelta(minutes=5), hand_over_every=timedelta(milliseconds=10)
    )
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


async def written(visitor: Visitor, to: str, **more: str) -> str:
    return (await visitor.send(await visitor.preview(to=to, **more))).headers["Location"]


async def read_alike(visitor: Visitor, links: tuple[str, ...], title: str) -> None:
    """Every byte of the pages is the same, but for the links themselves; and the header that renews them."""
    pages = set()
    for link in links:
        response, page = await visitor.get(link)
        pages.add((response.status, response.headers.get("Refresh"), page.document.replace(link[3:], "")))
    assert len(pages) == 1
    (((_, _, document),)) = pages
    assert title in document


def met(relay_states: dict[str, LetterState], state: str, front: Front, clock: HandClock, meaning: str = "") -> None:
    """Every mail at the relay is in this state from now on, after two tries."""
    for message_id in front.relay.letters:
        relay_states[f"m-{message_id}"] = LetterState(state, 2, clock.now(), clock.now(), meaning)


async def waits_for_nobody(front: Front) -> int:
    return len(await front.database.read(lambda c: list(c.execute("SELECT 1 FROM web_handover WHERE erased = 0"))))


def token_of(address: str) -> str:
    return RecipientLinks([OPTIONS.link_key], "").token(LinkKind.RECIPIENT, Addressee(_LETTER, address))


async def test_a_provider_out_of_reach_keeps_both_on_their_way(writers: Visitor, clock: HandClock) -> None:
    front = writers.front
    front.relay.refused["blocked@example.org"] = False
    links = (await written(writers, "blocked@example.org"), await written(writers, "unknown@example.org"))
    for _ in range(40):
        met(front.relay.states, "waiting", front, clock, "unreachable")
        clock.move(15 * 60)
        await read_alike(writers, links, ON_ITS_WAY)
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    await read_alike(writers, links, ON_ITS_WAY)
    clock.move(DELAY.total_seconds() + 60)
    await read_alike(writers, links, FAILED)
    assert front.relay.arrivals == 1


@pytest.mark.parametrize(("own", "stuck"), [("full@example.org", "full"), ("ann@dead.test", "unreachable")])
async def test_what_is_the_writer_s_own_tells_nothing(writers: Visitor, clock: HandClock, own: str, stuck: str) -> None:
    """Neither a full mailbox at the provider nor a domain that nobody reaches keeps a withheld letter from failing."""
    front = writers.front
    front.relay.refused["blocked@example.org"] = False
    await written(writers, own)
    clock.move(60)
    link = await written(writers, "blocked@example.org")
    met(front.relay.states, "waiting", front, clock, stuck)
    clock.move(DELAY.total_seconds())
    await writers.until_told(link, FAILED)


async def test_a_relay_that_is_away_tells_of_neither(writers: Visitor, clock: HandClock) -> None:
    front = writers.front
    front.relay.refused["blocked@example.org"] = False
    links = (await written(writers, "blocked@example.org"), await written(writers, "unknown@example.org"))
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    for _ in range(2):
        front.relay.unavailable = True
        await read_alike(writers, links, "We cannot tell just now")
        clock.move(DELAY.total_seconds())
        await read_alike(writers, links, "We cannot tell just now")
        front.relay.unavailable = False
        await read_alike(writers, links, FAILED)


async def test_a_relay_that_forgets_forgets_both(writers: Visitor, clock: HandClock) -> None:
    front = writers.front
    await written(writers, "ann@example.org")
    front.relay.refused["blocked@example.org"] = False
    links = (await written(writers, "blocked@example.org"), await written(writers, "unknown@example.org"))
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    clock.move(DELAY.total_seconds())
    await read_alike(writers, links, FAILED)
    front.relay.states.clear()
    await read_alike(writers, links, "Its trace is gone")


async def test_a_relay_that_takes_nothing_for_now(writers: Visitor, clock: HandClock) -> None:
    front = writers.front
    front.relay.refused["blocked@example.org"] = False
    front.relay.refusal = LetterRefused(temporary=True, reason="full")
    links = (await written(writers, "unknown@example.org"), await written(writers, "blocked@example.org"))
    for _ in range(10):
        arrivals = front.relay.arrivals
        clock.move(6 * 60)
        await writers.until_arrived(arrivals + 1)
        await read_alike(writers, links, ON_ITS_WAY)
    # The round that was refused last looks after it has noted that; it would hand over as well once it may.
    await writers.until_counted(lambda front: _put_off_to(front, clock), 1)
    front.relay.refusal = None
    clock.move(6 * 60)
    await writers.until_counted(waits_for_nobody, 0)
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    await read_alike(writers, links, ON_ITS_WAY)
    clock.move(DELAY.total_seconds() + 60)
    await read_alike(writers, links, FAILED)


async def _put_off_to(front: Front, clock: HandClock) -> int:
    """How many withheld letters fail no sooner than now."""
    now, sql = to_millis(clock.now()), "SELECT 1 FROM web_letter WHERE withheld >= ?"
    return len(await front.database.read(lambda connection: list(connection.execute(sql, (now,)))))


@pytest.mark.parametrize("state", ["suppressed", "cancelled"])
async def test_a_refusal_that_comes_while_the_provider_is_out_of_reach(
    writers: Visitor, clock: HandClock, state: str
) -> None:
    """By a click in an earlier letter, or by erasing: what waits at the relay ends there, and its page does not."""
    front = writers.front
    links = (await written(writers, "blocked@example.org"), await written(writers, "unknown@example.org"))
    met(front.relay.states, "waiting", front, clock, "unreachable")
    clock.move(3600)
    blocked = next(key for key, one in front.relay.letters.items() if one.recipient.startswith("blocked"))
    for _ in range(5):
        front.relay.states[f"m-{blocked}"] = LetterState(state, 2, NOW + timedelta(hours=1), None)
        await read_alike(writers, links, ON_ITS_WAY)
        clock.move(3600)
        await read_alike(writers, links, ON_ITS_WAY)
    unknown = next(key for key in front.relay.letters if key != blocked)
    front.relay.states[f"m-{unknown}"] = LetterState("bounced", 3, clock.now(), None, "unknown-user")
    await read_alike(writers, links, ON_ITS_WAY)
    clock.move(DELAY.total_seconds() + 60)
    await read_alike(writers, links, FAILED)


async def test_erasing_ends_nothing_a_writer_sees(patient: Visitor, clock: HandClock) -> None:  # RCP 3
    front = patient.front
    cooling = tuple([await written(patient, f"{name}@example.org") for name in ("erased", "unknown")])
    held = tuple([await written(patient, f"{name}@example.org", message=FOREIGN) for name in ("erased", "unknown")])
    taken = tuple([await written(patient, f"{name}@example.org", message="Thanks!") for name in ("erased", "unknown")])
    _, page = await patient.post(f"/r/{token_of('erased@example.org')}", {"action": "erase"})
    assert "Your address has been erased." in page.text
    rows = await front.database.read(lambda c: list(c.execute("SELECT * FROM web_handover WHERE erased = 1")))
    assert len(rows) == 3
    assert "erased@" not in repr(rows)
    await read_alike(patient, cooling, "It waits before it leaves")
    await read_alike(patient, held, "A person reads it first")
    for link in taken:
        await patient.post(link, {"action": "cancel"})
    await read_alike(patient, taken, "You took it back")
    clock.move(5 * 60)
    await patient.until_arrived(1)
    await patient.until_counted(_cooling, 0)
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    await read_alike(patient, cooling, ON_ITS_WAY)
    clock.move(DELAY.total_seconds())
    await read_alike(patient, cooling, FAILED)
    clock.move(48 * 3600)
    for link in held:
        await patient.until_told(link, "It has come back to you")
    await read_alike(patient, held, "sehr vermisse")
    assert front.relay.arrivals == 1


async def _cooling(front: Front) -> int:
    return len(await front.database.read(lambda c: list(c.execute("SELECT 1 FROM web_handover WHERE due < 4e12"))))


async def test_who_is_known_to_want_none_is_kept_nowhere_and_no_page_tells(patient: Visitor, clock: HandClock) -> None:
    front = patient.front  # RCP 1
    front.relay.refused["blocked@example.org"] = False
    names, wall = ("blocked", "unknown"), {"wall": "on", "message": "Do you remember the lighthouse?"}
    cooling = tuple([await written(patient, f"{name}@example.org", **wall) for name in names])
    taken = tuple([await written(patient, f"{name}@example.org", message="Thanks!") for name in names])
    await patient.until_counted(_unasked, 0)
    kept = repr([await front.database.read(_all_of(table)) for table in ("web_handover", "web_post", "web_letter")])
    assert ("blocked@" in kept, "unknown@" in kept) == (False, True)
    assert kept.count("lighthouse") == 3, "in the mail's text and HTML and for the wall, of one letter"
    await read_alike(patient, cooling, "It waits before it leaves")
    for link in taken:
        await patient.post(link, {"action": "cancel"})
    await read_alike(patient, taken, "You took it back")
    clock.move(5 * 60)
    await patient.until_arrived(1)
    await patient.until_counted(_cooling, 0)
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    await read_alike(patient, cooling, ON_ITS_WAY)
    for link in cooling:
        await patient.post(link, {"action": "private"})
    clock.move(DELAY.total_seconds())
    await read_alike(patient, cooling, FAILED)
    assert front.relay.arrivals == 1


def _all_of(table: str) -> Callable[[Connection], list[object]]:
    return lambda connection: list(connection.execute(f"SELECT * FROM {table}"))


async def _unasked(front: Front) -> int:
    return len(await front.database.read(_all_of("web_unasked")))


async def test_what_was_held_for_an_erased_recipient_never_leaves(patient: Visitor, clock: HandClock) -> None:
    front = patient.front
    links = tuple([await written(patient, f"{name}@example.org", message=FOREIGN) for name in ("erased", "unknown")])
    await patient.post(f"/r/{token_of('erased@example.org')}", {"action": "erase"})
    holds = HoldStore(front.database, clock, SeededEntropy(9))
    letters = await holds.held()
    assert {one.recipient for one in letters} == {"@example.org", "unknown@example.org"}
    assert {one.message for one in letters} == {FOREIGN}, "a person decides about it as about any other"
    for one in letters:
        due = clock.now() + timedelta(minutes=5)
        assert await holds.release(Decision(one.id, Action.RELEASE, "me", "kind"), due)
    await read_alike(patient, links, "It waits before it leaves")
    clock.move(5 * 60)
    await patient.until_counted(_cooling, 0)
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    await read_alike(patient, links, ON_ITS_WAY)
    clock.move(DELAY.total_seconds())
    await read_alike(patient, links, FAILED)
    assert front.relay.arrivals == 1


async def test_a_report_that_comes_while_a_letter_cools_reads_as_a_busy_provider(
    patient: Visitor, clock: HandClock
) -> None:  # RCP 2
    front = patient.front
    links = (await written(patient, "ann@example.org"), await written(patient, "bob@example.org"))
    await patient.post(f"/r/{token_of('ann@example.org')}", {"action": "report", "rule": "hate"})
    written_since = await written(patient, "Ann+x@example.org", message="Again")
    await read_alike(patient, links, "It waits before it leaves")
    await read_alike(patient, (written_since,), "It waits before it leaves")
    clock.move(5 * 60)
    await patient.until_arrived(1)
    for link in (*links, written_since):
        await patient.until_told(link, ON_ITS_WAY)
    for _ in range(4):
        met(front.relay.states, "waiting", front, clock, "policy")
        await read_alike(patient, links, ON_ITS_WAY)
        await patient.post(links[0], {"action": "cancel"})
        front.relay.unavailable = True
        await read_alike(patient, links, "We cannot tell just now")
        front.relay.unavailable = False
        clock.move(6 * 3600)
    reports = ReportStore(front.database, clock, SeededEntropy(8))
    assert await reports.decide(Decision(_LETTER, Action.DISMISSED, "me", "no rule is broken"), Outcome.DISMISSED)
    clock.move(600)
    await patient.until_arrived(3)
    await patient.until_counted(_cooling, 0)
    front.relay.settle("delivered")
    await read_alike(patient, links, "Their provider has accepted it")


async def test_a_report_that_nobody_decides_about_ends_like_a_mailbox_that_never_opens(
    patient: Visitor, clock: HandClock
) -> None:
    link = await written(patient, "ann@example.org")
    await patient.post(f"/r/{token_of('ann@example.org')}", {"action": "report", "rule": "hate"})
    clock.move(5 * 60)
    await patient.until_told(link, ON_ITS_WAY)
    clock.move(6 * 86400)
    await patient.until_counted(_cooling, 0)
    assert ON_ITS_WAY in (await patient.get(link))[1].text
    clock.move(DELAY.total_seconds())
    await patient.until_told(link, FAILED)


async def test_a_pair_that_is_frozen_meanwhile(patient: Visitor, clock: HandClock) -> None:  # RCP 2
    front = patient.front
    links = (await written(patient, "frozen@example.org"), await written(patient, "unknown@example.org"))
    await front.database.write(
        lambda c: c.execute(
            "UPDATE web_letter SET pair = X'01' WHERE id = "
            "(SELECT letter_id FROM web_handover WHERE recipient = 'frozen@example.org')"
        )
    )
    ((letter_id,),) = await front.database.read(
        lambda c: list(c.execute("SELECT id FROM web_letter WHERE pair IS NOT NULL"))
    )
    await front.database.write(lambda c: c.execute(FREEZE, (0, letter_id)))
    clock.move(5 * 60)
    await patient.until_counted(_cooling, 0)
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    await read_alike(patient, links, ON_ITS_WAY)
    clock.move(DELAY.total_seconds())
    await read_alike(patient, links, FAILED)


async def test_a_round_ends_however_many_letters_an_outage_holds_up(
    writers: Visitor, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withholding, "_BATCH", 2)
    front = writers.front
    names = ("one", "two", "three", "four", "five")
    front.relay.refused = {f"{name}@example.org": False for name in names}
    links = [await written(writers, f"{name}@example.org") for name in ("unknown", *names)]
    met(front.relay.states, "waiting", front, clock, "unreachable")
    clock.move(3600)
    rounds = Withholding(front.relay, WithheldTable(front.database), clock, lambda _: DELAY)
    async with asyncio.timeout(60):
        await rounds.look()
    await read_alike(writers, tuple(links), ON_ITS_WAY)
    met(front.relay.states, "bounced", front, clock, "unknown-user")
    clock.move(DELAY.total_seconds() + 60)
    await rounds.look()
    await read_alike(writers, tuple(links), FAILED)


@asynccontextmanager
async def one_withheld_beside_one_stuck(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    """A front of which two letters have left, one of them for a recipient who wants none."""
    options = replace(OPTIONS, failure_delay=DELAY, hand_over_every=timedelta(days=1))
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        front.relay.refused["one@example.org"] = False
        for name in ("unknown", "one"):
            await written(Visitor(front, session), f"{name}@example.org")
        await Visitor(front, session).until_counted(waits_for_nobody, 0)
        met(front.relay.states, "waiting", front, clock, "unreachable")
        yield front


def answers_slowly(front: Front, clock: HandClock, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay takes so long to tell of a letter."""
    asked = front.relay.state

    async def slow(message_id: str) -> LetterState | None:
        clock.move(seconds)
        return await asked(message_id)

    monkeypatch.setattr(front.relay, "state", slow)


async def test_what_a_look_finds_is_of_when_it_began(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is answered while it lasts would be held against a letter, and told later than of those that left."""
    async with one_withheld_beside_one_stuck(tmp_path, clock) as front:
        clock.move(3600)
        answers_slowly(front, clock, 600, monkeypatch)
        began, table = clock.now(), WithheldTable(front.database)
        await Withholding(front.relay, table, clock, lambda _: DELAY).look()
        assert clock.now() > began
        assert [one.since for one in await table.open("", 9)] == [began]


async def test_a_look_that_lasts_tells_nothing_of_what_came_while_it_did(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was stuck when it began; an hour later it may be, and then a letter could not have failed."""
    async with one_withheld_beside_one_stuck(tmp_path, clock) as front:
        answers_slowly(front, clock, 3600, monkeypatch)
        table = WithheldTable(front.database)
        await Withholding(front.relay, table, clock, lambda _: DELAY).look()
        assert len(await table.open("", 9)) == 1


def _beside(state: str, left: int, changed: int, attempts: int = 1, meaning: str = "") -> Beside:
    """Minutes before and after `NOW`."""
    at = NOW + timedelta(minutes=changed)
    return Beside(NOW + timedelta(minutes=left), LetterState(state, attempts, at, None, meaning))


@pytest.mark.parametrize(
    ("one", "stuck"),
    [
        (_beside("waiting", -9, -9, 0), True),
        (_beside("waiting", -9, -5, 2, "unreachable"), True),
        (_beside("waiting", -9, -5, 2, "policy"), True),
        (_beside("leased", -9, -5, 2, "other"), True),
        (_beside("waiting", -9, -5, 2, "full"), False),
        (_beside("waiting", -9, -5, 2, "mailbox"), False),
        (_beside("waiting", -1, -1, 0), False),  # it has only just left
        (_beside("delivered", -9, -9), False),
        (_beside("suppressed", -9, -9), False),
    ],
)
def test_what_keeps_a_letter_keeps_others(one: Beside, *, stuck: bool) -> None:
    assert is_stuck([one], NOW, NOW) is stuck
    since = NOW - timedelta(minutes=2)
    assert not is_stuck([one, _beside("bounced", -9, -1)], since, NOW), "their provider answers"
    assert is_stuck([one, _beside("bounced", -9, -3)], since, NOW) is stuck, "it answered before"


def test_a_withheld_letter_fails_no_sooner_than_the_quickest_beside_it() -> None:
    """Where a provider makes every first mail wait, no letter fails at once."""
    assert least_wait([], NOW) == timedelta(0)
    made_wait = [_beside("delivered", -60, -45), _beside("bounced", -90, -70), _beside("delivered", -5, 5)]
    assert least_wait(made_wait, NOW) == timedelta(minutes=15)
    assert least_wait([*made_wait, _beside("delivered", -30, -29)], NOW) == timedelta(0)
    assert timedelta(minutes=1) < SLOW


class Unhurried(RelayInMemory):
    """Takes 0.03 s by the front's clock to say where a letter stands."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self._clock = clock

    async def state(self, message_id: str) -> LetterState | None:
        self._clock.move(0.03)
        return await super().state(message_id)


async def test_no_page_comes_sooner_than_another(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is looked up for a letter that is withheld: asked often enough, its page's haste told it."""
    waits = list[float]()

    async def wait(seconds: float) -> None:
        waits.append(round(seconds, 3))

    monkeypatch.setattr("web.haste.sleep", wait)
    options = replace(OPTIONS, answer_step=timedelta(seconds=0.1))
    async with running_front(tmp_path, clock, options, Unhurried(clock)) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        link = await written(visitor, "ann@example.org")
        await visitor.until_arrived()
        await visitor.until_counted(waits_for_nobody, 0)
        await visitor.get(link)
        assert waits == [0.07]
        await visitor.get("/s/none")
        assert waits == [0.07, 0.1]
        await visitor.post(link, {"action": "forget"})
        assert waits == [0.07, 0.1, 0.07], "whether it may be deleted is looked up like the page"


async def test_of_who_wants_none_no_file_has_anything_an_hour_later(tmp_path: Path, clock: HandClock) -> None:  # RCP 1
    """SQLite's log keeps pages as they were, secure_delete or not."""

    def files_with(words: bytes) -> list[str]:
        return [file.name for file in tmp_path.iterdir() if words in file.read_bytes()]

    async with running_front(tmp_path, clock) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        front.relay.refused["unwilling@example.org"] = False
        await written(visitor, "unwilling@example.org")
        await visitor.until_counted(waits_for_nobody, 0)
        clock.move(3600)
        async with asyncio.timeout(60):
            while files_with(b"unwilling@"):
                await asyncio.sleep(0.05)
        assert not files_with(b"Thank you.")
