"""The decision about a letter: what the rules found, weighed by two readings that were learned from examples.

The last step of moderation. Pure and total: any text gets a ruling, in time linear in its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from web.moderation.disguise import Disguises
from web.moderation.folding import BARRIER, PICTURES, Token
from web.moderation.guesses import guesser_of
from web.moderation.large_pages import use_large_pages
from web.moderation.pack import load_rulebook
from web.moderation.reading import MOST_READ, Hit, Reader, Reading
from web.moderation.ruling import RANK, Part, Rule, Ruling, Span, Step
from web.moderation.run_together import splitter
from web.moderation.second.reader import LEAST_HIDDEN, MOST_PIECES, SecondReader, load_second_reader
from web.moderation.spellings import load_spellings
from web.moderation.trained import Score, Trained, load_trained
from web.moderation.weighing import Gauge, Thresholds, Weighed, load_gauge
from web.moderation.wording import Wording

_MOST_SPANS: Final = 20
_BRIEF: Final = 250
"""Characters of a letter in which hardly more than one place is hidden."""
_BESIDE_NAME: Final = 120
"""Characters at both ends of a letter that are read together with the name it is signed with."""
Places = Sequence[tuple[int, int]]
_OF_HARM: Final = frozenset({Rule.THREAT, Rule.SELF_HARM, Rule.VIOLENCE, Rule.BULLYING})
"""What worry about the reader is mistaken for: a finding of these is taken back where worry is spoken of."""
_AMONG_FRIENDS: Final = frozenset({Rule.THREAT, Rule.BULLYING})
_FEW: Final = 5
"""Words of which a stretch says something to the readings, unless it speaks of what a rule is about."""
_FEW_KNOWN: Final = 3
"""Of them, words that are frequent in a language: of "Lorem ipsum" the readings know nothing."""


@dataclass(frozen=True, slots=True)
class Moderator:
    """Rules in both languages and two trained readings beside them; one serves all letters."""

    reader: Reader
    trained: Trained
    second: SecondReader
    gauge: Gauge
    disguises: Disguises

    def rule(self, letter: str, pseudonym: str = "") -> Ruling:
        """The ruling on a letter of any content and length, signed `pseudonym` if that is not empty.

        Where letter and pseudonym get different steps, the graver one is told.
        """
        reading = self.reader.read(letter)
        worries = self.reader.worries(reading)
        score = self._weigh(reading)
        found = [(hit, Part.LETTER) for hit in self._decide(reading, worries, score)]
        named = [(hit, Part.PSEUDONYM) for hit in self.reader.read(pseudonym).hits] if pseudonym else []
        if not any(hit.step is Step.REFUSE or hit.rule is Rule.LANGUAGE for hit, _ in (*found, *named)):
            left = _most_together(len(letter)) - (score.pieces if score else 0)
            found += [(hit, Part.LETTER) for hit in self._disguised(letter[:MOST_READ], left)]
        if not reading.unreadable and all(RANK[hit.step] <= RANK[Step.HOLD] for hit, _ in (*found, *named)):
            # A hold, which is all that follows from these, would add nothing to one, nor to a graver step.
            named += [(hit, Part.LETTER) for hit in self._across(letter, pseudonym)]
        ruling = _ruling([*found, *named])
        # Words of worry in a letter that pushes its reader are scorn.
        return replace(ruling, worries=ruling.step is not Step.REFUSE and bool(worries))

    def _across(self, letter: str, pseudonym: str) -> Iterator[Hit]:
        """What begins in the letter and ends in the name below it, or the other way round: held, whatever else it is.

        The places are those of the part in the letter.
        """
        if not pseudonym:
            return
        end, beginning = letter[-_BESIDE_NAME:], letter[:_BESIDE_NAME]
        for hit in self.reader.read(f"{end} {pseudonym}").hits:
            if hit.step.stops and hit.start < len(end) < hit.end - 1:
                yield replace(hit, step=Step.HOLD, start=len(letter) - len(end) + hit.start, end=len(letter))
        border = len(pseudonym)
        for hit in self.reader.read(f"{pseudonym} {beginning}").hits:
            if hit.step.stops and hit.start < border < hit.end - 1:
                yield replace(hit, step=Step.HOLD, start=0, end=hit.end - border - 1)

    def _disguised(self, letter: str, left: int) -> Iterator[Hit]:
        """What is hidden in a letter: held at most where it is not sure what a word was meant as.

        `left`: pieces that the second reading may still read of it, the most doubted first. Of what is doubted beyond
        them, that is held in which a rule found something, or which the first reading alone would stop.
        """
        every = [(meant, self.reader.read(meant.text)) for meant in self.disguises.meant(letter)]
        doubted = self._doubted([reading for _, reading in every])
        scores: dict[int, Weighed] = {}
        for at, one in sorted(doubted.items(), key=lambda item: -max(item[1].stop, item[1].care)):
            if left >= LEAST_HIDDEN:
                scores[at] = self._read_twice(every[at][1], one, left)
                left -= scores[at].pieces
        for at, (meant, reading) in enumerate(every):
            if at in doubted and at not in scores and self._stops_alone(reading, doubted[at]):
                yield Hit(Rule.LANGUAGE, Step.HOLD, meant.changes[0].start, meant.changes[-1].end)
            for hit in self._decide(reading, self.reader.worries(reading), scores.get(at)):
                touched = [one for one in meant.changes if hit.start < one.stop and one.begin < hit.end]
                if touched and (hit.step.stops or hit.step is Step.CARE):
                    guessed = hit.step is Step.REFUSE and not all(one.sure for one in touched)
                    start, end = touched[0].start, touched[-1].end
                    yield replace(hit, step=Step.HOLD if guessed else hit.step, start=start, end=end)

    def wording(self, language: str) -> Wording:
        """What rules and steps say to people in `language`, "en" or "fr"."""
        return self.reader.book.wording[language]

    def _weigh(self, reading: Reading) -> Weighed | None:
        """What both readings make of a letter; None where the second one is not asked."""
        doubted = self._doubted([reading]).get(0)
        return None if doubted is None else self._read_twice(reading, doubted, MOST_PIECES)

    def _doubted(self, readings: Sequence[Reading]) -> dict[int, Score]:
        """What the first reading makes of letters, by their places, that are to be read twice.

        Of words of other languages, or of none, the readings know nothing.
        """
        read = {at: one for at, one in enumerate(readings) if not one.unreadable and len(one.tokens) > 2}
        scores = self.trained.scores([(one.tokens, list(one.stretches())) for one in read.values()], self.gauge.first)
        return {at: score for (at, one), score in zip(read.items(), scores, strict=True) if self._doubts(one, score)}

    def _doubts(self, reading: Reading, score: Score) -> bool:
        """Whether a letter is to be read twice, and something may follow from it."""
        if not _asks(max(score.stop, score.care), reading.hits, self.gauge.scale(score.words).thresholds):
            return False
        return any(hit.weighed for hit in reading.hits) or not self._knows_better(reading, score)

    def _read_twice(self, reading: Reading, score: Score, most: int) -> Weighed:
        """What both readings make of a letter of which the second one reads `most` pieces."""
        opinion = self.second.read(reading.text, score.worst[0].start, score.worst[-1].end, most)
        return self.gauge.weigh(score, opinion, borne_out=self.trained.bears_out(opinion.rule, score.worst))

    def _stops_alone(self, reading: Reading, score: Score) -> bool:
        """Whether something is to follow from one reading alone."""
        found = [hit for hit in reading.hits if hit.weighed]
        doubt = self.gauge.scale(score.words).thresholds.doubt
        if max(score.stop, score.care) >= (doubt if found else self.gauge.alone):
            return True
        return not all(often_meant_well(hit) for hit in found)

    def _alone(self, score: Weighed) -> Places:
        """Where the stretches are that would have to be stopped alone; a letter of insults has a hundred of them."""
        parts = (part for part, stop in score.stretches if self.gauge.stops_alone(part, stop))
        return [(part[0].start, part[-1].end) for part in parts]

    def _knows_better(self, reading: Reading, score: Score) -> bool:
        """Whether nothing follows from what the second reading says, but for what it makes of findings."""
        return _spoken_of(reading.hits, score.worst) or (
            self._says_little(reading) and not self.trained.bears_out_any(score.worst)
        )

    def _says_little(self, reading: Reading) -> bool:
        """Whether there are too few words, or too few that are words, for the readings to know what it means."""
        words = [token.word for token in reading.tokens if token.word != BARRIER]
        known = (word for word in words if word in self.trained.concepts.families)
        return len(words) < _FEW or len(list(islice(known, _FEW_KNOWN))) < _FEW_KNOWN

    def _decide(self, reading: Reading, worries: Places, score: Weighed | None) -> Iterator[Hit]:
        """What the rules found, lowered where nothing else speaks for it, and what they missed."""
        yield from (hit for hit in reading.hits if not hit.weighed)
        if reading.unreadable:  # whoever decides sees what is firm
            yield from (replace(hit, step=Step.HOLD) for hit in reading.hits if hit.weighed and hit.firm)
        if score is None:
            return
        step = _read_alone(score)
        if score.rule in _OF_HARM and any(_within(place, score.worst) for place in worries):
            step = _least(step, Step.HOLD if any(one.word == BARRIER for one in score.worst[1:-1]) else Step.PASS)
        cries = any(hit.step is Step.CARE and not hit.weighed for hit in reading.hits)
        alone = self._alone(score) if any(hit.firm for hit in reading.hits) else []
        for hit in reading.hits:
            if hit.weighed and not (hit.rule in _OF_HARM and any(_touch(hit, place) for place in worries)):
                sure = cries or (hit.firm and any(_touch(hit, place) for place in alone))
                yield from _believed(hit, score, step, sure=sure)
        if (
            step is Step.PASS
            or (not score.borne_out and self._says_little(reading))
            or _spoken_of(reading.hits, score.worst)
        ):
            return
        rule = Rule.SELF_HARM if step is Step.CARE else score.rule
        yield Hit(rule, step, score.worst[1].start, score.worst[-1].end)


def _most_together(characters: int) -> int:
    """Pieces of a letter, and of what is hidden in it, that the second reading reads at most.

    The longer a letter is, the longer everything else takes.
    """
    return 2 * MOST_PIECES if characters <= _BRIEF else MOST_PIECES + LEAST_HIDDEN


def _asks(highest: float, hits: Sequence[Hit], limits: Thresholds) -> bool:
    """Whether a letter is read twice. `highest`: what the first reading makes of it at worst."""
    if highest >= limits.doubt:
        return True
    weighed = [hit for hit in hits if hit.weighed]
    if highest >= limits.clear:
        return bool(weighed)
    return not all(often_meant_well(hit) for hit in weighed)


def often_meant_well(hit: Hit) -> bool:
    """Whether a finding is of words that are as often among friends: "you idiot, I love you", "la dernière fois"."""
    return hit.rule in _AMONG_FRIENDS and hit.step is not Step.CARE and not hit.firm


def _touch(hit: Hit, place: tuple[int, int]) -> bool:
    return hit.start < place[1] and place[0] < hit.end


def _within(place: tuple[int, int], part: Sequence[Token]) -> bool:
    return part[0].start <= place[0] and place[1] <= part[-1].end


def _least(one: Step, other: Step) -> Step:
    return min(one, other, key=RANK.__getitem__)


def _spoken_of(hits: Sequence[Hit], part: Sequence[Token]) -> bool:
    """Whether a rule that stops a letter speaks of this part: it knows better which one is broken."""
    place = part[0].start, part[-1].end
    return any(hit.step.stops and _touch(hit, place) for hit in hits)


def _read_alone(score: Weighed) -> Step:
    """What the readings make of a letter, whatever the rules found."""
    limits = score.limits
    if score.care >= limits.care_sure and score.care > score.stop:
        return Step.CARE
    if score.stop >= (limits.refuse_threat if score.rule is Rule.THREAT else limits.refuse):
        return Step.REFUSE
    return Step.HOLD if score.stop >= limits.hold else Step.PASS


def _believed(hit: Hit, score: Weighed, step: Step, *, sure: bool) -> Iterator[Hit]:
    """What a rule found, as far as it is believed; nothing where the letter reads like those that are meant well.

    A firm finding is held at least, and believed where it is `sure`: its own sentence reads like it, or stands beside a
    cry for help. To the readings a letter that says "I want to die" hardly reads like an insult any more.
    """
    limits = score.limits
    if hit.step is Step.CARE:
        yield hit if score.care >= limits.care_doubt else replace(hit, step=Step.NUDGE)
    elif hit.firm:
        yield hit if sure or score.stop >= limits.hold else replace(hit, step=Step.HOLD)
    elif score.stop >= limits.hold:
        yield hit if step is Step.REFUSE or not hit.step.stops else replace(hit, step=Step.HOLD)
    elif score.stop >= limits.nudge:
        yield replace(hit, step=Step.NUDGE)


def _ruling(found: list[tuple[Hit, Part]]) -> Ruling:
    if not found:
        return Ruling(Step.PASS)
    step = max((hit.step for hit, _ in found), key=RANK.__getitem__)
    help_first = any(hit.step is Step.CARE for hit, _ in found)
    led = [(hit, part) for hit, part in found if hit.step is step]
    rules = tuple(dict.fromkeys(hit.rule for hit, _ in led))
    return Ruling(step, rules, tuple(_spans(led)[:_MOST_SPANS]), help_first)


def _spans(led: list[tuple[Hit, Part]]) -> list[Span]:
    """Where the hits are; those of one rule that overlap are one span."""
    spans: list[Span] = []
    places = {(part, hit.rule, hit.start, hit.end) for hit, part in led if hit.end > hit.start}
    for part, rule, start, end in sorted(places):
        last = spans[-1] if spans else None
        if last is not None and (last.part, last.rule) == (part, rule) and start <= last.end:
            spans[-1] = replace(last, end=max(last.end, end))
        else:
            spans.append(Span(start, end, rule, part))
    return sorted(spans, key=lambda span: (span.part, span.start, span.end))


def load_moderator(folder: Path | None = None) -> Moderator:
    """The moderator of the packs in `folder`/moderation, else of those that come along. Raises ConfigurationError."""
    book, trained, second = load_rulebook(folder), load_trained(), load_second_reader()
    lexicons = [one.lexicon for one in (book, book.worry) if one is not None]
    # An emoji tells of nobody, and a letter may be made of a thousand different ones.
    listed = frozenset({BARRIER, *PICTURES}).union(trained.vocabulary.listed, *[one.listed for one in lexicons])
    trained.vocabulary.listed = listed
    for lexicon in lexicons:
        lexicon.listed = listed
    spaces = splitter(second.pieces.scores, trained.concepts.families, book.lexicon.words)
    spellings = load_spellings()
    disguises = Disguises(guesser_of(book, trained.concepts, spellings, spaces.likely), spellings, spaces)
    moderator = Moderator(Reader(book, trained.concepts.families), trained, second, load_gauge(), disguises)
    use_large_pages()
    return moderator
