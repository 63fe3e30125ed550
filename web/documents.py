"""The pages for reading: rules, privacy, terms, legal notice, transparency, service status, help, accessibility.

Their prose stands in `templates/documents/NAME.LANGUAGE.html`, with the operator's details and the rule packs'
words filled in, so that a rule reads the same here and where a letter is refused. They never need the relay.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from aiohttp import web

from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.catalogue import Words
from web.charts import FEWEST, Chart, Charts
from web.history import full_weeks, monday, read_days
from web.moderation.figures import published_figures
from web.parts import Parts
from web.requests import language_of
from web.tallies import SPAN, Tallies

WEEKS: Final = 26
"""How far back the plots go."""

DECLARED: Final = datetime(2026, 11, 23, tzinfo=UTC)
"""When the pages were last checked as /accessibility says; an operator's audit has a day of its own."""

_log = Log("front")


class Document(StrEnum):
    """A page for reading; the value is its path below the language, and its title's key `document.<value>`."""

    DOS_AND_DONTS = "dos-and-donts"
    PRIVACY = "privacy"
    TERMS = "terms"
    LEGAL = "legal"
    TRANSPARENCY = "transparency"
    STATUS = "status"
    HELP = "help"
    ACCESSIBILITY = "accessibility"

    @property
    def counts(self) -> bool:
        """Whether the page shows counts."""
        return self in (Document.TRANSPARENCY, Document.STATUS)


class Documents:
    """Their handler."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._moderation = published_figures()

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /NAME."""
        document = Document(request.path.rpartition("/")[2])
        language = language_of(request)
        wording = self._parts.judge.wording(language)
        words = self._parts.renderer.words(language)
        now = self._parts.clock.now()
        tallies = await self._tallies(now) if document.counts else None
        charts, rules = await self._charts(words, now) if document is Document.TRANSPARENCY else ({}, {})
        since, tried = (tallies.behind_since, tallies.next_try) if tallies else (None, None)
        values = {
            "document": document.value,
            "operator": self._parts.options.operator,
            "site": self._parts.options.base_url,
            "declared": DECLARED,
            "rules": {rule.anchor: texts for rule, texts in wording.rules.items()},
            "helps": wording.helps,
            "seal": self._parts.sealing.at(now),
            "tallies": tallies,
            "charts": charts,
            "rule_charts": rules,
            "weeks": WEEKS,
            "fewest": FEWEST,
            "late_by": words.about(now - since) if since else "",
            "next_try": words.around(max(tried, now)) if tried else "",
            "decided_within": words.about(tallies.decided_within) if tallies and tallies.decided_within else "",
            "moderation": self._moderation,
            "span_days": SPAN.days,
            "words_days": self._parts.options.content_kept.days,
            "kept_days": self._parts.options.status_kept.days,
            "replies": self._parts.options.replies,
            "rings": document is Document.PRIVACY and await self._rings(),
        }
        return self._parts.renderer.public_page("document.html", request, values)

    async def _rings(self) -> bool:
        """Whether somebody is asked by a doorbell, or was; also while we cannot look."""
        try:
            return self._parts.options.doorbell or await self._parts.stores.doorbell.keeps_any()
        except SpoolUnavailableError as error:
            _log.warning("doorbells-not-looked-for", why=str(error))
            return True

    async def _charts(self, words: Words, now: datetime) -> tuple[dict[str, Chart], dict[str, Chart]]:
        """Week by week, and the same by rule; nothing before a week is over, or while we cannot count."""
        today, charts = now.date(), Charts(words)
        try:
            days = await read_days(self._parts.database, monday(today) - timedelta(weeks=WEEKS), today)
        except SpoolUnavailableError as error:
            _log.warning("weeks-not-counted", why=str(error))
            return {}, {}
        weeks = full_weeks(days, today)
        return (charts.of_weeks(weeks), charts.rules_of_weeks(weeks)) if weeks else ({}, {})

    async def _tallies(self, now: datetime) -> Tallies | None:
        try:
            return await self._parts.stores.tallies.read(now)
        except SpoolUnavailableError as error:
            _log.warning("letters-not-counted", why=str(error))
            return None


def document_routes(documents: Documents, prefix: str) -> list[web.RouteDef]:
    """Each document below `prefix`."""
    return [web.get(f"{prefix}/{document.value}", documents.show) for document in Document]
