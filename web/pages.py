"""The pages: compose → preview → send → status. Each handler reads, asks, decides and renders; no state between.

Nothing is sent without the signed token of a preview, so what is sent is what was shown. A letter is
answered with its secret link only after it was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.client.contract import AddressCheck, LetterState, RelayClient
from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.catalogue import Language
from web.client_address import ClientAddressReader
from web.courier import Courier
from web.draft import Draft, Field, Form, Problem, judge
from web.letters import LetterRecord, LetterStore, NewLetter, hash_secret
from web.limits import LetterLimits
from web.mail import MailWriter
from web.options import FrontOptions
from web.preview import PREVIEW_LIFETIME, LetterNames, Preview, PreviewTokens
from web.render import Renderer
from web.requests import language_of, read_fields
from web.signature import Signature
from web.timeline import Stage, Standing, standing_at_relay, standing_before_relay

_CHECK_TIMEOUT: Final = 3.0
_STATE_TIMEOUT: Final = 5.0
_PATIENCE: Final = timedelta(seconds=3)
_RETRY_AFTER: Final = 60
_TOO_OFTEN: Final = "to-often"
_TARGETS: Final = {field.value: field.value for field in Field} | {"signature": f"signature-{Signature.FRIEND.value}"}

_log = Log("front")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pages work with."""

    options: FrontOptions
    relay: RelayClient
    store: LetterStore
    courier: Courier
    clock: Clock
    tokens: PreviewTokens
    writer: MailWriter
    renderer: Renderer
    addresses: ClientAddressReader
    limits: LetterLimits | None


class Pages:
    """The handlers of the front."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._render = parts.renderer

    async def compose(self, request: web.Request) -> web.StreamResponse:
        """GET /: an empty form."""
        values = _form_values(Form(), (), self._parts.tokens.new_form())
        return self._render.public_page("compose.html", language_of(request), values)

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
            if fields.get("action") in {"send", "edit", "translate"}:
                return self._render.notice("refused", language, HTTPStatus.FORBIDDEN)
            nonce = self._parts.tokens.nonce(fields.get("token", ""))
            form = Form.read({**fields, "to": fields.get("use") or fields.get("to", "")})
            return await self._judge(request, form, nonce)
        shown, age = opened
        match fields.get("action"):
            case "send":
                return await self._send(request, shown, age)
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

    async def status(self, request: web.Request) -> web.StreamResponse:
        """GET /s/{secret}: where the letter stands. A wrong secret takes the same look-up as a right one."""
        secret = request.match_info["secret"]
        record = await self._parts.store.find(hash_secret(secret))
        if record is None:
            return self._render.notice("not_found", language_of(request), HTTPStatus.NOT_FOUND)
        has_prefix = request.path.split("/", 2)[1] != "s"
        language = language_of(request) if has_prefix else Language(record.language)
        standing = standing_before_relay(record) or await self._standing_at_relay(record)
        values = {
            "record": record,
            "standing": standing,
            "renews": not standing.stage.final and request.query.get("renew") != "no",
            "next_try": self._next_try(standing, language),
            "secret": secret,
            "link": f"{self._parts.options.base_url}/s/{secret}",
            "days": self._parts.options.status_kept.days,
        }
        return self._render.page("status.html", language, values)

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """GET /static/…: the style sheet and the icon."""
        response = self._render.asset(request.path)
        return response or self._render.notice("not_found", language_of(request), HTTPStatus.NOT_FOUND)

    async def robots(self, request: web.Request) -> web.StreamResponse:
        """GET /robots.txt: the form may be found, nobody's letter may."""
        return self._render.plain("User-agent: *\nDisallow: /s/\nDisallow: /en/s/\nDisallow: /fr/s/\n")

    def _form(self, language: Language, form: Form, nonce: str, problems: tuple[Problem, ...] = ()) -> web.Response:
        values = _form_values(form, problems, self._parts.tokens.new_form(nonce))
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
        if any(problem.reason == _TOO_OFTEN for problem in problems):
            status = HTTPStatus.TOO_MANY_REQUESTS
        return self._render.page("compose.html", language, values, status=status)

    async def _judge(self, request: web.Request, form: Form, nonce: str) -> web.Response:
        language = language_of(request)
        wait = self._parts.limits.take_preview(self._network(request)) if self._parts.limits and form.to else None
        if wait is not None:
            response = self._form(language, form, nonce, (Problem(Field.TO, _TOO_OFTEN),))
            response.headers["Retry-After"] = str(int(wait.total_seconds()))
            return response
        check = await self._check(form.to) if form.to else None
        match judge(form, check):
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

    def _preview(self, shown: Preview, notice: str = "", status: int = HTTPStatus.OK) -> web.Response:
        """The preview page. Raises ValueError if no mail can be made of the draft."""
        mail = self._parts.writer.compose(shown.draft, self._render.words(shown.language))
        values = {
            "mail": mail,
            "fields": self._parts.relay.preview(self._parts.writer.letter(mail, "")),
            "token": self._parts.tokens.sign(shown),
            "notice": notice,
            "suggestion": shown.suggestion,
            "unknown": shown.unknown,
        }
        return self._render.page("preview.html", shown.language, values, status=status)

    async def _send(self, request: web.Request, shown: Preview, age: timedelta) -> web.Response:
        words = self._render.words(shown.language)
        names = self._parts.tokens.names(shown)
        try:
            if not await self._parts.store.knows(names.id):
                if age > PREVIEW_LIFETIME:
                    return self._preview(shown, words("preview.expired"), HTTPStatus.CONFLICT)
                wait = self._limit(request, shown.draft)
                if wait is not None:
                    notice = words("preview.limited", span=words.about(wait))
                    response = self._preview(shown, notice, HTTPStatus.TOO_MANY_REQUESTS)
                    response.headers["Retry-After"] = str(int(wait.total_seconds()))
                    return response
                await self._parts.courier.send(self._letter(shown, names), _PATIENCE)
        except SpoolUnavailableError as error:
            _log.warning("letter-not-kept", why=str(error))
            response = self._preview(shown, words("preview.unavailable"), HTTPStatus.SERVICE_UNAVAILABLE)
            response.headers["Retry-After"] = str(_RETRY_AFTER)
            return response
        return self._render.redirect(f"/s/{names.secret}")

    def _letter(self, shown: Preview, names: LetterNames) -> NewLetter:
        writer = self._parts.writer
        mail = writer.compose(shown.draft, self._render.words(shown.language))
        return NewLetter(
            id=names.id,
            secret_hash=hash_secret(names.secret),
            language=shown.language.value,
            signature=shown.draft.signature.value,
            mail=writer.letter(mail, names.id),
        )

    def _limit(self, request: web.Request, draft: Draft) -> timedelta | None:
        if self._parts.limits is None:
            return None
        return self._parts.limits.take(self._network(request), draft.recipient)

    def _network(self, request: web.Request) -> bytes:
        return self._parts.addresses.read(_peer(request), request.headers).network

    async def _standing_at_relay(self, record: LetterRecord) -> Standing:
        state: LetterState | None
        try:
            async with asyncio.timeout(_STATE_TIMEOUT):
                state = await self._parts.relay.state(record.message_id or "")
        except (TimeoutError, SpoolUnavailableError) as error:
            _log.warning("state-not-known", why=str(error) or "timed out")
            return Standing(Stage.UNCLEAR)
        return standing_at_relay(state)

    def _next_try(self, standing: Standing, language: Language) -> str:
        if standing.next_try is None:
            return ""
        words = self._render.words(language)
        wait = standing.next_try - self._parts.clock.now()
        if wait <= timedelta(0):
            return words("status.next_now")
        return words("status.next", span=words.about(wait))


def _form_values(form: Form, problems: tuple[Problem, ...], token: str) -> Mapping[str, object]:
    faults: dict[str, Problem | None] = {field.value: None for field in Field}
    faults.update({problem.field.value: problem for problem in problems})
    return {
        "form": form,
        "problems": problems,
        "faults": faults,
        "targets": _TARGETS,
        "token": token,
        "signatures": list(Signature),
        "suggestion": next((problem.suggestion for problem in problems if problem.suggestion), ""),
    }


def _peer(request: web.Request) -> tuple[str, int] | None:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) and len(peer) >= 2 else None
