"""The preview of a letter: each mail exactly as its reader will see it, and what the rules say of the letter.

Between the form and the sending. It decides nothing: a letter that is refused shows as refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from aiohttp import web

from web.catalogue import Words
from web.ceilings import Look, Waits, Way
from web.confirming import Asking
from web.judgement import Piece, marked_paragraphs
from web.letters import STREAM
from web.mail import Mail
from web.moderation.ruling import Ruling, Step
from web.morning import tomorrow_morning
from web.network import Network
from web.parts import Parts
from web.preview import SECOND_THOUGHT, Preview
from web.row import FEW, Spot, told_ahead
from web.self_naming import names_writer


@dataclass(frozen=True, slots=True)
class Beside:
    """What a preview may show beside the letter: a word in advance, a place in a row, an address to confirm."""

    notice: str = ""
    ticket: str = ""
    asking: Asking | None = None
    spot: Spot | None = None
    """The letter's place in the row, if a ceiling holds it back."""


_NOTHING: Final = Beside()


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail as a page shows it: with its words in pieces, and the fields that a mail program shows."""

    mail: Mail
    body: list[list[list[Piece]]]
    fields: Mapping[str, str]


class PreviewPage:
    """Renders previews."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._render = parts.renderer

    def show(self, shown: Preview, beside: Beside = _NOTHING, status: int = HTTPStatus.OK) -> web.Response:
        """The preview page, or why there is none. Raises ValueError if no mail can be made of the draft."""
        language = shown.language
        ruling = self._parts.judge.rule_on(shown.draft)
        crisis = self._parts.judge.crisis(ruling, language)
        mail = self._parts.writer.compose(shown.draft, self._render.words(language), crisis=crisis)
        wording = self._parts.judge.wording(language)
        # Whoever speaks of dying is shown who answers; their own words are not held up to them.
        held_up = Ruling(Step.PASS) if ruling.step is Step.CARE else ruling
        values = {
            "mail": mail,
            "body": marked_paragraphs(shown.draft.message, held_up),
            "fields": self._parts.relay.preview(mail.letter("", "")),
            "token": self._parts.tokens.sign(shown),
            "notice": beside.notice,
            "ticket": beside.ticket,
            "asking": beside.asking or self.first_question(has_ticket=bool(beside.ticket)),
            "step": ruling.step.value,
            "told": wording.steps.get(ruling.step),
            "rules": self._parts.judge.told(ruling.rules, language),
            "helps": wording.helps if ruling.help_first else (),
            "care": wording.steps[Step.CARE],
            "seals": bool(self._parts.sealing),
            "name": names_writer(shown.draft.message, shown.draft.pseudonym),
            "ring": self._ring(shown) if self._parts.options.doorbell else None,
            "wall": shown.draft.wall and self._parts.options.wall,
            "morning": shown.draft.morning,
            "late": self._late(shown, ruling.step, beside.spot),
            "one_a_day": self._parts.options.limits,
            "cools_down": self._parts.options.cool_down > timedelta(0),
            "second_thought": self._second_thought(shown, ruling.step),
            "suggestion": shown.suggestion,
            "unknown": shown.unknown,
        }
        if ruling.step is Step.REFUSE:
            self._parts.stores.rulings.note(self._parts.tokens.names(shown).id, (rule.value for rule in ruling.rules))
            status = max(status, HTTPStatus.UNPROCESSABLE_ENTITY)
            return self._render.page("refused.html", language, values, status=status)
        return self._render.page("preview.html", language, values, status=status)

    async def ceiling(self, shown: Preview, network: Network) -> Look:
        """What a letter to there would meet at the ceilings.

        Nothing where a mail may ask first: it has a ceiling of its own, and who gets one is no writer's to know.
        """
        if self._parts.options.doorbell:
            return Look()
        options = self._parts.options
        way = Way(options.sender, STREAM, shown.draft.recipient)
        wished = self._parts.clock.now() + options.cool_down + options.jitter
        return await self._parts.ceilings.look(way, Waits(network, wished))

    def _late(self, shown: Preview, step: Step, spot: Spot | None) -> str:
        """What is told of a letter that a ceiling keeps longer than its writer wished; "" for any other."""
        if spot is None or step is Step.HOLD:
            return ""
        now, options = self._parts.clock.now(), self._parts.options
        wished = tomorrow_morning(now, options.time_zone, 1.0) if shown.draft.morning else now + options.cool_down
        words = self._render.words(shown.language)
        before = tell_ahead(words, spot.ahead)
        if spot.bound is not None:
            # Where few wait and there is room today, that one has to wait at all would say that somebody wrote there.
            told = spot.is_spent and spot.departs > wished
            return words("preview.late_day", day=words.day_here(spot.departs), before=before) if told else ""
        told = spot.opens > wished
        return words("preview.late", moment=words.around(spot.departs), before=before) if told else ""

    def _ring(self, shown: Preview) -> Shown:
        """The mail that comes first to whoever never read a letter from here: who that is, no writer learns."""
        mail = self._parts.writer.ring(shown.draft, self._render.words(shown.language))
        body = [[[Piece(line, marked=False)] for line in lines] for lines in mail.body]
        return Shown(mail, body, self._parts.relay.preview(mail.letter("", "")))

    def _second_thought(self, shown: Preview, step: Step) -> str:
        """The wait that is offered to who was nudged; "" where none is: what leaves tomorrow waits long enough."""
        offered = step is Step.NUDGE and not shown.draft.morning
        return self._render.words(shown.language).about(SECOND_THOUGHT) if offered else ""

    def first_question(self, *, has_ticket: bool) -> Asking | None:
        """What a writer is asked before anything was typed; None if nothing is."""
        return Asking() if self._parts.confirming.asks(has_ticket=has_ticket) else None


def tell_ahead(words: Words, ahead: int) -> str:
    """How many letters stand before one, as roughly as it is told."""
    number = told_ahead(ahead)
    return words("row.before", count=words.number(number)) if number else words("row.few", count=FEW)
