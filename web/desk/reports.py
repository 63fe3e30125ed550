"""Reports, frozen pairs, cases and the log on the desk."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.log import Log
from web.catalogue import Words
from web.deciding import UndecidedError, Voice
from web.desk.frame import DeskParts, Frame, Place, read_decision, rule_name
from web.plain_text import paragraphs
from web.reports import Outcome

_SHOWN: Final = 200
_DANGER: Final = "danger"
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}

_log = Log("desk")


class ReportDesk:
    """Their handlers: each list carries its own forms."""

    def __init__(self, parts: DeskParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def reports(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/reports: what recipients reported."""
        return await self._reports(request)

    async def settle(self, request: web.Request) -> web.StreamResponse:
        """POST /desk/reports letter=ID action=upheld, dismissed or danger."""
        fields, voice = await read_decision(request)
        letter_id, outcome = fields.get("letter", ""), _OUTCOMES.get(fields.get("action", ""))
        if outcome is None and fields.get("action") != _DANGER:
            return await self._reports(request)
        try:
            if outcome is None:
                return await self._freeze(letter_id, voice)
            settled = await self._parts.deciding.settle(letter_id, outcome, voice)
        except UndecidedError:
            return await self._reports(request, letter_id)
        _log.info("report-decided", letter=letter_id, decision=outcome.value, by=voice.actor)
        done = outcome.value if settled else "gone"
        if done == Outcome.UPHELD and not await self._parts.deciding.freezes.is_frozen(letter_id):
            done = "upheld-unfrozen"
        return self._parts.renderer.redirect(f"/desk/reports?done={done}")

    async def _freeze(self, letter_id: str, voice: Voice) -> web.Response:
        """A threat to life: whom to call comes next."""
        if not await self._parts.deciding.freeze_letter(letter_id, voice):
            return self._parts.renderer.redirect("/desk/reports?done=gone")
        _log.warning("letter-frozen", letter=letter_id, by=voice.actor)
        return self._parts.renderer.redirect(f"/desk/case/{letter_id}?done=danger")

    async def frozen(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/frozen: whose network is kept from whom."""
        return await self._frozen(request)

    async def thaw(self, request: web.Request) -> web.StreamResponse:
        """POST /desk/frozen letter=ID action=thaw."""
        fields, voice = await read_decision(request)
        letter_id = fields.get("letter", "")
        try:
            thawed = await self._parts.deciding.thaw(letter_id, voice)
        except UndecidedError:
            return await self._frozen(request, letter_id)
        _log.info("pair-thawed", letter=letter_id, by=voice.actor)
        return self._parts.renderer.redirect(f"/desk/frozen?done={'thawed' if thawed else 'gone'}")

    async def cases(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/cases: threats to life, what authorities ask, and which sealed records were kept or opened."""
        entries, broken = await self._parts.audit.entries(), await self._parts.audit.broken_at()
        dangers = await self._parts.deciding.dangers.open_cases()
        words, now = self._frame.words(request), self._parts.clock.now()
        requests = [(one, time_left(words, one.asked.due - now)) for one in await self._parts.legal.waiting()]
        values = {"entries": entries[::-1], "broken": broken, "dangers": dangers, "requests": requests}
        return await self._frame.page(request, "cases.html", Place.CASES, values)

    async def log(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/log: what was decided, by whom and why."""
        decisions = await self._parts.deciding.holds.decisions(_SHOWN)
        return await self._frame.page(request, "log.html", Place.LOG, {"decisions": decisions})

    async def _reports(self, request: web.Request, problem: str = "") -> web.Response:
        words = self._frame.words(request)
        rows = [
            (one.report.letter_id, one.at, _named(words, one.report.rule), paragraphs(one.report.words))
            for one in await self._parts.deciding.reports.open_reports(_SHOWN)
        ]
        values = {"rows": rows, "problem": problem}
        return await self._frame.page(request, "reports.html", Place.REPORTS, values, _status(problem))

    async def _frozen(self, request: web.Request, problem: str = "") -> web.Response:
        values = {"rows": await self._parts.deciding.freezes.frozen(_SHOWN), "problem": problem}
        return await self._frame.page(request, "frozen.html", Place.FROZEN, values, _status(problem))


def time_left(words: Words, span: timedelta) -> str:
    """A span until something is due, rounded down: in days, and in hours once there are fewer than two days."""
    hours = span // timedelta(hours=1)
    if hours < 0:
        return words("desk.overdue")
    return words("desk.left_days", count=hours // 24) if hours >= 48 else words("desk.left_hours", count=hours)


def _named(words: Words, rules: str) -> str:
    """What the author of a report says is wrong; each rule that was named."""
    return ", ".join(rule_name(words, rule) for rule in rules.split())


def _status(problem: str) -> int:
    return HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
