"""A writer confirms an address of their own: by a code, with nothing kept before, and the address sealed after."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.client.contract import Letter, LetterAccepted, LetterRefused
from relay.ids import SeededEntropy
from tests.support.form import PageReader
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.relay_in_memory import RelayInMemory
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_ladder import INSULT
from web.code_mails import ERASED_AFTER
from web.confirming import CODE_LIFETIME
from web.haste import Haste
from web.limits import QUESTIONS_MAILBOX, SENDER_DAY
from web.sealing import Sealed, months_from, new_key_pair, open_sealed, read_private_key

MINE = "writer@home.example"


@dataclass(slots=True)
class Desk:
    """A front that asks everybody, and somebody who writes."""

    front: Front
    visitor: Visitor
    clock: HandClock
    private: Path

    async def press(self, token: str, **fields: str) -> tuple[aiohttp.ClientResponse, PageReader]:
        return await self.visitor.post("/en/preview", {"token": token, "action": "send", **fields})

    def code(self) -> str:
        """The code in the mail that came last."""
        mail = list(self.front.relay.letters.values())[-1]
        assert (mail.stream, mail.sender, mail.unnamed) == ("confirmations", "confirm@leak.lab.test", True)
        found = re.search(r"^[0-9a-z]{8}$", mail.text, re.MULTILINE)
        assert found is not None
        return found[0]

    async def letters(self) -> int:
        return len(await self.front.database.read(lambda c: list(c.execute("SELECT 1 FROM web_letter"))))


async def _desk(tmp_path: Path, demand: str) -> AsyncIterator[Desk]:
    clock = HandClock()
    public, private = tmp_path / "public", tmp_path / "private.pem"
    public.mkdir()
    secret, half = new_key_pair()
    private.write_bytes(secret)
    (public / f"{months_from('2026-11', 1)[0]}.pem").write_bytes(half)
    options = replace(OPTIONS, limits=True, sender_confirmation=demand, sealed_keys=public, jitter=timedelta(days=3))
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Desk(front, Visitor(front, session), clock, private)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async for one in _desk(tmp_path, "always"):
        yield one


@pytest.fixture
async def above_limit(tmp_path: Path) -> AsyncIterator[Desk]:
    async for one in _desk(tmp_path, "above_limit"):
        yield one


async def test_a_letter_goes_once_its_code_was_typed_and_the_address_is_sealed(desk: Desk) -> None:  # S53
    token = await desk.visitor.preview(to="r@example.org")
    response, page = await desk.press(token)
    assert response.status == 422
    assert "sender_mail" in page.fields
    response, page = await desk.press(token, sender_mail=MINE)
    assert response.status == 200
    assert f"The code that we mailed to {MINE}" in page.text
    assert await desk.letters() == 0, "nothing is kept before"
    assert MINE not in await _everything(desk.front)
    challenge = page.fields["challenge"]
    code = desk.code()
    (mail,) = desk.front.relay.letters.values()
    assert "http://leak.lab.test/en/privacy" in mail.text, "somebody else may have typed the address"
    response, page = await desk.press(token, challenge=challenge, sender_mail=MINE, code="00000000")
    assert response.status == 422
    assert "This is not the code" in page.text
    assert 'id="code-fault"' in page.document
    assert 'aria-describedby="code-fault code-hint"' in page.document
    assert page.fields["challenge"] == challenge
    typed = f" {code[:4].upper()}-{code[4:]} "
    response, _ = await desk.press(token, challenge=challenge, sender_mail=MINE, code=typed)
    assert response.status == 303
    assert await desk.letters() == 1
    rows = await desk.front.database.read(
        lambda c: list(c.execute("SELECT letter_id, key_name, record FROM web_sealed"))
    )
    [(letter_id, name, record)] = rows
    opened = open_sealed(Sealed(name, bytes(record)), read_private_key(desk.private), letter_id)
    assert opened.email == MINE
    assert MINE not in await _everything(desk.front)
    handover = await desk.front.database.read(lambda c: list(c.execute("SELECT text FROM web_handover")))
    assert code not in str(handover)


async def test_a_code_is_for_one_letter_one_address_and_two_hours(desk: Desk) -> None:  # S41
    first, second = await desk.visitor.preview(to="a@example.org"), await desk.visitor.preview(to="b@example.org")
    _, page = await desk.press(first, sender_mail=MINE)
    challenge, code = page.fields["challenge"], desk.code()
    response, _ = await desk.press(second, challenge=challenge, code=code)
    assert response.status == 422
    response, page = await desk.press(first, challenge=challenge, code=code, sender_mail="other@home.example")
    assert response.status == 200
    assert page.fields["challenge"] != challenge, "another address gets a code of its own"
    assert desk.code() != code
    desk.clock.move(CODE_LIFETIME.total_seconds() + 1)
    response, _ = await desk.press(first, challenge=challenge, code=code)
    assert response.status in (409, 422)
    assert await desk.letters() == 0


async def test_the_enter_key_in_the_code_s_field_sends_the_letter(desk: Desk) -> None:
    """The first button of a form is the one that the key presses (HTML, implicit submission)."""
    desk.front.relay.suggestions = {"r@example.org": "r@example.com"}
    _, page = await desk.visitor.post("/en/preview", LETTER | {"to": "r@example.org"})
    _, refused = await desk.visitor.post("/en/preview", LETTER | {"message": INSULT})
    for shown, action in ((page, "send"), (refused, "appeal")):
        form = shown.document.partition("</header>")[2].partition("<form")[2]
        assert 'name="sender_mail"' in form
        assert f'name="action" value="{action}"' in form.partition("<button")[2].partition(">")[0]


async def test_nobody_is_flooded_with_codes_and_the_page_does_not_tell(desk: Desk) -> None:  # S17
    pages = []
    for n in range(QUESTIONS_MAILBOX.count + 2):
        token = await desk.visitor.preview(to=f"r{n}@example.org")
        response, page = await desk.press(token, sender_mail="Writer+x@home.example" if n % 2 else MINE)
        assert response.status == 200
        pages.append(page.text)
    assert desk.front.relay.arrivals == QUESTIONS_MAILBOX.count
    token = await desk.visitor.preview(to="next@example.org")
    response, _ = await desk.press(token, sender_mail="writer%home.example@home.example")
    assert response.status == 422
    assert desk.front.relay.arrivals == QUESTIONS_MAILBOX.count
    desk.front.relay.refusal = LetterRefused(temporary=False, reason="suppressed")
    token = await desk.visitor.preview(to="last@example.org")
    response, page = await desk.press(token, sender_mail="blocked@home.example")
    assert response.status == 200
    assert "We mailed you a code." in page.text
    assert all("We mailed you a code." in text for text in pages)


class Unhurried(RelayInMemory):
    """Takes 0.2 s by the front's clock for each mail."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self._clock = clock

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        self._clock.move(0.2)
        return await super().submit(letter)


async def test_no_code_comes_as_late_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # SND 4
    """How soon the page came told whether somebody had a code mailed to this address today: that they write."""
    waits = list[float]()

    async def wait(seconds: float) -> None:
        waits.append(round(seconds, 3))

    monkeypatch.setattr("web.haste.sleep", wait)
    clock = HandClock()
    options = replace(OPTIONS, limits=True, sender_confirmation="always", jitter=timedelta(days=3))
    async with (
        running_front(tmp_path, clock, options, Unhurried(clock)) as front,
        aiohttp.ClientSession() as session,
    ):
        desk = Desk(front, Visitor(front, session), clock, tmp_path)
        for n in range(QUESTIONS_MAILBOX.count):
            await desk.press(await desk.visitor.preview(to=f"r{n}@example.org"), sender_mail=MINE)
        assert waits == []
        token = await desk.visitor.preview(to="r@example.org")
        _, page = await desk.press(token, sender_mail=MINE)
        assert waits == [0.2]
        assert "We mailed you a code." in page.text
        assert front.relay.arrivals == QUESTIONS_MAILBOX.count


async def test_what_took_long_lately_is_waited_for_and_nothing_longer() -> None:
    clock = HandClock()
    haste = Haste(clock, SeededEntropy(3))
    assert haste.draw() == pytest.approx(0.05)
    with pytest.raises(ValueError, match="no address"):
        async with haste.measured():
            raise ValueError("no address")
    assert haste.draw() == pytest.approx(0.05), "what failed is not measured"
    for seconds in (0.3, 60.0):
        async with haste.measured():
            clock.move(seconds)
    assert {round(haste.draw(), 3) for _ in range(50)} == {0.3, 5.0}


async def test_what_the_relay_has_of_a_code_s_mail_is_erased(desk: Desk) -> None:
    token = await desk.visitor.preview(to="r@example.org")
    await desk.press(token, sender_mail=MINE)
    desk.clock.move(ERASED_AFTER.total_seconds() + 61)
    await desk.visitor.until_counted(_forgotten, 1)
    await desk.visitor.until_counted(_noted, 0)  # its own note goes after that


async def test_many_codes_are_erased_in_their_hour_whatever_the_relay_keeps(desk: Desk) -> None:
    """Writers' addresses stood at the relay for hours where more than 500 codes went out in one."""
    stuck, free = ([f"{name}{n}" for n in range(600)] for name in ("stuck", "free"))
    desk.front.relay.kept |= set(stuck)
    at = int((desk.clock.now() - ERASED_AFTER - timedelta(minutes=1)).timestamp() * 1000)
    rows = [(name, at) for name in (*stuck, *free)]
    sql = "INSERT INTO web_confirmation (message_id, at) VALUES (?, ?)"
    await desk.front.database.write(lambda connection: connection.executemany(sql, rows))
    desk.clock.move(61)
    await desk.visitor.until_counted(_noted, len(stuck))


async def test_above_the_limit_alone(above_limit: Desk) -> None:
    desk = above_limit
    for n in range(SENDER_DAY.count):
        desk.clock.move(60)
        assert (await desk.press(await desk.visitor.preview(to=f"r{n}@example.org")))[0].status == 303
    desk.clock.move(60)
    token = await desk.visitor.preview(to="more@example.org")
    response, page = await desk.press(token)
    assert response.status == 429
    ticket = page.fields["ticket"]
    assert "sender_mail" in page.fields, "who waits can confirm meanwhile"
    _, page = await desk.press(token, ticket=ticket, sender_mail=MINE)
    assert page.fields["ticket"] == ticket
    confirmed = {"challenge": page.fields["challenge"], "code": desk.code(), "ticket": ticket, "sender_mail": MINE}
    response, page = await desk.press(token, **confirmed)
    assert response.status == 429, "confirmed, but not its turn"
    assert page.fields["code"] == confirmed["code"]
    desk.clock.move(60)
    response, _ = await desk.press(token, **confirmed)
    assert response.status == 303


async def _noted(front: Front) -> int:
    rows = await front.database.read(lambda c: list(c.execute("SELECT count(*) FROM web_confirmation")))
    return int(rows[0][0])


async def _forgotten(front: Front) -> int:
    return len(front.relay.forgotten)


async def _everything(front: Front) -> str:
    """All that is in the front's tables."""

    def work(connection: object) -> str:
        run = connection.execute  # type: ignore[attr-defined]
        names = [name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return str([list(run(f"SELECT * FROM {name}")) for name in names])

    return await front.database.read(work)


async def test_a_ticket_that_is_none_asks_nobody(above_limit: Desk) -> None:  # S41
    token = await above_limit.visitor.preview(to="r@example.org")
    response, _ = await above_limit.press(token, ticket="x", sender_mail=MINE)
    assert response.status == 303, "who is below the limit is asked for no address"
    assert all(letter.recipient != MINE for letter in above_limit.front.relay.letters.values())
