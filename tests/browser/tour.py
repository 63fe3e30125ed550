"""A tour of every page of the front and the desk, in every state a person can meet: for audits and for screenshots.

What others did before (letters that were decided about, posts, notices) is done over HTTP; the tour's own browser opens
the pages, and posts forms where a page is the answer to one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Page, Route

from relay.client.contract import Admission, LetterReply
from relay.database.contract import Connection
from relay.ids import SeededEntropy
from tests.support.front import MODERATORS, OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator, a_moderator
from tests.support.season import put_season
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_ladder import DESPAIR, FOREIGN, INSULT, NUDGED
from tests.unit.web.test_recipient import receive
from tests.unit.web.test_wall import offer
from web.catalogue import Language
from web.deciding import Deciding, Voice
from web.documents import Document
from web.legal_requests import Asked, LegalRequestStore
from web.letters import hash_secret
from web.links import RecipientLinks
from web.mailbox import MailboxHasher
from web.operator import Operator
from web.options import FrontOptions
from web.reports import Outcome
from web.sealing import new_key_pair
from web.wall import WallStore
from web.weekly_links import WeeklyLinks, Wish
from web.weekly_store import WeeklyStore

OPERATOR = Operator("Association Exemple", ("1 rue du Port", "29200 Brest"), "contact@leak.lab.test", publisher="A. B.")
LONG = "A letter of some length that says a thing nobody dared to say, and then says it again more gently. " * 4
_REPLY = "I had no idea.\n\nThank you, whoever you are; see […] if you like. " + "And thank you again. " * 12
_POST = """([url, fields]) => {
  const form = Object.assign(document.createElement('form'), {method: 'post', action: url});
  for (const [name, value] of Object.entries(fields))
    form.append(Object.assign(document.createElement('input'), {type: 'hidden', name, value}));
  document.body.append(form);
  form.submit();
}"""


@dataclass(frozen=True, slots=True)
class Tour:
    """Who goes: a browser's page, in which language, in a front of their own."""

    page: Page
    language: Language
    folder: Path

    async def stops(self) -> AsyncIterator[str]:
        """Every page and state, each by name, while the browser shows it."""
        await self.page.route("**/s/*", _without_renewal)
        clock = HandClock()
        options = replace(OPTIONS, operator=OPERATOR, cool_down=timedelta(minutes=5))
        async with (
            running_front(self._new("front"), clock, options) as front,
            aiohttp.ClientSession(headers={"Accept-Language": self.language.value}) as session,
        ):
            visitor = Visitor(front, session)
            await put_season(front.database, clock.now())
            for stops in (self._writing(front), self._following(visitor, clock), self._reading(front)):
                async for stop in stops:
                    yield stop
            async for stop in self._notices(front):
                yield stop
        async with (
            running_front(self._new("wall"), clock := HandClock(), self._sealing(clock)) as front,
            aiohttp.ClientSession() as session,
            a_moderator(front) as ann,
        ):
            await put_season(front.database, clock.now())
            async for stop in self._receiving(Visitor(front, session), ann, clock):
                yield stop
            async for stop in self._desk(front):
                yield stop
        for stops in (self._asking(), self._crowded()):
            async for stop in stops:
                yield stop
        options = replace(OPTIONS, operator=OPERATOR, replies=True)
        async with (
            running_front(self._new("replies"), clock := HandClock(), options) as front,
            aiohttp.ClientSession() as session,
        ):
            async for stop in self._replying(Visitor(front, session), clock):
                yield stop

    def _sealing(self, clock: HandClock) -> FrontOptions:
        """A front that keeps a record of who sent a letter."""
        keys = self._new("sealed")
        (keys / f"{clock.now():%Y-%m}.pem").write_bytes(new_key_pair()[1])
        return replace(OPTIONS, operator=OPERATOR, sealed_keys=keys)

    def _new(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    async def _writing(self, front: Front) -> AsyncIterator[str]:
        await self._open(front, "/")
        yield "compose"
        front.relay.suggestions = {"ann@gone.test": "ann@example.org"}
        await self._post(front, "/preview", {"to": "ann@gone.test", "pseudonym": "Police"})
        yield "compose with problems"
        kinds = {"preview": LETTER["message"], "nudge": NUDGED, "hold": FOREIGN, "care": DESPAIR, "refused": INSULT}
        for name, message in kinds.items():
            wall = {"wall": "on"} if name == "preview" else {}
            await self._post(front, "/preview", LETTER | wall | {"message": f"{message}\n\nJulie"})
            yield f"preview, {name}"
        await self._open(front, "/s/none")
        yield "not found"
        front.relay.room = Admission(0, HandClock().now() + timedelta(days=1), "google", 50)
        await self._post(front, "/preview", LETTER | {"message": "There is no room."})
        yield "preview, no room today"
        async with self.page.expect_navigation():
            await self.page.click("button[value=send]")
        yield "status, no room today"
        front.relay.room = Admission(None)

    async def _following(self, visitor: Visitor, clock: HandClock) -> AsyncIterator[str]:
        front = visitor.front
        status = await self._send(visitor, LETTER | {"wall": "on"})
        await self._open(front, status)
        yield "status, waiting for departure"
        await self._post(front, status, {"action": "cancel"})
        yield "status, taken back"
        held = await self._send(visitor, LETTER | {"message": FOREIGN})
        await self._open(front, held)
        yield "status, held"
        async with a_moderator(front) as ann:
            letter = (await ann.get("/desk/letters"))[1].document.split('href="/desk/letter/')[1].partition('"')[0]
            await ann.post(f"/desk/letter/{letter}", action="refuse", reason="No.", **{"rule-bullying": "on"})
        await self._open(front, held)
        yield "status, refused"
        left = await self._send(visitor, LETTER | {"message": f"{FOREIGN} Noch einmal."})
        clock.move(timedelta(hours=49).total_seconds())
        await visitor.until_told(left, "ich dich sehr vermisse")
        await self._open(front, left)
        yield "status, given back"
        await self._open(front, f"{left}?ask=forget")
        yield "status, to be deleted"
        await self._post(front, left, {"action": "forget"})
        yield "status, deleted"
        sent = await self._send(visitor, LETTER)
        clock.move(timedelta(minutes=6).total_seconds())
        await visitor.until_arrived()
        for state in ("waiting", "delivered", "bounced"):
            front.relay.settle(state)
            await self._open(front, sent)
            yield f"status, {state}"

    async def _reading(self, front: Front) -> AsyncIterator[str]:
        for document in Document:
            await self._open(front, f"/{document.value}")
            yield document.value
        await self._open(front, "/wall")
        yield "wall, empty"

    async def _notices(self, front: Front) -> AsyncIterator[str]:
        told = {"item": "La lettre du 3 mars.", "grounds": "C’est une menace.", "faith": "on", "name": "Anne Exemple"}
        await self._open(front, "/notice")
        yield "notice"
        await self._post(front, "/notice", told)
        yield "notice with problems"
        await self._post(front, "/notice", told | {"mail": "anne@example.org"})
        yield "notice, received"
        case = self.page.url.removeprefix(f"{front.url}/{self.language}")
        async with a_moderator(front) as ann:
            number = (await ann.get("/desk/notices"))[1].fields["case"]
            await ann.post("/desk/notices", case=number, action="upheld", reason="It is one.")
        await self._open(front, case)
        yield "notice, decided"

    async def _receiving(self, visitor: Visitor, ann: Moderator, clock: HandClock) -> AsyncIterator[str]:
        front = visitor.front
        theirs, address = await self._publish(visitor, ann, clock)
        for name, path in (
            ("compose, with letters of the wall", "/"),
            ("wall", "/wall"),
            ("post", f"/wall/{address}"),
            ("recipient, of a post", theirs),
        ):
            await self._open(front, path)
            yield name
        other = await receive(visitor, to="eve@example.org")
        await self._open(front, other)
        yield "recipient"
        await self._post(front, other, {"action": "report", "rule": ""})
        yield "recipient with a problem"
        for action in ("report", "wall", "never", "erase"):
            await self._post(front, other, {"action": action, "rule": "self-harm", "words": "Words that hurt."})
            yield f"recipient, {action}"
            if action == "report":
                await self._decide(front, clock, Outcome.DISMISSED)
                await self._open(front, other)
                yield "recipient, report dismissed"
                await self._post(front, other, {"action": action, "rule": "hate", "words": "More words."})
                await self._decide(front, clock, Outcome.UPHELD)
                await self._open(front, other)
                yield "recipient, report upheld"
        async for stop in self._weekly(front, clock):
            yield stop
        status = await self._forget_letter_of(front, address)
        await self._open(front, status)
        yield "status, forgotten and on the wall"
        await self._post(front, status, {"action": "private"})
        yield "status, forgotten and taken down"

    async def _forget_letter_of(self, front: Front, address: str) -> str:
        """The letter of a post is forgotten; the path of the secret link that its writer has left."""
        secret = "s" * 32

        def work(connection: Connection) -> None:
            letter = "(SELECT letter_id FROM web_post WHERE public_id = ?)"
            connection.execute(f"DELETE FROM web_letter WHERE id = {letter}", (address,))
            connection.execute(
                "UPDATE web_post SET secret_hash = ? WHERE public_id = ?", (hash_secret(secret), address)
            )

        await front.database.write(work)
        return f"/s/{secret}"

    async def _publish(self, visitor: Visitor, ann: Moderator, clock: HandClock) -> tuple[str, str]:
        """Two letters on the wall; the first one's recipient page, and its public address. Another waits."""
        found: list[tuple[str, str]] = []
        for message in (LONG, "Thank you.\n\nFor all of it."):
            theirs, post = await offer(visitor, ann, clock, message=message, to=f"r{len(found)}@example.org")
            # A post stands on the wall of its letter's language: it is to be seen in the tour's.
            await visitor.front.database.write(
                lambda c: c.execute("UPDATE web_post SET language = ?", (self.language.value,))
            )
            await ann.post(post, action="publish", shown=message, reason="Kind.")
            found.append((theirs, await self._newest(visitor.front, clock)))
        await offer(visitor, ann, clock, message="Another one.", to="r9@example.org")
        return found[0]

    async def _decide(self, front: Front, clock: HandClock, outcome: Outcome) -> None:
        deciding = Deciding(front.database, clock, SeededEntropy(int(clock.monotonic()) + len(outcome)))
        (waiting,) = await deciding.reports.open_reports()
        assert await deciding.settle(waiting.report.letter_id, outcome, Voice("ann", "Looked at."))

    async def _newest(self, front: Front, clock: HandClock) -> str:
        posts = (await WallStore(front.database, clock, SeededEntropy(3)).page(self.language, 1)).posts
        return max(posts, key=lambda post: post.published).id

    async def _weekly(self, front: Front, clock: HandClock) -> AsyncIterator[str]:
        now = clock.now()
        sunday = now.replace(hour=10) + timedelta(days=13 - now.weekday())
        clock.move((sunday - now).total_seconds())
        async with aiohttp.ClientSession() as session:
            await Visitor(front, session).until_counted(partial(_weeks, self.language), 1)
        await self._open(front, "/weekly")
        yield "weekly"
        await self._post(front, "/weekly", {"to": "no address"})
        yield "weekly with a problem"
        await self._post(front, "/weekly", {"to": "bob@example.org"})
        yield "weekly, asked"
        links = WeeklyLinks(RecipientLinks([OPTIONS.link_key], OPTIONS.base_url), clock)
        ways = {
            "confirm": links.confirm(Wish("bob@example.org", self.language)),
            "leave": links.seal("bob@example.org"),
        }
        question = (MailboxHasher([OPTIONS.block_key]).of("bob@example.org"), "m", clock.now() + timedelta(days=1))
        await WeeklyStore(front.database, clock).note_question(*question)
        for name, token in ways.items():
            await self._open(front, f"/weekly/{name}/{token}")
            yield f"weekly, {name}"
            await self._post(front, f"/weekly/{name}/{token}", {})
            yield f"weekly, {name} done"
        sql = "SELECT week FROM web_digest_post WHERE language = ?"
        rows = await front.database.read(lambda c: list(c.execute(sql, (self.language.value,))))
        shown = await self.page.goto(f"{front.url}/{self.language}/weekly/{rows[0][0]}")
        assert shown is not None
        assert shown.ok
        yield "weekly, a week"

    async def _desk(self, front: Front) -> AsyncIterator[str]:
        async with aiohttp.ClientSession() as session:
            await _fill(Visitor(front, session))
        page = self.page
        await page.goto(f"{front.desk}/desk/enter")
        yield "desk, door"
        await page.fill("#token", "x")
        await page.press("#token", "Enter")
        yield "desk, wrong token"
        await page.goto(f"{front.desk}/desk/enter")
        await page.fill("#token", MODERATORS["ann"])
        await page.press("#token", "Enter")
        yield "desk, today"
        places = ("letters", "appeals", "pile-ons", "reports", "notices", "wall", "frozen", "cases", "log", "nowhere")
        for place in places:
            await page.goto(f"{front.desk}/desk/{place}")
            yield f"desk, {place}"
        for place in ("letters", "wall"):
            await page.goto(f"{front.desk}/desk/{place}")
            await page.click(".pile a")
            yield f"desk, one of {place}"
            await page.locator("textarea[name=reason]").evaluate("e => e.required = false")
            await page.click("form.sheet button.second" if place == "wall" else "button[value=refuse]")
            yield f"desk, one of {place} without a reason"
        await page.goto(f"{front.desk}/desk/letters")
        await page.click(".pile a")
        await page.fill("textarea[name=reason]", "A place and an hour.")
        await page.click("button[value=danger]")
        yield "desk, a threat to life"
        await page.locator("textarea[name=reason]").evaluate("e => e.required = false")
        await page.click("button[value=told]")
        yield "desk, a threat to life without a reason"
        await self._owe(front)
        await page.goto(f"{front.desk}/desk/cases")
        yield "desk, cases with one"

    async def _owe(self, front: Front) -> None:
        """An authority's request, due in some days, and one that is overdue."""
        clock = HandClock()
        requests = LegalRequestStore(front.database, clock)
        for case, days in (("26/9", 100), ("26/10", 1)):
            due = clock.now() + timedelta(days=days)
            asked = Asked("production", case, "Tribunal judiciaire de Brest", "e-evidence", "k3x2", clock.now(), due)
            await requests.note(asked, "Ann Custodian")

    async def _asking(self) -> AsyncIterator[str]:
        """The page of a doorbell, and what asks a writer for an address of their own, or to wait."""
        options = replace(OPTIONS, doorbell=True, sender_confirmation="always")
        async with running_front(self._new("asking"), HandClock(), options) as front:
            await self._post(front, "/preview", LETTER)
            yield "preview, asks for an address"
            token = await self.page.input_value("input[name=token]")
            sending = {"token": token, "action": "send", "sender_mail": "me@example.org"}
            await self._post(front, "/preview", sending)
            yield "preview, asks for a code"
            await self._post(front, "/preview", sending | {"challenge": "x", "code": "wrong"})
            yield "preview, wrong code"
        options = replace(OPTIONS, doorbell=True, limits=True)
        async with (
            running_front(self._new("bell"), HandClock(), options) as front,
            aiohttp.ClientSession() as session,
        ):
            visitor = Visitor(front, session)
            await visitor.send(await visitor.preview())
            await self._post(front, "/preview", {"token": await visitor.preview(to="b@example.org"), "action": "send"})
            yield "preview, has to wait"
            (letter,) = front.relay.letters.values()
            path = re.findall(r"http://leak\.lab\.test(/read/[\w-]+)", letter.text)[0]
            await self._open(front, path)
            yield "doorbell"
            await self._post(front, path, {"action": "read"})
            yield "doorbell, read"
            await front.database.write(lambda c: c.execute("DELETE FROM web_waiting"))
            await self._open(front, path)
            yield "doorbell, over"

    async def _crowded(self) -> AsyncIterator[str]:
        """What is said where no more may wait for a person."""
        options = replace(OPTIONS, most_waiting=1)
        told = {
            "item": "La lettre.",
            "grounds": "C’est une menace.",
            "faith": "on",
            "name": "A",
            "mail": "a@example.org",
        }
        async with (
            running_front(self._new("crowded"), HandClock(), options) as front,
            aiohttp.ClientSession() as session,
        ):
            visitor = Visitor(front, session)
            await self._send(visitor, LETTER | {"message": FOREIGN})
            _, page = await visitor.post(f"/{self.language}/preview", LETTER | {"message": f"{FOREIGN} Noch einmal."})
            await self._post(front, "/preview", {"token": page.fields["token"], "action": "send"})
            yield "preview, no room"
            for _ in range(2):
                await self._post(front, "/notice", told)
            yield "notice, no room"
            await self.page.goto(f"{front.desk}/desk/enter")
            await self.page.fill("#token", MODERATORS["ann"])
            await self.page.press("#token", "Enter")
            yield "desk, today with little room"

    async def _replying(self, visitor: Visitor, clock: HandClock) -> AsyncIterator[str]:
        """Letters that were answered, as their writers, one recipient and a moderator see that."""
        front = visitor.front
        await self._post(front, "/preview", LETTER)
        yield "preview, may be answered"
        said = {
            "": _REPLY,
            ", with a nudge": "You can call me on 06 12 34 56 78.",
            ", with care": DESPAIR,
            ", held": FOREIGN,
        }
        for n, (name, words) in enumerate(said.items()):
            status = await self._send(
                visitor, LETTER | {"to": f"r{n}@example.org", "message": f"Letter {n}: thank you for all of it, truly."}
            )
            await visitor.until_arrived(n + 1)
            front.relay.settle("delivered")
            if not name:
                await self._open(front, status)
                yield "status, may be answered"
            key, letter = list(front.relay.letters.items())[-1]
            front.relay.waiting_replies = [LetterReply(f"m-{key}", f"r{n}@example.org", words)]
            clock.move(61)
            await visitor.until_counted(_replies, n + 1)
            await self._open(front, status)
            yield f"status, replied{name}"
            if name.endswith("nudge"):
                await self.page.click("summary")
                yield "status, replied with a nudge, opened"
            if not name:
                await self._open(front, f"{status}?ask=forget")
                yield "status with a reply, to be deleted"
                (path,) = set(re.findall(r"http://leak\.lab\.test(/r/[\w-]+)#", letter.text))
                await self._open(front, path)
                yield "recipient who replied"
                await self._post(front, path, {"action": "unreply"})
                yield "recipient, unreply"
        for document in (Document.PRIVACY, Document.HELP):
            await self._open(front, f"/{document.value}")
            yield f"{document.value}, with replies"
        page = self.page
        await page.goto(f"{front.desk}/desk/enter")
        await page.fill("#token", MODERATORS["ann"])
        await page.press("#token", "Enter")
        await page.goto(f"{front.desk}/desk/replies")
        yield "desk, replies"
        await page.locator("textarea[name=reason]").evaluate("e => e.required = false")
        await page.click("button[value=show]")
        yield "desk, replies without a reason"

    async def _send(self, visitor: Visitor, fields: dict[str, str]) -> str:
        """Send a letter in the tour's language; its status page."""
        _, page = await visitor.post(f"/{self.language}/preview", fields)
        response, _ = await visitor.post(f"/{self.language}/preview", {"token": page.fields["token"], "action": "send"})
        return response.headers["Location"]

    async def _open(self, front: Front, path: str) -> None:
        await self.page.goto(f"{front.url}/{self.language}{path}")

    async def _post(self, front: Front, path: str, fields: dict[str, str]) -> None:
        if not self.page.url.startswith(front.url):
            await self._open(front, "/help")
        async with self.page.expect_navigation():
            await self.page.evaluate(_POST, [f"/{self.language}{path}", fields])


async def _without_renewal(route: Route) -> None:
    """A page of a letter renews itself: where the browser is slow, in the middle of an audit."""
    response = await route.fetch(max_redirects=0)
    kept = {name: value for name, value in response.headers.items() if name != "refresh"}
    await route.fulfill(response=response, headers=kept)


async def _fill(visitor: Visitor) -> None:
    """Something on every list of the desk."""
    await visitor.send(await visitor.preview(message=FOREIGN))
    await visitor.send(await visitor.preview(message=f"Zweitens: {FOREIGN}"))
    _, page = await visitor.post("/en/preview", LETTER | {"message": INSULT})
    await visitor.post("/en/preview", {"token": page.fields["token"], "action": "appeal"})
    path = await receive(visitor)
    await visitor.post(path, {"action": "report", "rule": "hate", "words": "Words that hurt.\n\nAnd more of them."})
    said = {"item": "The letter.", "grounds": "A threat.", "name": "Ann", "mail": "a@example.org", "faith": "on"}
    await visitor.post("/en/notice", said | {"children": "on"})


async def _weeks(language: Language, front: Any) -> int:
    sql = "SELECT COUNT(*) FROM web_digest WHERE language = ?"
    rows = await front.database.read(lambda c: list(c.execute(sql, (language.value,))))
    return min(1, int(rows[0][0]))


async def _replies(front: Front) -> int:
    return len(await front.database.read(lambda c: list(c.execute("SELECT 1 FROM web_reply"))))
