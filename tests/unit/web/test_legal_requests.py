"""Legal requests: the clock, what is counted, and an export of the audit that a court can check by itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay.errors import ConfigurationError
from tests.support.front import Front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator
from tests.support.visitor import Visitor
from tests.unit.web.test_wall import Bell
from web.audit import Audit, Disclosure
from web.audit_export import BrokenExportError, Verified, export_case, verify_export
from web.disclosure import Requests, count_requests, load_bases
from web.legal_requests import Answer, Asked, LegalRequestStore, load_deadlines, unfit
from web.wall_keeper import BellRinger

NOW = HandClock().now()
ASKED = Asked("production", "26/9", "TJ Brest", "e-evidence", "id0", NOW, NOW + timedelta(days=10))


def test_times_are_data(tmp_path: Path) -> None:
    ours = load_deadlines()
    spans = {name: one.span for name, one in ours.items()}
    assert (spans["production"], spans["emergency"]) == (timedelta(days=10), timedelta(hours=8))
    assert (spans["preservation"], spans["requisition"]) == (timedelta(days=60), timedelta(0))
    file = tmp_path / "legal" / "fr.toml"
    file.parent.mkdir()
    file.write_text('[basis.x]\ntitle = ""\nlaw = ""\ntext = ""\ndoubt = ""\n')
    assert load_deadlines(tmp_path) == ours, "a file that names none leaves ours"
    file.write_text('[deadline.production]\ntitle = "t"\nlaw = "l"\nhours = "soon"\n')
    with pytest.raises(ConfigurationError, match="whole number"):
        load_deadlines(tmp_path)


def test_what_cannot_be_noted() -> None:
    bases = load_bases()
    assert unfit(ASKED, bases, NOW) == ""
    assert "no legal basis" in unfit(replace(ASKED, basis="curiosity"), bases, NOW)
    assert "the authority" in unfit(replace(ASKED, authority=" "), bases, NOW)
    assert "never an address" in unfit(replace(ASKED, authority="judge@tj.example"), bases, NOW)
    assert "after now" in unfit(ASKED, bases, NOW - timedelta(hours=1))
    assert "before it was received" in unfit(replace(ASKED, due=NOW), bases, NOW)


def test_a_request_that_was_noted_counts_once() -> None:  # RCP 12
    def said(action: str, case: str, letter: str = "", **more: str) -> dict[str, str]:
        return {"action": action, "case": case, "letter": letter, "basis": "crime", **more}

    entries = [
        *(said("receive", "1"), said("disclose", "1", "a"), said("answer", "1", answer="granted")),
        *(said("receive", "2"), said("answer", "2", answer="refused")),
        *(said("receive", "3"), said("answer", "3", answer="nothing-held")),
        *(said("answer", "4", answer="withdrawn"), said("receive", "5"), said("receive", "5", "b")),
    ]
    assert count_requests(entries) == Requests(granted=1, refused=1, other=2, waiting=1)
    assert count_requests(entries).asked == 5


async def _case(front: Front, clock: HandClock) -> Audit:
    """An audit with two entries of the case 26/9, and one of another between them."""
    audit, requests = Audit(front.database, clock), LegalRequestStore(front.database, clock)
    await requests.note(ASKED, "Ann")
    await audit.note(Disclosure("other", "26/8", "crime", "Ann"))
    await requests.close(1, Answer.REFUSED, "Ann", "Not « ours ».")
    return audit


async def test_a_court_checks_an_export_and_reads_no_other_case(front: Front, clock: HandClock) -> None:
    chain = await (await _case(front, clock)).chain()
    lines = list(export_case(chain, "26/9", clock.now()))
    assert "26/8" not in "".join(lines)
    assert verify_export(f"{line}\n" for line in lines) == Verified("26/9", 3, 2, chain[-1].hash.hex())
    assert verify_export(export_case(chain, "none", NOW)).told == 0
    assert verify_export(export_case([], "none", NOW)).entries == 0
    # As docs/disclosure.md tells a court's expert, without this program.
    before = "00" * 32
    for line in map(json.loads, lines[1:]):
        assert line["previous"] == before
        if "entry" in line:
            text = f"{line['n']}\n{line['at']}\n{line['entry']}".encode()
            assert hashlib.sha256(bytes.fromhex(before) + text).hexdigest() == line["hash"]
        before = line["hash"]
    told = [json.loads(json.loads(line)["entry"]) for line in lines[1:] if "entry" in line]
    assert [(one["action"], one.get("answer", "")) for one in told] == [("receive", ""), ("answer", "refused")]
    assert (told[0]["authority"], told[0]["due"]) == ("TJ Brest", ASKED.due.isoformat())


async def test_whatever_was_changed_in_an_export_shows(front: Front, clock: HandClock) -> None:
    lines = list(export_case(await (await _case(front, clock)).chain(), "26/9", clock.now()))
    other = json.loads(lines[1]) | {"entry": json.dumps({"case": "26/8"})}
    for forged in (
        [lines[0], lines[1].replace("TJ Brest", "TJ Paris"), *lines[2:]],
        [lines[0], json.dumps(other), *lines[2:]],
        [lines[0], *lines[2:]],
        lines[:-1],
        [lines[0].replace("26/9", "26/7"), *lines[1:]],
        lines[1:],
        ["{}"],
        ["no JSON"],
        ["[]", "7"],
        [],
    ):
        with pytest.raises(BrokenExportError):
            verify_export(forged)


async def test_the_desk_shows_what_is_owed_and_transparency_counts_it(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:
    requests = LegalRequestStore(visitor.front.database, clock)
    await requests.note(ASKED, "Ann")
    await requests.note(replace(ASKED, case="26/10", letter_id="", due=NOW + timedelta(hours=8)), "Ann")
    bell = Bell()
    ringer = BellRinger(visitor.front.database, bell, clock)
    await ringer.ring()
    assert (bell.heard, bell.due) == ([0], [1]), "eight hours ring at once, ten days do not"
    _, page = await ann.get("/desk/cases")
    assert "2 Cases" in (await ann.get("/desk"))[1].text
    assert page.text.index("8 h left") < page.text.index("10 days left")
    assert "Request 1, production, on the basis e-evidence" in page.text
    assert page.text.count("TJ Brest") == 4, "in the list, and in the audit below"
    assert "Ann · TJ Brest" in page.text, "it names no letter"
    clock.move(9 * 3600)
    await ann.enter("a" * 32)
    assert "Overdue" in (await ann.get("/desk/cases"))[1].text
    document = (await visitor.get("/en/transparency"))[1].document
    assert "not answered yet</th><td>fewer&nbsp;than&nbsp;5</td>" in document
    assert await requests.close(2, Answer.GRANTED, "Ann", "Told them what we know.")
    await ringer.ring()
    clock.move(8 * 86400)
    await ringer.ring()
    assert bell.due == [1, 0, 1]
    await ann.enter("a" * 32)
    assert "Overdue" not in (await ann.get("/desk/cases"))[1].text
    document = (await visitor.get("/en/transparency"))[1].document
    assert "not answered yet</th><td>fewer&nbsp;than&nbsp;5</td>" in document
    assert "– granted</th><td>fewer&nbsp;than&nbsp;5</td>" in document
