"""The pages: compose → preview → send. Each handler reads, asks, decides and renders; no state between.

Nothing is sent without the signed token of a preview, so what is sent is what was shown. A letter is
answered with its secret link only after it was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from math import ceil
from typing import Final

from aiohttp import web

from relay.client.contract import AddressCheck
from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.catalogue import Language
from web.confirming import Asking
from web.draft import Draft, Field, Form, Problem, judge
from web.judgement import marked_paragraphs
from web.letters import HOLD_TIME, Departure, HeldFor, Hold, NewLetter, hash_secret
from web.limits import Admission
from web.moderation.ruling import Ruling, Step
from web.morning import tomorrow_morning
from web.options import FrontOptions
from web.parts import Parts
from web.preview import PREVIEW_LIFETIME, Preview
from web.requests import language_of, read_fields
from web.samples import read_samples
from web.schools import SchoolMail, is_school
from web.sealing import Sealed, SenderRecord
from web.self_naming import names_writer
from web.signature import Signature
from web.way_in import Asked, Wait

_CHECK_TIMEOUT: Final = 3.0
_PATIENCE: Final = timedelta(seconds=3)
_RETRY_AFTER: Final = 60
_TOO_OFTEN: Final = "to-often"
_SOONEST: Final = timedelta(hours=1)
"""A person may have decided after so long: before it, no held letter ends."""
_OF_A_PREVIEW: Final = frozenset({"send", "appeal", "edit", "translate"})
_NOBODYS: Final = ("s", "r", "read", "notice", "weekly/confirm", "weekly/leave")
"""Pages behind a secret."""
_TARGETS: Final = {field.value: field.value for field in Field} | {"signature": f"signature-{Signature.FRIEND.value}"}

_log = Log("front")


@dataclass(frozen=True, slots=True)
class Pressed:
    """Which button of a preview, and what stood in its form."""

    appeals: bool
    fields: Mapping[str, str]

    @property
    def ticket(self) -> str:
        """The token of a ticket."""
        return self.fields.get("ticket", "")


@dataclass(frozen=True, slots=True)
class Beside:
    """What a preview may show beside the letter: a word in advance, a place in a row, an address to confirm."""

    notice: str = ""
    ticket: str = ""
    asking: Asking | None = None


_NOTHING: Final = Beside()


class Pages:
    """The handlers of the front."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._render = parts.renderer

    async def compose(self, request: web.Request) -> web.StreamResponse:
        """GET /: an empty form, and what the wall shows beside it."""
        language, options = language_of(request), self._parts.options
        values = _form_values(Form(), (), self._parts.tokens.new_form(), options)
        samples = await read_samples(self._parts.wall, language) if options.wall else ()
        return self._render.public_page("compose.html", language, {**values, "samples": samples})

    async def compose_again(self, request: web.Request) -> web.StreamResponse:
        """POST /: the form in this language, with what was typed in the other."""
        fields = await read_fields(request, self._parts.options.base_url)
        nonce = self._parts.tokens.nonce(fields.get("token", ""))
        return self._form(language_of(request), Form.read(fields), nonce)

    async def preview(self, request: web.Request) -> web.StreamResponse:
        """POST /preview: judge a form, or act on a preview that was shown."""
        fields = await read_fields(request, self._parts.options.base_url)
        language = language_of(request)
        opened = self._parts.tokens.open(fields.get("token", ""))
        if opened is None:
            if fields.get("action") in _OF_A_PREVIEW:
                return self._render.notice("refused", language, HTTPStatus.FORBIDDEN)
            nonce = self._parts.tokens.nonce(fields.get("token", ""))
            form = Form.read({**fields, "to": fields.get("use") or fields.get("to", "")})
            return await self._judge(request, form, nonce)
        shown, age = opened
        match fields.get("action"):
            case "send" | "appeal" as action:
                return await self._send(request, shown, age, Pressed(action == "appeal", fields))
            case "edit":
                return self._form(language, shown.draft.form(), shown.nonce)
            case _ if fields.get("use"):
                form = replace(shown.draft.form(), to=Form.read({"to": fields["use"]}).to)
                return await self._judge(request, form, shown.nonce)
            case _:
                return self._preview(shown.in_language(language))

    async def back_to_compose(self, request: web.Request) -> web.StreamResponse:
        """GET /preview: there is nothing to show without a form."""
        return self._render.redirect(f"/{language_of(request).value}/")

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """GET /static/…: the style sheet and the icon."""
        response = self._render.asset(request.path)
        return response or self._render.notice("not_found", language_of(request), HTTPStatus.NOT_FOUND)

    async def robots(self, request: web.Request) -> web.StreamResponse:
        """GET /robots.txt: the form may be found, nobody's letter may."""
        return self._render.plain(
            "User-agent: *\n"
            + "".join(f"Disallow: {prefix}/{what}/\n" for prefix in ("", "/en", "/fr") for what in _NOBODYS)
        )

    def _form(self, language: Language, form: Form, nonce: str, problems: tuple[Problem, ...] = ()) -> web.Response:
        values = _form_values(form, problems, self._parts.tokens.new_form(nonce), self._parts.options)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
        if any(problem.reason == _TOO_OFTEN for problem in problems):
            status = HTTPStatus.TOO_MANY_REQUESTS
        return self._render.page("compose.html", language, values, status=status)

    async def _judge(self, request: web.Request, form: Form, nonce: str) -> web.Response:
        language = language_of(request)
        wait = self._parts.previews.take(self._network(request)) if self._parts.previews and form.to else None
        if wait is not None:
            response = self._form(language, form, nonce, (Problem(Field.TO, _TOO_OFTEN),))
            response.headers["Retry-After"] = str(int(wait.total_seconds()))
            return response
        check = await self._check(form.to) if form.to else None
        match judge(form, check, schools=self._parts.options.school_domains is not SchoolMail.REFUSE):
            case Draft() as draft if check is not None:
                unknown = draft.recipient.rpartition("@")[2] if check.unknown else ""
                shown = Preview(draft, language, nonce, check.suggestion, unknown)
                try:
                    return self._preview(shown)
                except ValueError:  # nobody could check the address, and the relay would not take it
                    return self._form(language, form, nonce, (Problem(Field.TO, "to-syntax"),))
            case Draft():
                raise AssertionError("a draft has a checked address")
            case problems:
                return self._form(language, form, nonce, problems)

    async def _check(self, address: str) -> AddressCheck:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT):
                return await self._parts.relay.check(address)
        except TimeoutError:
            _log.warning("address-check-timed-out", seconds=_CHECK_TIMEOUT)
            return AddressCheck(address, ok=False, unknown=True)

    def _preview(self, shown: Preview, beside: Beside = _NOTHING, status: int = HTTPStatus.OK) -> web.Response:
        """The preview page, or why there is none. Raises ValueError if no mail can be made of the draft."""
        language = shown.language
        ruling = self._parts.judge.rule_on(shown.draft)
        crisis = self._parts.judge.crisis(ruling, language)
        mail = self._parts.writer.compose(shown.draft, self._render.words(language), crisis=crisis)
        wording = self._parts.judge.wording(language)
        values = {
            "mail": mail,
            "body": marked_paragraphs(shown.draft.message, ruling),
            "fields": self._parts.relay.preview(self._parts.writer.letter(mail, "")),
            "token": self._parts.tokens.sign(shown),
            "notice": beside.notice,
            "ticket": beside.ticket,
            "asking": beside.asking or self._first_question(has_ticket=bool(beside.ticket)),
            "step": ruling.step.value,
            "told": wording.steps.get(ruling.step),
            "rules": self._parts.judge.told(ruling.rules, language),
            "helps": wording.helps if ruling.help_first else (),
            "care": wording.steps[Step.CARE],
            "name": names_writer(shown.draft.message, shown.draft.pseudonym),
            "rings": self._parts.options.doorbell,
            "wall": shown.draft.wall and self._parts.options.wall,
            "morning": shown.draft.morning,
            "cools_down": self._parts.options.cool_down > timedelta(0),
            "suggestion": shown.suggestion,
            "unknown": shown.unknown,
        }
        if ruling.step is Step.REFUSE:
            self._parts.rulings.note(self._parts.tokens.names(shown).id, (rule.value for rule in ruling.rules))
            status = max(status, HTTPStatus.UNPROCESSABLE_ENTITY)
            return self._render.page("refused.html", language, values, status=status)
        return self._render.page("preview.html", language, values, status=status)

    async def _send(self, request: web.Request, shown: Preview, age: timedelta, pressed: Pressed) -> web.Response:
        words = self._render.words(shown.language)
        names = self._parts.tokens.names(shown)
        ruling = self._parts.judge.rule_on(shown.draft)
        try:
            if not await self._parts.store.knows(names.id):
                if ruling.step is Step.REFUSE and not pressed.appeals:
                    return self._preview(shown)
                # Only a ticket of ours lets a page live longer, or asks its writer for an address.
                ticket = pressed.ticket if self._parts.way_in.knows(pressed.ticket, names.id) else ""
                if age > PREVIEW_LIFETIME and not ticket:
                    return self._preview(shown, Beside(words("preview.expired")), HTTPStatus.CONFLICT)
                client, network = self._parts.client(request), self._parts.network(request)
                confirmed = await self._parts.confirming.settle(
                    names.id, {**pressed.fields, "ticket": ticket}, client.network, words
                )
                if isinstance(confirmed, Asking):
                    return self._ask_code(shown, ticket, confirmed)
                asked = Asked(client, network, names.id, shown.draft.recipient, ticket)
                admission = await self._parts.way_in.ask(asked)
                if isinstance(admission, Wait):
                    return self._not_yet(shown, admission, pressed.fields)
                departure = await self._departure(shown.draft, ruling, admission)
                rings = self._parts.options.doorbell and not await self._parts.doorbell.knows(shown.draft.recipient)
                letter = self._letter(request, shown, ruling, rings=rings)
                sealed = self._seal(request, names.id, confirmed.mail)
                letter = replace(letter, pair=admission.pair, sealed=sealed)
                await self._parts.courier.send(letter, departure, _PATIENCE)
        except SpoolUnavailableError as error:
            _log.warning("letter-not-kept", why=str(error))
            beside = Beside(words("preview.unavailable"), pressed.ticket)
            response = self._preview(shown, beside, HTTPStatus.SERVICE_UNAVAILABLE)
            response.headers["Retry-After"] = str(_RETRY_AFTER)
            return response
        return self._render.redirect(f"/s/{names.secret}")

    def _first_question(self, *, has_ticket: bool) -> Asking | None:
        return Asking() if self._parts.confirming.asks(has_ticket=has_ticket) else None

    def _ask_code(self, shown: Preview, ticket: str, asking: Asking) -> web.Response:
        """The preview again, with what is still to be typed."""
        words = self._render.words(shown.language)
        key = f"confirm.problem_{asking.problem}" if asking.problem else "confirm.sent"
        beside = Beside(words(key, mail=asking.mail) if not asking.problem else words(key), ticket, asking)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if asking.problem else HTTPStatus.OK
        return self._preview(shown, beside, status)

    def _not_yet(self, shown: Preview, wait: Wait, fields: Mapping[str, str]) -> web.Response:
        """The preview again: the letter may be sent later, from its place in the slow lane if there is one."""
        words = self._render.words(shown.language)
        key = "preview.lane" if wait.ticket else "preview.limited"
        notice = words(key, span=words.about(wait.span))
        asking = self._first_question(has_ticket=bool(wait.ticket))
        if asking is not None and fields.get("code"):
            # What was typed is typed: a code is good for two hours, and the letter's turn may come before.
            asking = Asking(fields.get("sender_mail", ""), fields.get("challenge", ""), typed=fields["code"][:40])
        response = self._preview(shown, Beside(notice, wait.ticket, asking), HTTPStatus.TOO_MANY_REQUESTS)
        response.headers["Retry-After"] = str(max(1, ceil(wait.span.total_seconds())))
        return response

    async def _departure(self, draft: Draft, ruling: Ruling, admission: Admission) -> Departure:
        """When a letter leaves, or for what it waits. Raises SpoolUnavailableError.

        Whoever refuses our mail is asked for before a person is: nobody needs to read what cannot arrive, and the
        letter's writer sees what every writer sees, after as long: no answer costs fewer questions.
        """
        now, options = self._parts.clock.now(), self._parts.options
        chance = self._parts.entropy.uniform()
        # While the relay is away nobody knows; it is asked again before the letter leaves.
        refuses = await self._parts.errands.refuses(draft.recipient)
        blocked = admission.frozen or bool(refuses)
        why = self._why_held(draft, ruling, admission)
        if why is None:
            soonest = now + options.cool_down + options.jitter * chance
            if draft.morning:
                return Departure(max(soonest, tomorrow_morning(now, options.time_zone, chance)))
            return Departure(soonest)
        until = now + (_SOONEST + (HOLD_TIME / 2 - _SOONEST) * chance if blocked else HOLD_TIME)
        rules = tuple(rule.value for rule in ruling.rules) if ruling.step.stops else ()
        return Departure(until, Hold(until, why, rules, hidden=blocked))

    def _why_held(self, draft: Draft, ruling: Ruling, admission: Admission) -> HeldFor | None:
        """Why a person looks at a letter first; None if nobody needs to."""
        copies = self._parts.copies is not None and self._parts.copies.note(draft.message, draft.recipient)
        if ruling.step is Step.REFUSE:
            return HeldFor.APPEAL
        if ruling.step.stops:
            return HeldFor.RULES
        if admission.pile_on:
            return HeldFor.PILE_ON
        if self._parts.options.school_domains is SchoolMail.HOLD and is_school(draft.recipient):
            return HeldFor.SCHOOL
        return HeldFor.COPIES if copies else None

    def _seal(self, request: web.Request, letter_id: str, mail: str) -> Sealed | None:
        """Who sends this, sealed at once; in clear it is nowhere but in this call."""
        now = self._parts.clock.now()
        key = self._parts.sealing.at(now)
        client = self._parts.client(request)
        if key is None or client.address is None:
            return None
        return key.seal(SenderRecord(now, str(client.address), client.port, mail), letter_id)

    def _letter(self, request: web.Request, shown: Preview, ruling: Ruling, *, rings: bool) -> NewLetter:
        writer, options = self._parts.writer, self._parts.options
        names, words = self._parts.tokens.names(shown), self._render.words(shown.language)
        letter = writer.compose(shown.draft, words, names.id, self._parts.judge.crisis(ruling, shown.language))
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
            network=self._parts.network(request),
        )

    def _network(self, request: web.Request) -> bytes:
        return self._parts.client(request).network


def _form_values(form: Form, problems: tuple[Problem, ...], token: str, options: FrontOptions) -> Mapping[str, object]:
    faults: dict[str, Problem | None] = {field.value: None for field in Field}
    faults.update({problem.field.value: problem for problem in problems})
    return {
        "form": form,
        "problems": problems,
        "faults": faults,
        "targets": _TARGETS,
        "token": token,
        "signatures": list(Signature),
        "wall": options.wall,
        "indexed": options.wall_indexed,
        "samples": (),
        "zone": str(options.time_zone),
        "suggestion": next((problem.suggestion for problem in problems if problem.suggestion), ""),
    }
