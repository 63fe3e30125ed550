"""The pages: compose → preview → send. Each handler reads, asks, decides and renders; no state between.

Nothing is sent without the signed token of a preview, so what is sent is what was shown. A letter is
answered with its secret link only after it was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.client.contract import AddressCheck
from relay.log import Log
from web.catalogue import Language
from web.draft import Draft, Field, Form, Problem, judge
from web.options import FrontOptions
from web.parts import Parts
from web.preview import Preview
from web.preview_page import Beside, PreviewPage
from web.requests import language_of, read_fields
from web.samples import read_samples
from web.schools import SchoolMail
from web.sending import Button, Pressed, Sending
from web.signature import Signature

_CHECK_TIMEOUT: Final = 3.0
_TOO_OFTEN: Final = "to-often"
_OF_A_PREVIEW: Final = frozenset({"send", "wait", "appeal", "edit", "translate"})
_NOBODYS: Final = ("s", "r", "read", "notice", "weekly/confirm", "weekly/leave")
"""Pages behind a secret."""
_TARGETS: Final = {field.value: field.value for field in Field} | {"signature": f"signature-{Signature.FRIEND.value}"}

_log = Log("front")


class Pages:
    """The handlers of the front."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._render = parts.renderer
        self._previews = PreviewPage(parts)
        self._sending = Sending(parts, self._previews)

    async def compose(self, request: web.Request) -> web.StreamResponse:
        """GET /: an empty form, and what the wall shows beside it."""
        language, options = language_of(request), self._parts.options
        values = _form_values(Form(), (), self._parts.tokens.new_form(), options)
        samples = await read_samples(self._parts.wall, language) if options.wall else ()
        return self._render.public_page("compose.html", request, {**values, "samples": samples})

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
            case "send" | "wait" | "appeal" as action:
                # What this process has not read lately costs a reading, and that is counted like a preview.
                if not self._parts.judge.knows(shown.draft):
                    refused = self._too_often(request, shown.draft.form(), shown.nonce)
                    if refused is not None:
                        return refused
                return await self._sending.send(request, shown, age, Pressed(Button(action), fields))
            case "edit":
                return self._form(language, shown.draft.form(), shown.nonce)
            case _ if fields.get("use"):
                form = replace(shown.draft.form(), to=Form.read({"to": fields["use"]}).to)
                return await self._judge(request, form, shown.nonce)
            case _:
                # A token costs a reading each time it is shown again, so that is counted like any preview.
                refused = self._too_often(request, shown.draft.form(), shown.nonce)
                return refused or await self._show(request, shown.in_language(language))

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
        if (refused := self._too_often(request, form, nonce)) is not None:
            return refused
        check = await self._check(form.to) if form.to else None
        match judge(form, check, schools=self._parts.options.school_domains is not SchoolMail.REFUSE):
            case Draft() as draft if check is not None:
                unknown = draft.recipient.rpartition("@")[2] if check.unknown else ""
                shown = Preview(draft, language, nonce, check.suggestion, unknown)
                try:
                    return await self._show(request, shown)
                except ValueError:  # nobody could check the address, and the relay would not take it
                    return self._form(language, form, nonce, (Problem(Field.TO, "to-syntax"),))
            case Draft():
                raise AssertionError("a draft has a checked address")
            case problems:
                return self._form(language, form, nonce, problems)

    async def _show(self, request: web.Request, shown: Preview) -> web.Response:
        """The preview, which says so if the letter will not leave soon."""
        look = await self._previews.ceiling(shown, self._parts.network(request))
        return self._previews.show(shown, Beside(spot=look.spot))

    def _too_often(self, request: web.Request, form: Form, nonce: str) -> web.Response | None:
        """The form again, if its sender has had enough previews; else one more is counted."""
        wait = self._parts.previews.take(self._network(request)) if self._parts.previews and form.to else None
        if wait is None:
            return None
        response = self._form(language_of(request), form, nonce, (Problem(Field.TO, _TOO_OFTEN),))
        response.headers["Retry-After"] = str(int(wait.total_seconds()))
        return response

    async def _check(self, address: str) -> AddressCheck:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT):
                return await self._parts.relay.check(address)
        except TimeoutError:
            _log.warning("address-check-timed-out", seconds=_CHECK_TIMEOUT)
            return AddressCheck(address, ok=False, unknown=True)

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
        # Some browsers take the first of what is not chosen: nobody is to say "a friend" without having seen it.
        "signed": form.signature if form.signature in set(Signature) else Signature.SOMEONE,
        "wall": options.wall,
        "rings": options.doorbell,
        "indexed": options.wall_indexed,
        "samples": (),
        "suggestion": next((problem.suggestion for problem in problems if problem.suggestion), ""),
    }
