"""Sending: from a preview that was shown to a letter that is kept, or to why it is not.

Each letter passes here once: the rules again, a confirmed address where one is asked for, the way in, a moment of
departure, the sealed record. Only then is it committed, and only then does its writer see its secret link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from math import ceil
from typing import Final
from weakref import WeakValueDictionary

from aiohttp import web

from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.ceilings import Look
from web.client_address import ClientAddress
from web.confirming import Asking
from web.copies import Looks
from web.departures import next_departure, spread
from web.draft import Draft
from web.letters import HOLD_TIME, Departure, Expected, HeldFor, Hold, NewLetter, hash_secret
from web.limits import Admission
from web.moderation.ruling import Ruling, Step
from web.morning import tomorrow_morning
from web.network import Network
from web.parts import Parts
from web.preview import PREVIEW_LIFETIME, SECOND_THOUGHT, LetterNames, Preview
from web.preview_page import Beside, PreviewPage
from web.schools import SchoolMail, is_school
from web.sealing import Sealed, SenderRecord
from web.way_in import Asked, Wait

_RETRY_AFTER: Final = 60
_LOOKS: Final = (0.0, 0.05, 0.1)
"""Seconds before each look for a letter that another worker may be keeping: all who are limited wait for it."""

_log = Log("front")


class Button(StrEnum):
    """A button of a preview that sends; the value is what it posts as `action`."""

    SEND = "send"
    WAIT = "wait"
    """Send it, but ten minutes later: offered to who was nudged."""
    APPEAL = "appeal"
    """Let a person look at what the rules refuse."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """Which button of a preview, and what stood in its form."""

    button: Button
    fields: Mapping[str, str]

    @property
    def ticket(self) -> str:
        """The token of a ticket."""
        return self.fields.get("ticket", "")


@dataclass(frozen=True, slots=True)
class _Press:
    """One press of a button of ours: the letter, what it is called, what the rules say of it, and who asks."""

    shown: Preview
    names: LetterNames
    ruling: Ruling
    client: ClientAddress
    network: Network
    looks: Looks | None
    """None: nobody looks for copies of it."""


@dataclass(frozen=True, slots=True)
class _Settled:
    """What is known of a letter that may be sent: how it was let in, whether a person looks at it first, which button
    sent it, and its writer's confirmed address.
    """

    admission: Admission
    hold: Hold | None
    button: Button
    mail: str


class Sending:
    """Sends letters that were previewed."""

    def __init__(self, parts: Parts, previews: PreviewPage) -> None:
        self._parts = parts
        self._previews = previews
        self._render = parts.renderer
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def send(self, request: web.Request, shown: Preview, age: timedelta, pressed: Pressed) -> web.Response:
        """POST action=send, wait or appeal, `age` after the preview: the way to the status page, or the preview again.

        A button that is pressed twice sends one letter, and both presses lead to it: the second waits for the first.
        """
        names = self._parts.tokens.names(shown)
        turn = self._turns.setdefault(names.id, asyncio.Lock())
        async with turn:
            return await self._send(self._press(request, shown, names), age, pressed)

    def _press(self, request: web.Request, shown: Preview, names: LetterNames) -> _Press:
        parts, draft = self._parts, shown.draft
        client = parts.client(request)
        looks = None if parts.copies is None else parts.copies.looks(draft.message, draft.recipient)
        return _Press(shown, names, parts.judge.rule_on(draft), client, parts.networks.of(client.address), looks)

    async def _send(self, press: _Press, age: timedelta, pressed: Pressed) -> web.Response:
        shown, names, client = press.shown, press.names, press.client
        words = self._render.words(shown.language)
        try:
            if not await self._parts.stores.letters.knows(names.id):
                if press.ruling.step is Step.REFUSE and pressed.button is not Button.APPEAL:
                    return self._previews.show(shown)
                # Only a ticket of ours lets a page live longer, or asks its writer for an address.
                ticket = pressed.ticket if self._parts.way_in.knows(pressed.ticket, names.id) else ""
                if age > PREVIEW_LIFETIME and not ticket:
                    return self._previews.show(shown, Beside(words("preview.expired")), HTTPStatus.CONFLICT)
                if client.disputed:
                    return self._disputed(shown)
                confirmed = await self._parts.confirming.settle(
                    names.id, {**pressed.fields, "ticket": ticket}, client.network, words
                )
                if isinstance(confirmed, Asking):
                    return self._ask_code(shown, ticket, confirmed)
                why = self._why_held(press)
                recipient = shown.draft.recipient
                asked = Asked(client, press.network, names.id, recipient, ticket, is_held=why is not None)
                admission = await self._parts.way_in.ask(asked)
                if isinstance(admission, Wait):
                    if await self._is_sent_elsewhere(names.id):
                        return self._render.redirect(f"/s/{names.secret}")
                    return self._not_yet(shown, admission, pressed.fields)
                hold = self._hold(_final(why, admission), press.ruling)
                await self._keep(press, _Settled(admission, hold, pressed.button, confirmed.mail))
        except SpoolUnavailableError as error:
            _log.warning("letter-not-kept", why=str(error))
            beside = Beside(words("preview.unavailable"), pressed.ticket)
            response = self._previews.show(shown, beside, HTTPStatus.SERVICE_UNAVAILABLE)
            response.headers["Retry-After"] = str(_RETRY_AFTER)
            return response
        return self._render.redirect(f"/s/{names.secret}")

    async def _keep(self, press: _Press, settled: _Settled) -> None:
        """Commit the letter. Raises SpoolUnavailableError: then it was not sent, and does not count as if it were."""
        draft = press.shown.draft
        try:
            look = await self._previews.ceiling(press.shown, press.network)
            departure = self._departure(draft, settled.hold, settled.button, look)
            if self._parts.copies is not None and press.looks is not None:
                self._parts.copies.note(press.looks)
            rings = self._parts.options.doorbell and not await self._parts.stores.doorbell.knows(draft.recipient)
            letter = self._letter(press, rings=rings)
            sealed = self._seal(press.client, letter.id, settled.mail)
            admitted = settled.admission
            letter = replace(letter, pair=admitted.pair, over=admitted.over, sealed=sealed)
            await self._parts.courier.send(letter, departure)
        except SpoolUnavailableError:
            if self._parts.limits is not None:
                self._parts.limits.give_back(settled.admission)
            raise

    def _disputed(self, shown: Preview) -> web.Response:
        """No letter goes out without a record of who sent it, nor with one that a header wrote."""
        remedy = "let the proxy remove Forwarded or X-Forwarded-For, whichever it does not set"
        _log.warning("client-not-told", remedy=remedy)
        return self._render.notice("disputed", shown.language, HTTPStatus.BAD_REQUEST)

    async def _is_sent_elsewhere(self, letter_id: str) -> bool:
        """Whether another worker, at the other press of a double click, keeps this letter: it counted it before.

        Raises SpoolUnavailableError.
        """
        for wait in _LOOKS:
            await asyncio.sleep(wait)
            if await self._parts.stores.letters.knows(letter_id):
                return True
        return False

    def _ask_code(self, shown: Preview, ticket: str, asking: Asking) -> web.Response:
        """The preview again, with what is still to be typed."""
        words = self._render.words(shown.language)
        key = f"confirm.problem_{asking.problem}" if asking.problem else "confirm.sent"
        beside = Beside(words(key, mail=asking.mail) if not asking.problem else words(key), ticket, asking)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if asking.problem else HTTPStatus.OK
        return self._previews.show(shown, beside, status)

    def _not_yet(self, shown: Preview, wait: Wait, fields: Mapping[str, str]) -> web.Response:
        """The preview again: the letter may be sent later, from its place in the slow lane if there is one."""
        words = self._render.words(shown.language)
        key = "preview.lane" if wait.ticket else "preview.limited"
        if wait.is_full:
            key = "preview.full"
            _log.warning("pile-full", remedy="decide about held letters at the desk, or raise web.most_waiting")
        notice = words(key, span=words.about(wait.span))
        asking = self._previews.first_question(has_ticket=bool(wait.ticket))
        if asking is not None and fields.get("code"):
            # What was typed is typed: a code is good for two hours, and the letter's turn may come before.
            asking = Asking(fields.get("sender_mail", ""), fields.get("challenge", ""), typed=fields["code"][:40])
        status = HTTPStatus.SERVICE_UNAVAILABLE if wait.is_full else HTTPStatus.TOO_MANY_REQUESTS
        response = self._previews.show(shown, Beside(notice, wait.ticket, asking), status)
        response.headers["Retry-After"] = str(max(1, ceil(wait.span.total_seconds())))
        return response

    def _departure(self, draft: Draft, hold: Hold | None, button: Button, look: Look) -> Departure:
        """When a letter leaves, or for what it waits; not before a ceiling lets it.

        Whether its recipient wants letters, or has reported one, is asked later (`web.wishes`, `web.departing`):
        whatever became of it here would tell.
        """
        now, options = self._parts.clock.now(), self._parts.options
        chance = self._parts.entropy.uniform()
        if hold is not None and hold.why.is_told:
            return Departure(hold.until, hold)
        wished = now + options.cool_down + options.jitter * chance
        if draft.morning:
            wished = max(wished, tomorrow_morning(now, options.time_zone, chance))
        elif button is Button.WAIT:
            wished += SECOND_THOUGHT
        if options.jitter:
            wished = next_departure(wished)
        if look.spot is None or look.spot.opens <= wished:
            return Departure(wished, hold, expected=Expected(look.place))
        due = max(wished, spread(look.spot.ask, chance))
        return Departure(due, hold, wished=wished, expected=Expected(look.place, look.spot))

    def _hold(self, why: HeldFor | None, ruling: Ruling) -> Hold | None:
        """How long a letter waits for a person, and what the rules say of it; None if nobody needs to look."""
        if why is None:
            return None
        rules = tuple(rule.value for rule in ruling.rules) if ruling.step.stops else ()
        return Hold(self._parts.clock.now() + HOLD_TIME, why, rules)

    def _why_held(self, press: _Press) -> HeldFor | None:
        """Why a person looks at a letter first, by what stands in it; None if nobody needs to."""
        if press.ruling.step is Step.REFUSE:
            return HeldFor.APPEAL
        if press.ruling.step.stops:
            return HeldFor.RULES
        if self._parts.options.school_domains is SchoolMail.HOLD and is_school(press.shown.draft.recipient):
            return HeldFor.SCHOOL
        copies, looks = self._parts.copies, press.looks
        return HeldFor.COPIES if copies is not None and looks is not None and copies.are_too_many(looks) else None

    def _seal(self, client: ClientAddress, letter_id: str, mail: str) -> Sealed | None:
        """Who sends this, sealed at once; in clear it is nowhere but in this press."""
        now = self._parts.clock.now()
        key = self._parts.sealing.at(now)
        if key is None or client.address is None:
            return None
        return key.seal(SenderRecord(now, str(client.address), client.port, mail), letter_id)

    def _letter(self, press: _Press, *, rings: bool) -> NewLetter:
        writer, options, shown, names = self._parts.writer, self._parts.options, press.shown, press.names
        words = self._render.words(shown.language)
        letter = writer.compose(shown.draft, words, names.id, self._parts.judge.crisis(press.ruling, shown.language))
        mail = writer.ring(shown.draft, words, names.id) if rings else letter
        return NewLetter(
            id=names.id,
            secret_hash=hash_secret(names.secret),
            language=shown.language.value,
            signature=shown.draft.signature.value,
            mail=writer.letter(mail, names.id),
            message=shown.draft.message,
            rings=rings,
            wall_after=options.wall_delay if shown.draft.wall and options.wall else None,
            sender_name=letter.sender_name,
            subject=letter.subject,
            network=press.network,
        )


def _final(why: HeldFor | None, admission: Admission) -> HeldFor | None:
    """Why a person looks at a letter, now that it is known who else writes to its recipient.

    That they do changes nothing that its writer was told already.
    """
    return HeldFor.PILE_ON if admission.pile_on and why is None else why
