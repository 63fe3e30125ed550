"""Held letters on the desk: three lists, a page for each letter, and the decision, which leads to the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from relay.log import Log
from web.deciding import UndecidedError, Voice
from web.desk.frame import PILES, DeskParts, Frame, Place, read_decision, rule_name, session_of
from web.holds import HeldLetter
from web.judgement import marked_paragraphs
from web.mailbox import mailbox_of, masked
from web.moderation.ruling import Rule

_RULE_FIELD = "rule-"
_SHOWN = 200

_log = Log("desk")


class LetterDesk:
    """The handlers of held letters."""

    def __init__(self, parts: DeskParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def pile(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/letters, /appeals, /pile-ons: what waits, the one whose time ends first on top."""
        place = Place(request.path.rpartition("/")[2])
        held = await self._pile(place)
        to_one = Counter(mailbox_of(one.recipient) for one in held)
        rows = [(one, masked(one.recipient), to_one[mailbox_of(one.recipient)]) for one in held[:_SHOWN]]
        return await self._frame.page(request, "letters.html", place, {"rows": rows, "more": len(held) - len(rows)})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/letter/ID: its words, and the form that decides."""
        letter = await self._parts.deciding.holds.find(request.match_info["id"])
        if letter is None:
            return self._gone()
        return await self._letter(request, letter, {})

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """POST action=release, refuse or danger; then the next letter of the same list."""
        fields, voice = await read_decision(request)
        letter = await self._parts.deciding.holds.find(request.match_info["id"])
        if letter is None:
            return self._gone()
        deciding = self._parts.deciding
        rules = [rule.value for rule in Rule if fields.get(_RULE_FIELD + rule.value) == "on"]
        try:
            match fields.get("action"):
                case "release":
                    done = "released" if await deciding.release(letter.id, voice) else "gone"
                case "refuse":
                    freeze = fields.get("freeze") == "on"
                    done = "refused" if await deciding.refuse(letter.id, rules, voice, freeze=freeze) else "gone"
                    if freeze and done == "refused" and not await deciding.freezes.is_frozen(letter.id):
                        done = "refused-unfrozen"
                case "danger":
                    return await self._freeze(letter, voice)
                case _:
                    return await self._letter(request, letter, {})
        except UndecidedError as error:
            return await self._letter(request, letter, fields, str(error))
        _log.info("letter-decided", letter=letter.id, decision=done, by=session_of(request).name)
        place = _place_of(letter)
        rest = await self._pile(place)
        onward = f"letter/{rest[0].id}" if rest else place.value
        return self._parts.renderer.redirect(f"/desk/{onward}?done={done}")

    async def _freeze(self, letter: HeldLetter, voice: Voice) -> web.Response:
        """A threat to life: whom to call comes next, before any other letter."""
        if not await self._parts.deciding.freeze_letter(letter.id, voice):
            return self._gone()
        _log.warning("letter-frozen", letter=letter.id, by=voice.actor)
        return self._parts.renderer.redirect(f"/desk/case/{letter.id}?done=danger")

    async def _letter(
        self, request: web.Request, letter: HeldLetter, typed: Mapping[str, str], problem: str = ""
    ) -> web.Response:
        language, judge = session_of(request).language, self._parts.judge
        rest = [one.id for one in await self._pile(_place_of(letter))]
        at = rest.index(letter.id) if letter.id in rest else 0
        words = self._frame.words(request)
        ticked = {name.removeprefix(_RULE_FIELD) for name in typed if name.startswith(_RULE_FIELD)}
        values = {
            "letter": letter,
            "recipient": masked(letter.recipient),
            "body": marked_paragraphs(letter.message, judge.rule_on_words(letter.message)),
            "reported": await self._parts.deciding.waits_for_report(letter.recipient),
            "told": judge.told(letter.rules, language),
            "rules": [(rule.value, rule_name(words, rule.value)) for rule in Rule],
            "ticked": ticked or set(letter.rules),
            "freezes": typed.get("freeze") == "on",
            "reason": typed.get("reason", ""),
            "problem": problem,
            "number": at + 1,
            "of": len(rest),
            "next": rest[at + 1] if at + 1 < len(rest) else "",
            "previous": rest[at - 1] if at else "",
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        return await self._frame.page(request, "letter.html", _place_of(letter), values, status)

    async def _pile(self, place: Place) -> list[HeldLetter]:
        return [one for one in await self._parts.deciding.holds.held() if one.why in PILES[place]]

    def _gone(self) -> web.Response:
        """Somebody else decided, its writer took it back, or its time is over."""
        return self._parts.renderer.redirect("/desk?done=gone")


def _place_of(letter: HeldLetter) -> Place:
    return next(place for place, reasons in PILES.items() if letter.why in reasons)
